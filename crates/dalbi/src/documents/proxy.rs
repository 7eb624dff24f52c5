//! The documents that `dalbi proxy` stands for.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A plain proxy, in words of documents.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where clients connect; an unspecified address leaves it to `--bind`.
    pub(crate) from: SocketAddr,
    /// The servers, at least one, all of one scheme.
    pub(crate) to: Vec<Target>,
    /// Istio's name of the algorithm; `None` is our own choice.
    pub(crate) policy: Option<&'static str>,
    /// Path of an active health check.
    pub(crate) health_check: Option<String>,
    /// The servers speak HTTP/2.
    pub(crate) http2: bool,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
    /// The server speaks TLS.
    pub(crate) tls: bool,
}

/// Why a `--to` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("`{0}` is not a server; write HOST:PORT, http://HOST:PORT or https://HOST[:PORT]")]
    Form(String),
    #[error("`{0}` has a path; requests keep their own, so name the server only")]
    Path(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refused = || TargetError::Form(text.to_owned());
        let complete = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: http::Uri = complete.parse().map_err(|_| refused())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused()),
        };
        if uri.path() != "/" || uri.query().is_some() {
            return Err(TargetError::Path(text.to_owned()));
        }
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(refused)?;
        let port = uri
            .port_u16()
            .or(tls.then_some(443))
            .filter(|port| *port > 0)
            .ok_or_else(refused)?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            tls,
        })
    }
}

impl Proxy {
    /// Commented YAML, a start for one's own documents.
    pub(crate) fn documents(&self) -> String {
        let mut yaml = String::new();
        self.write(&mut yaml).expect("a String takes everything");
        yaml
    }

    fn write(&self, yaml: &mut String) -> std::fmt::Result {
        let port = self.from.port();
        let tls = self.to.iter().any(|target| target.tls);
        let protocol = match (tls, self.http2) {
            (_, true) => "HTTP2",
            (true, false) => "HTTPS",
            (false, false) => "HTTP",
        };
        writeln!(
            yaml,
            "# What `dalbi proxy` serves with these options. Save it as a file in a folder of its own,"
        )?;
        writeln!(
            yaml,
            "# change it as you like, and serve it with `dalbi run FOLDER`."
        )?;
        writeln!(yaml)?;
        writeln!(yaml, "# Where clients connect.")?;
        header(yaml, "networking.istio.io/v1", "Gateway", "proxy")?;
        writeln!(yaml, "spec:")?;
        writeln!(yaml, "  selector:")?;
        writeln!(yaml, "    istio: ingressgateway")?;
        writeln!(yaml, "  servers:")?;
        writeln!(yaml, "  - port:")?;
        writeln!(yaml, "      number: {port}")?;
        writeln!(yaml, "      name: http")?;
        writeln!(yaml, "      protocol: HTTP")?;
        if !self.from.ip().is_unspecified() {
            writeln!(yaml, "    bind: {:?}", self.from.ip().to_string())?;
        }
        writeln!(yaml, "    hosts:")?;
        writeln!(yaml, "    - \"*\"")?;
        writeln!(yaml, "---")?;
        writeln!(
            yaml,
            "# Which requests go where: all of them to one service."
        )?;
        header(yaml, "networking.istio.io/v1", "VirtualService", "proxy")?;
        writeln!(yaml, "spec:")?;
        writeln!(yaml, "  hosts:")?;
        writeln!(yaml, "  - \"*\"")?;
        writeln!(yaml, "  gateways:")?;
        writeln!(yaml, "  - proxy")?;
        writeln!(yaml, "  http:")?;
        writeln!(yaml, "  - route:")?;
        writeln!(yaml, "    - destination:")?;
        writeln!(yaml, "        host: servers.internal")?;
        writeln!(yaml, "---")?;
        self.write_servers(yaml, protocol)?;
        self.write_policy(yaml, tls)?;
        self.write_health_check(yaml)
    }

