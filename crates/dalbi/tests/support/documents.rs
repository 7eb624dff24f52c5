//! Documents of the shape that most tests want: everything goes to one service.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{Dalbi, Folder};

/// A gateway on port 8080 (and, with [`Site::tls`], 8443) that sends every request to one service.
#[derive(Debug, Clone, Default)]
pub struct Site {
    endpoints: Vec<SocketAddr>,
    protocol: Option<&'static str>,
    rule: String,
    policy: String,
    health_check: String,
    balancing: String,
    localities: Vec<&'static str>,
    https: Vec<String>,
    dns: bool,
}

impl Site {
    /// A service with these endpoints, speaking HTTP/1.1.
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        Self {
            endpoints: endpoints.to_vec(),
            ..Self::default()
        }
    }

    /// What the endpoints speak, as a port's `protocol`.
    pub fn protocol(mut self, protocol: &'static str) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Fields of the route beside its destination, in flow style: `timeout: 1s, retries: {attempts: 3}`.
    pub fn rule(mut self, fields: &str) -> Self {
        self.rule = format!("{fields}, ");
        self
    }

    /// The service's `trafficPolicy`, in flow style.
    pub fn policy(mut self, policy: &str) -> Self {
        self.policy = policy.to_owned();
        self
    }

    /// An active health check of `/healthz` with further fields, in flow style.
    pub fn health_check(mut self, fields: &str) -> Self {
        self.health_check = fields.to_owned();
        self
    }

    /// The service's `BalancingPolicy`, as its `spec` beside the target, in flow style.
    pub fn balancing(mut self, fields: &str) -> Self {
        self.balancing = fields.to_owned();
        self
    }

    /// Where the endpoints are, one after the other.
    pub fn at(mut self, localities: &[&'static str]) -> Self {
        self.localities = localities.to_vec();
        self
    }

    /// A server of the gateway on port 8443, for `host` with `tls` in flow style.
    pub fn tls(mut self, host: &str, tls: &str) -> Self {
        self.https.push(format!(
            "  - {{port: {{number: 8443, name: https-{}, protocol: HTTPS}}, hosts: ['{host}'], tls: {tls}}}\n",
            self.https.len()
        ));
        self
    }

    /// Endpoints are found by name, `localhost`.
    pub fn by_name(mut self) -> Self {
        self.dns = true;
        self
    }

    /// As YAML.
    pub fn documents(&self) -> String {
        let mut yaml = format!(
            "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: 8080, name: http, protocol: HTTP}}, hosts: ['*']}}
{https}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all}}
spec:
  hosts: ['*']
  gateways: [gate]
  http:
  - {{{rule}route: [{{destination: {{host: app.internal}}}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.internal]
  resolution: {resolution}
  location: MESH_INTERNAL
  ports:
  - {{number: 80, name: main, protocol: {protocol}}}
",
            https = self.https.concat(),
            rule = self.rule,
            resolution = if self.dns { "DNS" } else { "STATIC" },
            protocol = self.protocol.unwrap_or("HTTP"),
        );
        if !self.endpoints.is_empty() {
            yaml.push_str("  endpoints:\n");
        }
        for (position, endpoint) in self.endpoints.iter().enumerate() {
            let address = match self.dns {
                true => "localhost".to_owned(),
                false => endpoint.ip().to_string(),
            };
            let port = endpoint.port();
            let place = self.localities.get(position).unwrap_or(&"");
            writeln!(
                yaml,
                "  - {{address: {address}, ports: {{main: {port}}}, locality: '{place}'}}"
            )
            .unwrap();
        }
        if !self.policy.is_empty() {
            let (kind, policy) = ("DestinationRule", &self.policy);
            write!(
                yaml,
                "---\napiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: app}}\n\
                 spec: {{host: app.internal, trafficPolicy: {policy}}}\n"
            )
            .unwrap();
        }
        if !self.health_check.is_empty() {
            let (kind, check) = ("HealthCheckPolicy", &self.health_check);
            write!(
                yaml,
                "---\napiVersion: dalbi.io/v1alpha1\nkind: {kind}\nmetadata: {{name: app}}\nspec: {{\
                 targetRefs: [{{group: networking.istio.io, kind: ServiceEntry, name: app}}], \
                 http: {{path: /healthz}}, {check}}}\n"
            )
            .unwrap();
        }
        if !self.balancing.is_empty() {
            let (kind, fields) = ("BalancingPolicy", &self.balancing);
            write!(
                yaml,
                "---\napiVersion: dalbi.io/v1alpha1\nkind: {kind}\nmetadata: {{name: app}}\nspec: {{\
                 targetRef: {{kind: ServiceEntry, name: app}}, {fields}}}\n"
            )
            .unwrap();
        }
        yaml
    }

    /// Serves it, showing response flags to clients. The folder lives as long as it is served.
    pub fn serve(&self, arguments: &[&str]) -> (Dalbi, Folder) {
        let folder = Folder::new();
        (self.serve_in(&folder, arguments), folder)
    }

    /// Serves it from a folder that may hold further files.
    pub fn serve_in(&self, folder: &Folder, arguments: &[&str]) -> Dalbi {
        folder.write("site.yaml", &self.documents());
        Dalbi::run(folder.path(), &[&["--response-flags"], arguments].concat())
    }
}
