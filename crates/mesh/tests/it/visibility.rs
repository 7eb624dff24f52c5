//! What is seen depends on who asks: `Options::namespace` and `Options::labels`.

use mesh::{Decision, Mesh, Options, SourceFile, load};

use crate::request::Request;

const TEXT: &str = "
apiVersion: v1
kind: Service
metadata: { name: a, namespace: one }
spec: { ports: [{ port: 80, name: http }] }
---
apiVersion: v1
kind: Service
metadata: { name: b, namespace: two }
spec: { ports: [{ port: 80, name: http }, { port: 81, name: http-two }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a, namespace: two }
spec:
  hosts: [a.one.svc.cluster.local]
  http:
    - match: [{ sourceLabels: { app: web }, sourceNamespace: one }]
      directResponse: { status: 201 }
    - match: [{ sourceNamespace: two }]
      directResponse: { status: 202 }
    - directResponse: { status: 200 }
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: all, namespace: istio-system }
spec: { egress: [{ hosts: ['./*'] }] }
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: everybody, namespace: one }
spec: { egress: [{ port: { number: 81, protocol: HTTP, name: http }, hosts: ['two/*.local'] }, { hosts: ['one/*', 'two/a.one.svc.cluster.local', '~/*'] }] }
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: web, namespace: one }
spec: { workloadSelector: { labels: { app: web } }, egress: [{ hosts: ['*/*'] }], outboundTrafficPolicy: { mode: REGISTRY_ONLY } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: everybody, namespace: one }
spec: { host: b.two.svc.cluster.local, trafficPolicy: { loadBalancer: { simple: RANDOM } } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: one }
spec: { host: b.two.svc.cluster.local, workloadSelector: { matchLabels: { app: web } }, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } } }
";

fn seen_by(namespace: &str, app: Option<&str>) -> Mesh {
    let options = Options {
        namespace: Some(namespace.to_owned()),
        labels: app.map(|app| [("app".to_owned(), app.to_owned())].into()),
        ..Options::default()
    };
    let file = SourceFile {
        path: "in.yaml".into(),
        text: TEXT.to_owned(),
    };
    load(&[file], &options).mesh.expect("the documents load")
}

/// What becomes of a request: a direct answer's status, a cluster's name, or 404.
fn outcome(mesh: &Mesh, url: &str) -> String {
    let request = Request::parse(&format!("mesh GET http://{url}/"));
    match mesh.route(0, &request, 0) {
        Decision::Forward { destination, .. } => {
            let id = destination.cluster.clone().expect("the cluster is there");
            mesh.cluster(id).name.clone()
        }
        Decision::DirectResponse { route } => match &route.action {
            mesh::Action::DirectResponse { status, .. } => status.to_string(),
            other => panic!("{other:?}"),
        },
        Decision::NotFound => "404".to_owned(),
        Decision::Misdirected => "421".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sidecars_choose_by_label_then_namespace_then_root() {
    let web = seen_by("one", Some("web"));
    assert_eq!(
        outcome(&web, "b.two:80"),
        "outbound|80||b.two.svc.cluster.local"
    );
    assert_eq!(outcome(&web, "nobody.example.com"), "502");
    let other = seen_by("one", Some("other"));
    assert_eq!(outcome(&other, "b.two:80"), "404");
    assert_eq!(
        outcome(&other, "b.two:81"),
        "outbound|81||b.two.svc.cluster.local"
    );
    assert_eq!(outcome(&other, "nobody.example.com"), "404");
    // The root namespace's lets each namespace see its own.
    let two = seen_by("two", None);
    assert_eq!(
        outcome(&two, "b:80"),
        "outbound|80||b.two.svc.cluster.local"
    );
    assert_eq!(outcome(&two, "a.one.svc.cluster.local"), "202");
}

#[test]
fn rules_ask_where_and_what_the_client_is() {
    assert_eq!(outcome(&seen_by("one", Some("web")), "a"), "201");
    assert_eq!(outcome(&seen_by("one", Some("other")), "a"), "200");
    assert_eq!(outcome(&seen_by("one", None), "a"), "200");
}

#[test]
fn destination_rules_may_be_for_some_clients() {
    let policy = |app| {
        let mesh = seen_by("one", app);
        let found = mesh.find_cluster("outbound|81||b.two.svc.cluster.local");
        found.expect("the cluster").1.balancing.policy.clone()
    };
    assert_eq!(policy(Some("web")), alba::Policy::RoundRobin);
    assert_eq!(policy(Some("other")), alba::Policy::Random);
    assert_eq!(policy(None), alba::Policy::Random);
}

#[test]
fn a_workload_is_known_by_its_labels() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: one }
spec: { template: { metadata: { labels: { app: web } } } }
---
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: Pod, metadata: { name: web-1, labels: { app: web, pod: '1' } } }
  - { apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: { name: vm }, spec: { labels: { app: vm } } }
";
    let file = SourceFile {
        path: "in.yaml".into(),
        text: text.to_owned(),
    };
    let files = [file];
    let labels = |namespace, name| {
        let labels = mesh::workload_labels(&files, &Options::default(), namespace, name)?;
        let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
        Some(pairs.collect::<Vec<_>>().join(","))
    };
    assert_eq!(labels("one", "web").as_deref(), Some("app=web"));
    assert_eq!(labels("default", "web-1").as_deref(), Some("app=web,pod=1"));
    assert_eq!(labels("default", "vm").as_deref(), Some("app=vm"));
    assert_eq!(labels("default", "web"), None);
}