    fn write_servers(&self, yaml: &mut String, protocol: &str) -> std::fmt::Result {
        let all_addresses = self
            .to
            .iter()
            .all(|target| target.host.parse::<IpAddr>().is_ok());
        writeln!(yaml, "# The service: its servers.")?;
        header(yaml, "networking.istio.io/v1", "ServiceEntry", "servers")?;
        writeln!(yaml, "spec:")?;
        writeln!(yaml, "  hosts:")?;
        writeln!(yaml, "  - servers.internal")?;
        writeln!(yaml, "  location: MESH_INTERNAL")?;
        // Names are resolved again and again, and every address they have is a server.
        writeln!(
            yaml,
            "  resolution: {}",
            if all_addresses { "STATIC" } else { "DNS" }
        )?;
        writeln!(yaml, "  ports:")?;
        writeln!(yaml, "  - number: 80")?;
        writeln!(yaml, "    name: http")?;
        writeln!(yaml, "    protocol: {protocol}")?;
        writeln!(yaml, "  endpoints:")?;
        for target in &self.to {
            writeln!(yaml, "  - address: {:?}", target.host)?;
            writeln!(yaml, "    ports:")?;
            writeln!(yaml, "      http: {}", target.port)?;
        }
        Ok(())
    }

    fn write_policy(&self, yaml: &mut String, tls: bool) -> std::fmt::Result {
        if self.policy.is_none() && !tls {
            return Ok(());
        }
        writeln!(yaml, "---")?;
        writeln!(yaml, "# How the servers are talked to.")?;
        header(yaml, "networking.istio.io/v1", "DestinationRule", "servers")?;
        writeln!(yaml, "spec:")?;
        writeln!(yaml, "  host: servers.internal")?;
        writeln!(yaml, "  trafficPolicy:")?;
        if let Some(policy) = self.policy {
            writeln!(yaml, "    loadBalancer:")?;
            writeln!(yaml, "      simple: {policy}")?;
        }
        if tls {
            writeln!(yaml, "    tls:")?;
            writeln!(yaml, "      mode: SIMPLE")?;
            if let Some(named) = self
                .to
                .iter()
                .find(|target| target.host.parse::<IpAddr>().is_err())
            {
                writeln!(yaml, "      sni: {:?}", named.host)?;
            }
        }
        Ok(())
    }

    fn write_health_check(&self, yaml: &mut String) -> std::fmt::Result {
        let Some(path) = &self.health_check else {
            return Ok(());
        };
        writeln!(yaml, "---")?;
        writeln!(
            yaml,
            "# Servers that do not answer this are left out until they do."
        )?;
        header(yaml, "dalbi.io/v1alpha1", "HealthCheckPolicy", "servers")?;
        writeln!(yaml, "spec:")?;
        writeln!(yaml, "  targetRefs:")?;
        writeln!(yaml, "  - group: networking.istio.io")?;
        writeln!(yaml, "    kind: ServiceEntry")?;
        writeln!(yaml, "    name: servers")?;
        writeln!(yaml, "  http:")?;
        writeln!(yaml, "    path: {path:?}")
    }
}

fn header(yaml: &mut String, api_version: &str, kind: &str, name: &str) -> std::fmt::Result {
    writeln!(yaml, "apiVersion: {api_version}")?;
    writeln!(yaml, "kind: {kind}")?;
    writeln!(yaml, "metadata:")?;
    writeln!(yaml, "  name: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let target = |host: &str, port, tls| Target {
            host: host.to_owned(),
            port,
            tls,
        };
        for (text, expected) in [
            ("127.0.0.1:9001", target("127.0.0.1", 9001, false)),
            ("http://app:80", target("app", 80, false)),
            ("https://app", target("app", 443, true)),
            ("[::1]:9001", target("::1", 9001, false)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "app",
            "http://app",
            ":9001",
            "ftp://app:1",
            "app:0",
            "app:99999",
            "",
        ] {
            assert_eq!(
                text.parse::<Target>(),
                Err(TargetError::Form(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            "app:1/x".parse::<Target>(),
            Err(TargetError::Path("app:1/x".to_owned()))
        );
    }
}
