//! Names on the mesh listener as tools on this machine write them.

use mesh::{Decision, Mesh, Options, SourceFile, load};

use crate::request::Request;

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec: { ports: [{ name: http, port: 9080 }, { name: http-admin, port: 9090 }] }
---
apiVersion: v1
kind: Service
metadata: { name: ratings }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: own }
spec:
  hosts: ['*gs.localhost']
  http: [{ directResponse: { status: 418 } }]
";

fn mesh() -> Mesh {
    let path = "services.yaml".into();
    let text = SERVICES.to_owned();
    let loaded = load(&[SourceFile { path, text }], &Options::default());
    assert_eq!(loaded.diagnostics, []);
    loaded.mesh.expect("there are no errors")
}

/// Where a request goes whose client connected to `local_port`.
fn outcome(mesh: &Mesh, authority: &str, local_port: Option<u16>) -> String {
    let mut request = Request::parse(&format!("mesh GET http://{authority}/"));
    request.local_port = local_port;
    match mesh.route(0, &request, 0) {
        Decision::Forward { destination, .. } => {
            let id = destination.cluster.clone().expect("it is there");
            mesh.cluster(id).port.to_string()
        }
        Decision::DirectResponse { route } => route.name.clone(),
        Decision::NotFound => "nothing".to_owned(),
        Decision::Misdirected => "421".to_owned(),
        Decision::Redirect { location, .. } => location,
    }
}

#[test]
fn the_port_that_is_really_listened_on_says_nothing() {
    let mesh = mesh();
    for (authority, expected) in [
        ("reviews", "9080"),
        ("reviews:9090", "9090"),
        ("reviews:25001", "9080"),
        ("reviews.localhost:25001", "9080"),
        ("reviews.default.svc.cluster.local:25001", "9080"),
        ("reviews:15001", "nothing"),
        ("reviews:80", "nothing"),
    ] {
        assert_eq!(
            outcome(&mesh, authority, Some(25001)),
            expected,
            "{authority}"
        );
    }
    assert_eq!(outcome(&mesh, "reviews:15001", None), "9080");
    assert_eq!(outcome(&mesh, "reviews:25001", None), "nothing");
}

#[test]
fn services_have_names_that_lead_to_this_machine() {
    let mesh = mesh();
    for (authority, expected) in [
        ("reviews.localhost", "9080"),
        ("reviews.localhost:9090", "9090"),
        ("Reviews.Localhost.", "9080"),
        // What is written goes first.
        ("ratings.localhost", "default/own#0"),
        ("reviews.default.localhost", "nothing"),
        ("localhost", "nothing"),
    ] {
        assert_eq!(outcome(&mesh, authority, None), expected, "{authority}");
    }
}
