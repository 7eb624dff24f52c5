//! A large folder, as the figures in the issues ask for: 1,000 VirtualServices and 10,000 endpoints.

use std::fmt::Write as _;

use mesh::{Decision, Options, SourceFile, load};

use crate::request::Request;

pub(crate) fn large_folder() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for number in 0..1000 {
        let mut text = format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: s{number}
spec:
  hosts:
  - s{number}
  http:
  - match:
    - uri:
        prefix: /api
      headers:
        end-user:
          exact: jason
    route:
    - destination:
        host: s{number}
        subset: v1
  - route:
    - destination:
        host: s{number}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: s{number}
spec:
  host: s{number}
  subsets:
  - name: v1
    labels:
      version: v1
---
apiVersion: v1
kind: Service
metadata:
  name: s{number}
spec:
  ports:
  - name: http
    port: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: s{number}
  labels:
    kubernetes.io/service-name: s{number}
    version: v1
addressType: IPv4
ports:
- name: http
  port: 8080
endpoints:
"
        );
        for endpoint in 0..10 {
            let (high, low) = (number / 250, number % 250);
            writeln!(
                text,
                "- addresses:\n  - 10.{high}.{low}.{endpoint}\n  conditions:\n    ready: true"
            )
            .expect("a string");
        }
        files.push(SourceFile {
            path: format!("s{number}.yaml").into(),
            text,
        });
    }
    files
}

#[test]
fn a_large_folder_is_loaded_whole() {
    let loaded = load(&large_folder(), &Options::default());
    assert_eq!(loaded.diagnostics, []);
    let mesh = loaded.mesh.expect("no errors");
    let endpoints: usize = mesh
        .clusters
        .iter()
        .filter(|cluster| cluster.subset.is_empty())
        .map(|cluster| cluster.endpoints.len())
        .sum();
    assert_eq!((mesh.clusters.len(), endpoints), (2000, 10_000));
    let decision = mesh.route(
        0,
        &Request::parse("mesh GET http://s999/api end-user=jason"),
        0,
    );
    let Decision::Forward { destination, .. } = decision else {
        panic!("{decision:?}")
    };
    let cluster = mesh.cluster(destination.cluster.clone().expect("the subset is there"));
    assert_eq!(
        cluster.name,
        "outbound|80|v1|s999.default.svc.cluster.local"
    );
}
