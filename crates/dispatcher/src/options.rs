//! What can be set about a dispatcher, each default with its reason.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a dispatcher that documents do not carry.
#[derive(Debug, Clone)]
pub struct Options {
    /// Worker threads, at least 1. Default: the cores this process may use.
    pub workers: usize,
    /// Where listeners bind whose document names no address. Default: every IPv4 address, as Envoy.
    pub bind: IpAddr,
    /// Added to every listener's port, so that port 80 can be tried without privileges. Default: 0.
    pub port_offset: u16,
    /// Asked for endpoints' names instead of the name servers of `/etc/resolv.conf`. Default: none.
    pub dns_server: Option<SocketAddr>,
    /// Bounds on what peers control.
    pub limits: Limits,
    /// Whether answers carry `x-dalbi-response-flags`. Default: no, it tells outsiders about the inside.
    pub response_flags: bool,
    /// Access log. Default: none.
    pub access_log: AccessLog,
    /// Where this dispatcher runs, for the prices of crossings. Default: not known, and nothing has a price.
    pub locality: alba::Locality,
    /// Names this dispatcher among others, which decides about its part of very large lists of endpoints.
    /// Default: a name that nobody else has; one that survives restarts keeps the part.
    pub node_id: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port_offset: 0,
            dns_server: None,
            limits: Limits::default(),
            response_flags: false,
            access_log: AccessLog::default(),
            locality: alba::Locality::default(),
            node_id: None,
        }
    }
}

/// Bounds on what peers control.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From a connection's (or a further request's) first byte to the end of the request head, and for a
    /// TLS handshake. Default 10 s: a phone on a bad network needs a second or two; a slow-loris needs forever.
    pub header_timeout: Duration,
    /// How long a client connection may wait between requests. Default 75 s: longer than the 60 s after
    /// which common load balancers and browsers let go, so that they close first and no request is lost.
    pub idle_timeout: Duration,
    /// How long a request's stream may carry nothing in either direction. Default 5 min, as Envoy's
    /// `stream_idle_timeout`.
    pub stream_idle_timeout: Duration,
    /// How long a connection whose bytes go on as they are may carry nothing in either direction. Default 1 h, as
    /// Envoy's TCP proxy.
    pub tcp_idle_timeout: Duration,
    /// From SIGTERM to the hard stop. Default 25 s: Kubernetes kills after 30 s.
    pub drain_timeout: Duration,
    /// Bytes of a request or response head. Default 32 KiB: larger than HAProxy's 16 KiB and nginx's
    /// 8 KiB lines, smaller than Envoy's 60 KiB.
    pub max_header_bytes: usize,
    /// Header fields of a head. Default 100, as Envoy and HAProxy (101).
    pub max_headers: usize,
    /// Client connections of the whole process; further ones are closed at once. Default 100 000: about
    /// 1.5 GiB when all of them are busy.
    pub max_connections: usize,
    /// Concurrent streams of one HTTP/2 client connection. Default 100, as RFC 9113 section 6.5.2 recommends at least.
    pub max_concurrent_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stream_idle_timeout: Duration::from_secs(300),
            tcp_idle_timeout: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(25),
            max_header_bytes: 32 * 1024,
            max_headers: 100,
            max_connections: 100_000,
            max_concurrent_streams: 100,
        }
    }
}

impl Limits {
    /// The limits as the HTTP/1.1 parser takes them.
    pub(crate) fn http1(&self) -> http1::Limits {
        http1::Limits {
            head_bytes: self.max_header_bytes,
            headers: self.max_headers,
            ..http1::Limits::default()
        }
    }
}

/// Where requests are logged.
#[derive(Debug, Clone, Default)]
pub struct AccessLog {
    /// `None` logs nothing.
    pub format: Option<AccessLogFormat>,
    /// A file to append to; `None` is standard output.
    pub path: Option<PathBuf>,
    /// Log one of so many requests; 0 and 1 log all. Failed requests (5xx or a response flag) are always logged.
    pub sample: u32,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One line in the order of Envoy's default format.
    Text,
    /// One JSON object a line, with Istio's field names.
    Json,
}
