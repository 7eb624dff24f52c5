//! Host patterns of the Gateway API's listeners: who answers for which, and what they share.

use std::fmt::Write as _;
use std::sync::Arc;

use mesh::{Decision, Mesh, Options, SourceFile, VirtualHost, load};

use crate::request::Request;

/// A Gateway with these listeners, and a Service.
fn base(listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{ name: edge }}\n\
         spec: {{ gatewayClassName: any, listeners: [{listeners}] }}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{ name: web }}\n\
         spec: {{ ports: [{{ name: http, port: 80 }}] }}\n"
    )
}

fn route(text: &mut String, name: &str, hostnames: &str, path: &str) {
    write!(
        text,
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: {name} }}\n\
         spec:\n  parentRefs: [{{ name: edge }}]\n  hostnames: [{hostnames}]\n\
         \x20 rules: [{{ matches: [{{ path: {{ value: {path} }} }}], backendRefs: [{{ name: web, port: 80 }}] }}]\n"
    )
    .expect("a string");
}

fn mesh(text: String) -> Mesh {
    let path = "in.yaml".into();
    let loaded = load(&[SourceFile { path, text }], &Options::default());
    assert_eq!(loaded.diagnostics, []);
    loaded.mesh.expect("no errors")
}

fn taken(mesh: &Mesh, url: &str) -> String {
    let request = Request::parse(&format!("80 GET {url}"));
    let listener = request.listener_in(mesh).expect("the listener");
    match mesh.route(listener, &request, 0) {
        Decision::Forward { route, .. } => route.name.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn hosts_share_the_routes_of_wider_patterns() {
    const HOSTS: usize = 1000;
    let mut text = base("{ name: web, port: 80, protocol: HTTP }");
    for number in 0..HOSTS {
        route(
            &mut text,
            &format!("n{number}"),
            &format!("h{number}.example.com"),
            "/own",
        );
        route(
            &mut text,
            &format!("w{number}"),
            "",
            &format!("/wide{number}"),
        );
    }
    let mesh = mesh(text);
    assert_eq!(
        taken(&mesh, "http://h999.example.com/own"),
        "default/n999#0"
    );
    assert_eq!(
        taken(&mesh, "http://h999.example.com/wide7"),
        "default/w7#0"
    );
    assert_eq!(taken(&mesh, "http://h999.example.com/none"), "NotFound");

    let listener = mesh.listeners.iter().find(|listener| listener.port == 80);
    let hosts = &listener.expect("the listener").hosts.virtual_hosts;
    assert_eq!(hosts.len(), HOSTS + 1);
    let own: usize = hosts.iter().map(|host| host.routes.len()).sum();
    assert_eq!(own, 2 * HOSTS);
    let mut wider: Vec<_> = hosts
        .iter()
        .flat_map(|host| &host.wider)
        .map(Arc::as_ptr)
        .collect();
    assert_eq!(wider.len(), HOSTS);
    wider.dedup();
    assert_eq!(wider.len(), 1, "each host has a list of its own");
    let longest = hosts
        .iter()
        .map(|host| VirtualHost::all_routes(host).count())
        .max();
    assert_eq!(longest, Some(HOSTS + 1));
}

#[test]
fn only_patterns_of_one_listener_are_gone_on_to() {
    let mut text = base(
        "{ name: any, port: 80, protocol: HTTP }, \
         { name: below, port: 80, protocol: HTTP, hostname: \"*.a.com\" }",
    );
    route(&mut text, "any", "", "/any");
    route(&mut text, "com", "\"*.com\"", "/com");
    route(&mut text, "below", "\"*.b.a.com\"", "/below");
    let mesh = mesh(text);
    for (url, name) in [
        ("http://b.com/com", "default/com#0"),
        ("http://b.com/any", "default/any#0"),
        ("http://b.org/any", "default/any#0"),
        ("http://b.org/com", "NotFound"),
        // Those without a host name of their own, and those with a wider one, are attached to both listeners.
        ("http://c.b.a.com/below", "default/below#0"),
        ("http://c.b.a.com/com", "default/com#0"),
        ("http://c.a.com/below", "NotFound"),
    ] {
        assert_eq!(taken(&mesh, url), name, "{url}");
    }

    let mut text = base(
        "{ name: any, port: 80, protocol: HTTP }, \
         { name: below, port: 80, protocol: HTTP, hostname: \"*.a.com\" }",
    );
    route(&mut text, "any", "b.org, \"*.org\"", "/any");
    route(&mut text, "below", "x.a.com", "/below");
    let mesh = self::mesh(text);
    for (url, name) in [
        ("http://x.a.com/below", "default/below#0"),
        ("http://x.a.com/any", "NotFound"),
        ("http://y.a.com/any", "NotFound"),
        ("http://b.org/any", "default/any#0"),
    ] {
        assert_eq!(taken(&mesh, url), name, "{url}");
    }
}

#[test]
fn no_service_entry_stands_in_for_a_service() {
    let mut text = base("{ name: web, port: 80, protocol: HTTP }");
    let service = "metadata: { name: web }\n";
    let hidden =
        "metadata: { name: web, annotations: { networking.istio.io/exportTo: \"elsewhere\" } }\n";
    assert!(text.contains(service));
    text = text.replace(service, hidden);
    route(&mut text, "own", "", "/");
    text.push_str(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: { name: thief, namespace: other }\n\
         spec:\n  hosts: [web.default.svc.cluster.local]\n  resolution: STATIC\n\
         \x20 ports: [{ number: 80, name: http, protocol: HTTP }]\n  endpoints: [{ address: 10.6.6.6 }]\n",
    );
    let mesh = mesh(text);
    let request = Request::parse("80 GET http://a.com/");
    let listener = request.listener_in(&mesh).expect("the listener");
    let Decision::Forward { destination, .. } = mesh.route(listener, &request, 0) else {
        panic!("the rule is there")
    };
    let refused = destination.cluster.as_ref().expect_err("not the thief's");
    assert_eq!(refused.status, 500);
    assert!(
        refused.reason.contains("namespace other"),
        "{}",
        refused.reason
    );
}
