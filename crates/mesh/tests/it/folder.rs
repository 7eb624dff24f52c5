//! Large folders of documents, made for the occasion.

use std::fmt::Write as _;

use mesh::SourceFile;

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Services, each with a VirtualService, a DestinationRule and an EndpointSlice in one file.
    pub(crate) services: usize,
    /// Per service.
    pub(crate) endpoints: usize,
    /// Rules of each VirtualService, the last for everything.
    pub(crate) rules: usize,
}

/// The size that reloads are measured at: 1,000 VirtualServices and 10,000 endpoints.
pub(crate) const LARGE: Size = Size {
    services: 1000,
    endpoints: 10,
    rules: 2,
};

/// The size that issue 4 names: 10,000 VirtualServices of 10 rules.
pub(crate) const MANY_RULES: Size = Size {
    services: 10_000,
    endpoints: 1,
    rules: 10,
};

/// One file per service: `s0.yaml`, `s1.yaml` and so on.
pub(crate) fn folder(size: Size) -> Vec<SourceFile> {
    (0..size.services)
        .map(|number| SourceFile {
            path: format!("s{number}.yaml").into(),
            text: service(number, size),
        })
        .collect()
}

fn service(number: usize, size: Size) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: s{number}
spec:
  hosts:
  - s{number}
  http:
"
    );
    for rule in 1..size.rules {
        let path = if rule == 1 {
            "/api".to_owned()
        } else {
            format!("/rule{rule}/")
        };
        let rule = format!(
            "  - match:
    - uri:
        prefix: {path}
      headers:
        end-user:
          exact: jason
    route:
    - destination:
        host: s{number}
        subset: v1
"
        );
        text.push_str(&rule);
    }
    let rest = format!(
        "  - route:
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
    text.push_str(&rest);
    let (high, low) = (number / 250, number % 250);
    for endpoint in 0..size.endpoints {
        writeln!(
            text,
            "- addresses:\n  - 10.{high}.{low}.{endpoint}\n  conditions:\n    ready: true"
        )
        .expect("a string");
    }
    text
}
