//! What is spoken on a port, by Istio's rules for explicit protocols, `appProtocol` and port names.

use crate::model::UpstreamProtocol;

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Http2,
    Https,
    /// TLS that is not terminated as HTTP.
    Tls,
    /// Bytes: TCP, databases, UDP.
    Opaque,
    /// Not said. Istio would sniff; HTTP is assumed.
    Unknown,
}

/// Ports whose servers speak first; a client that waits for HTTP there would hang (Istio's list).
const SERVER_FIRST_PORTS: [u16; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// An Istio `protocol`, in any case.
    pub(crate) fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "http" | "http_proxy" => Self::Http,
            "http2" | "grpc" | "grpc-web" | "grpc-web-text" => Self::Http2,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" | "udp" | "mongo" | "redis" | "mysql" | "hbone" | "double-hbone" => Self::Opaque,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn is_known(name: &str) -> bool {
        Self::parse(name) != Self::Unknown
    }

    /// By the name of a port: `http`, `http-web`, `grpc-web-api`.
    pub(crate) fn of_port_name(name: &str, number: u16) -> Self {
        let name = name.to_ascii_lowercase();
        let prefix = if name.starts_with("grpc-web") {
            "grpc-web"
        } else {
            name.split('-').next().unwrap_or_default()
        };
        match Self::parse(prefix) {
            Self::Unknown if SERVER_FIRST_PORTS.contains(&number) => Self::Opaque,
            protocol => protocol,
        }
    }

    /// A Kubernetes service port: `appProtocol` before the name, and UDP is never HTTP.
    pub(crate) fn of_service_port(
        transport: &str,
        app_protocol: Option<&str>,
        name: &str,
        number: u16,
    ) -> Self {
        if transport != "TCP" {
            return Self::Opaque;
        }
        match app_protocol {
            Some("kubernetes.io/h2c") => Self::Http2,
            Some("kubernetes.io/ws") => Self::Http,
            Some("kubernetes.io/wss") => Self::Https,
            Some(protocol) if Self::is_known(protocol) => Self::parse(protocol),
            _ => Self::of_port_name(name, number),
        }
    }

    /// Whether requests can be routed to it.
    pub(crate) fn is_http(self) -> bool {
        match self {
            Self::Http | Self::Http2 | Self::Unknown => true,
            Self::Https | Self::Tls | Self::Opaque => false,
        }
    }

    pub(crate) fn upstream(self) -> UpstreamProtocol {
        match self {
            Self::Http2 => UpstreamProtocol::Http2,
            _ => UpstreamProtocol::Http1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_app_protocols() {
        let of = |app, name, number| Protocol::of_service_port("TCP", app, name, number);
        assert_eq!(of(None, "http-web", 1), Protocol::Http);
        assert_eq!(of(None, "grpc-web-api", 1), Protocol::Http2);
        assert_eq!(of(None, "grpc", 1), Protocol::Http2);
        assert_eq!(of(None, "tcp-mysql", 1), Protocol::Opaque);
        assert_eq!(of(None, "", 3306), Protocol::Opaque);
        assert_eq!(of(None, "https", 1), Protocol::Https);
        assert_eq!(of(None, "web", 8080), Protocol::Unknown);
        assert_eq!(of(Some("kubernetes.io/h2c"), "http", 1), Protocol::Http2);
        assert_eq!(of(Some("tcp"), "http", 1), Protocol::Opaque);
        assert_eq!(of(Some("example.com/own"), "http", 1), Protocol::Http);
        assert_eq!(
            Protocol::of_service_port("UDP", None, "http", 80),
            Protocol::Opaque
        );
    }
}
