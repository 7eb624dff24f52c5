//! Which gateways are served, and which of their TLS servers a connection meets.

use std::collections::BTreeMap;

use mesh::{Decision, Mesh, Options, SourceFile, TlsAction, load};

use crate::request::Request;

fn mesh(text: &str, options: &Options) -> Mesh {
    let file = SourceFile {
        path: "in.yaml".into(),
        text: text.to_owned(),
    };
    let loaded = load(&[file], options);
    loaded
        .mesh
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

const TLS: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  servers:
    - port: { number: 443, name: open, protocol: HTTPS }
      hosts: [open.example.com]
      tls: { mode: SIMPLE, serverCertificate: o.pem, privateKey: o.key }
    - port: { number: 443, name: missing, protocol: HTTPS }
      hosts: [missing.example.com]
      tls: { mode: SIMPLE, credentialName: missing }
    - port: { number: 443, name: closed, protocol: HTTPS }
      hosts: ['*.example.com']
      tls: { mode: MUTUAL, serverCertificate: c.pem, privateKey: c.key, caCertificates: ca.pem }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs }
spec:
  hosts: [open.example.com, closed.example.com, short]
  gateways: [gw]
  http: [{ directResponse: { status: 200 } }]
";

#[test]
fn a_connection_sees_only_the_hosts_of_its_own_server() {
    let mesh = mesh(TLS, &Options::default());
    let tls = mesh.listeners[0]
        .tls
        .as_ref()
        .expect("the listener terminates TLS");
    let select = |name| tls.select(name);
    assert_eq!(select(Some("open.example.com")), Some(0));
    assert_eq!(select(Some("OPEN.example.com.")), Some(0));
    // Without its certificate the server serves nobody; the wildcard's does not take its place.
    assert_eq!(select(Some("missing.example.com")), Some(1));
    assert_eq!(tls.servers[1].action, TlsAction::Refuse);
    assert_eq!(select(Some("closed.example.com")), Some(2));
    assert_eq!((select(Some("example.org")), select(None)), (None, None));

    let decide = |server, url: &str| {
        let mut request = Request::parse(&format!("443 GET {url}"));
        request.tls_server = server;
        matches!(mesh.route(0, &request, 0), Decision::DirectResponse { .. })
    };
    assert!(
        decide(None, "https://closed.example.com/")
            && decide(Some(2), "https://closed.example.com/")
    );
    // Without a client certificate, through the open server, the closed host is not to be had.
    assert!(!decide(Some(0), "https://closed.example.com/"));
    assert!(!decide(Some(1), "https://open.example.com/"));
}

#[test]
fn every_spelling_of_another_servers_host_is_misdirected() {
    let mesh = mesh(TLS, &Options::default());
    let is_misdirected = |server, host: &str| {
        let mut request = Request::parse(&format!("443 GET https://{host}/"));
        request.tls_server = Some(server);
        matches!(mesh.route(0, &request, 0), Decision::Misdirected)
    };
    for host in [
        "closed.example.com",
        "CLOSED.example.com",
        "closed.example.com.",
        "closed.example.com:443",
        "closed.example.com.:8443",
        "missing.example.com",
    ] {
        assert!(is_misdirected(0, host), "{host}");
    }
    for host in ["open.example.com", "Open.example.com.:443", "example.org"] {
        assert!(!is_misdirected(0, host), "{host}");
    }
}

#[test]
fn labels_choose_the_gateways() {
    let text = TLS.replace(
        "spec:\n  servers:",
        "spec:\n  selector: { istio: ingressgateway }\n  servers:",
    );
    let labelled = |labels: &[(&str, &str)]| {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let options = Options {
            labels: Some(labels),
            ..Options::default()
        };
        mesh(&text, &options).listeners.len()
    };
    assert_eq!(labelled(&[("istio", "ingressgateway"), ("zone", "a")]), 1);
    assert_eq!(labelled(&[("istio", "egressgateway")]), 0);
    assert_eq!(labelled(&[]), 0);
    assert_eq!(mesh(&text, &Options::default()).listeners.len(), 1);
}

#[test]
fn short_hosts_are_reached_by_both_names() {
    let text = TLS.replace("['*.example.com']", "['*']");
    let mesh = mesh(&text, &Options::default());
    for host in ["short", "short.default.svc.cluster.local"] {
        let request = Request::parse(&format!("443 GET https://{host}/"));
        assert!(
            matches!(mesh.route(0, &request, 0), Decision::DirectResponse { .. }),
            "{host}"
        );
    }
}
