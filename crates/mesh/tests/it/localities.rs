//! Levels by labels, which depend on the dispatcher's own.

use mesh::{Options, SourceFile, load};

const TEXT: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: svc }
spec:
  hosts: [svc.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints:
    - { address: 10.0.0.1, locality: eu/a, labels: { version: v1 } }
    - { address: 10.0.0.2, locality: eu/b, labels: { version: v1 } }
    - { address: 10.0.0.3, locality: eu/a, labels: { version: v2 } }
    - { address: 10.0.0.4, locality: us/a }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: svc }
spec:
  host: svc.example.com
  trafficPolicy:
    outlierDetection: {}
    loadBalancer:
      localityLbSetting:
        failoverPriority: [topology.kubernetes.io/region, version, topology.kubernetes.io/zone]
";

fn levels(options: &Options) -> Vec<u32> {
    let file = SourceFile {
        path: "in.yaml".into(),
        text: TEXT.to_owned(),
    };
    let mesh = load(&[file], options).mesh.expect("the documents load");
    let endpoints = mesh.clusters[0].endpoints.iter();
    endpoints.map(|endpoint| endpoint.priority).collect()
}

#[test]
fn levels_count_the_labels_from_the_first_that_differs() {
    let mut options = Options {
        labels: Some([("version".to_owned(), "v1".to_owned())].into()),
        ..Options::default()
    };
    options.locality.region = "eu".to_owned();
    options.locality.zone = "a".to_owned();
    assert_eq!(levels(&options), [0, 1, 2, 3]);
}

#[test]
fn what_is_not_known_differs_from_everything_that_is() {
    assert_eq!(levels(&Options::default()), [3, 3, 3, 3]);
}
