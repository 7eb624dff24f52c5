//! The validated result of loading documents: what a dispatcher serves. Every reference is resolved.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::affinity::{HashKey, UserLocality};
use crate::hosts::{HostTable, PatternMap, host_of};

/// Everything that is served: listeners whose routes lead to clusters.
#[derive(Debug, Default)]
pub struct Mesh {
    /// Gateway listeners in order of port, then the mesh listener (if any service exists).
    pub listeners: Vec<Listener>,
    /// Every destination a route can name, indexed by [`ClusterId`].
    pub clusters: Vec<Cluster>,
}

/// Position in [`Mesh::clusters`]; valid only within its own `Mesh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// One port that is listened on.
#[derive(Debug)]
pub struct Listener {
    /// For people and metrics: `gateway default/bookinfo-gateway:80` or `mesh`.
    pub name: String,
    /// What it is for.
    pub kind: ListenerKind,
    /// The address from the document, if it names one (`bind`); else the dispatcher's `--bind`.
    pub address: Option<IpAddr>,
    /// The port as in the document (the dispatcher adds `--port-offset`).
    pub port: u16,
    /// Termination settings; `None` is plain text.
    pub tls: Option<TlsTermination>,
    /// Host name to routes.
    pub hosts: HostTable,
    /// The same for each of `tls.servers`, by position: a connection whose handshake chose a server sees only
    /// that server's hosts, so that one server's client-certificate rule can't be passed by naming another's
    /// host in `Host`. Empty without `tls`.
    pub server_hosts: Vec<HostTable>,
    /// Where connections go on a port of plain TCP, the first that takes a connection; empty where HTTP is spoken or
    /// TLS decides.
    pub tcp: Vec<TcpRoute>,
}

/// Where a connection's bytes go as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpRoute {
    /// The rule's own name or `namespace/name#index`, for logs and `explain`.
    pub name: String,
    /// Each connection goes to one of these by weight.
    pub destinations: Vec<WeightedDestination>,
    /// Where the rule stands.
    pub source: crate::Source,
}

impl TcpRoute {
    /// Where one connection goes. `draw` is a uniformly random number; `None` if there is nowhere.
    pub fn destination(&self, draw: u64) -> Option<&WeightedDestination> {
        crate::route::draw_destination(&self.destinations, draw)
    }
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// A port of an Istio `Gateway`.
    Gateway,
    /// The listener on 127.0.0.1:15001 that routes by `Host` to every service: its host name, the shorter names
    /// that Kubernetes gives it, and `NAME.localhost` for tools on this machine.
    Mesh,
}

/// What a listener does with TLS connections.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsTermination {
    /// In document order.
    pub servers: Vec<TlsServer>,
    /// Positions in `servers`.
    by_name: PatternMap<Option<usize>>,
}

impl TlsTermination {
    /// Servers, of which the first to have a name keeps it.
    pub fn new(servers: Vec<TlsServer>) -> Self {
        let mut by_name = PatternMap::<Option<usize>>::default();
        for (position, server) in servers.iter().enumerate() {
            for pattern in &server.hosts {
                by_name.entry(pattern).get_or_insert(position);
            }
        }
        Self { servers, by_name }
    }

    /// The position in [`Self::servers`] of the server that a client asking for `server_name` gets: exact name
    /// before the longest wildcard before `*`. Without a name (or with one nobody has) only a `*` server answers.
    /// A port beside the name, capitals and the root's dot make no difference.
    pub fn select(&self, server_name: Option<&str>) -> Option<usize> {
        let mut buffer = [0; 256];
        let (name, _) = host_of(server_name.unwrap_or_default(), &mut buffer);
        let (position, _) = self.by_name.find(&name)?;
        *position
    }
}

/// One `Gateway` server's TLS settings.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsServer {
    /// SNI patterns: exact, `*.suffix`, or `*`.
    pub hosts: Vec<String>,
    /// Server certificates (several for RSA and ECDSA).
    pub certificates: Vec<CertificateSource>,
    /// Client certificates.
    pub client_auth: ClientAuth,
    /// `None` means TLS 1.2.
    pub min_version: Option<TlsVersion>,
    /// `None` means TLS 1.3.
    pub max_version: Option<TlsVersion>,
    /// ALPN in order of preference: `h2`, `http/1.1`.
    pub alpn: Vec<String>,
    /// What is done with a connection.
    pub action: TlsAction,
}

impl TlsServer {
    /// A server of these names that serves nobody.
    pub(crate) fn refusing(hosts: Vec<String>) -> Self {
        Self {
            hosts,
            certificates: Vec::new(),
            client_auth: ClientAuth::None,
            min_version: None,
            max_version: None,
            alpn: Vec::new(),
            action: TlsAction::Refuse,
        }
    }
}

/// What is done with a connection once its handshake has begun.
#[derive(Debug, Clone, PartialEq)]
pub enum TlsAction {
    /// Decrypted; its requests are routed.
    Http,
    /// Decrypted; its bytes go on.
    Tcp(TcpRoute),
    /// Its bytes go on as they are; the server has no certificates.
    Passthrough(TcpRoute),
    /// The handshake fails: the server lacks a certificate, or what it must check clients by. It is kept so that no
    /// server of a wider name takes its place, which may ask less of clients.
    Refuse,
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientAuth {
    /// Not asked for.
    None,
    /// Asked for; a bad one is refused, none is let in (`OPTIONAL_MUTUAL`).
    Optional(Pem),
    /// Asked for; a bad one and none are both let in (Gateway API's `AllowInsecureFallback`).
    Unverified,
    /// Needed (`MUTUAL`). The CA bundle it must chain to.
    Required(Pem),
}

/// TLS protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateSource {
    /// PEM chain, leaf first.
    pub chain: Pem,
    /// PEM private key.
    pub key: Pem,
}

/// PEM text: in a file (reloaded when it changes) or from a `Secret` document.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file. A relative name in a document has been joined to the document's folder as it was named to
    /// [`crate::load`].
    File(PathBuf),
    /// The text itself. Never printed.
    Inline(Arc<[u8]>),
}

/// Position in [`crate::HostTable::virtual_hosts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtualHostId(pub u32);

/// Routes of a set of host names, first match wins.
#[derive(Debug, Default)]
pub struct VirtualHost {
    /// `namespace/name` of the VirtualService, or the service's host name.
    pub name: String,
    /// Its own, in order.
    pub routes: Vec<Arc<Route>>,
    /// Those of wider host patterns, which come after its own: the narrowest pattern first. Every host that a wider
    /// pattern takes in has the same list.
    pub wider: Vec<Arc<[Arc<Route>]>>,
}

impl VirtualHost {
    /// All routes that its requests can take, in the order in which they are tried.
    pub fn all_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let wider = self.wider.iter().flat_map(|routes| routes.iter());
        self.routes.iter().chain(wider)
    }
}

/// One rule.
#[derive(Debug)]
pub struct Route {
    /// The rule's own name or `namespace/name#index`, for logs and `explain`.
    pub name: String,
    /// Any of these; empty matches everything.
    pub matches: Vec<crate::route::RequestMatch>,
    /// What happens.
    pub action: Action,
    /// Header changes of the rule (`http[].headers`).
    pub headers: HeaderEdits,
    /// Whole time for the request, all tries; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Further tries.
    pub retries: RetryPolicy,
    /// Change of path or authority.
    pub rewrite: Option<crate::route::Rewrite>,
    /// Requests held up or failed on purpose.
    pub fault: Option<Box<Fault>>,
    /// Where copies of requests go.
    pub mirrors: Vec<Mirror>,
    /// Cross-origin requests: preflights are answered, answers get their headers.
    pub cors: Option<Arc<Cors>>,
    /// Where the rule stands: file and line, for `explain`.
    pub source: crate::Source,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Forward to one of these by weight (weight 0 is never chosen unless it is the only one).
    Forward(Vec<WeightedDestination>),
    /// Answer with a redirect.
    Redirect(crate::route::Redirect),
    /// Answer directly.
    DirectResponse {
        /// 100 to 599.
        status: u16,
        /// May be empty.
        body: Arc<[u8]>,
    },
}

/// A destination with its share.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedDestination {
    /// Relative to the sum over the route.
    pub weight: u32,
    /// `Err` where there is nothing that requests may be sent to: they are answered with its status and flag `NC` (no
    /// cluster), as in Envoy.
    pub cluster: Result<ClusterId, NoCluster>,
    /// Header changes of this destination (`route[].headers`).
    pub headers: HeaderEdits,
    /// What Gateway API lets a backend have of its own.
    pub filters: Option<Box<DestinationFilters>>,
}

/// Why nothing can be sent to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCluster {
    /// 503 for Istio's documents, 500 for the Gateway API's.
    pub status: u16,
    /// What is missing, or why nothing may be sent there (TLS that can't be had as written). For people who read
    /// logs and `explain`, not for clients.
    pub reason: String,
    /// What the document names, so that rules can be tried without the services they lead to.
    pub wanted: Option<Box<DestinationName>>,
}

/// A destination as a document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationName {
    /// In full.
    pub host: String,
    /// `None` where it is left to the service.
    pub port: Option<u16>,
    /// Empty for the whole service.
    pub subset: String,
}

impl NoCluster {
    /// As Istio's documents have it: 503.
    pub(crate) fn unavailable(reason: String) -> Self {
        Self {
            status: 503,
            reason,
            wanted: None,
        }
    }

    /// Says what the document names.
    pub(crate) fn wanting(self, name: DestinationName) -> Self {
        Self {
            wanted: Some(Box::new(name)),
            ..self
        }
    }
}

/// Filters of a Gateway API backend. They come after the rule's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DestinationFilters {
    /// Instead of forwarding.
    pub redirect: Option<crate::route::Redirect>,
    /// Change of path or authority.
    pub rewrite: Option<crate::route::Rewrite>,
    /// Where copies of requests go.
    pub mirrors: Vec<Mirror>,
    /// In place of the rule's.
    pub cors: Option<Arc<Cors>>,
}

/// A part of all requests, in parts of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction(u32);

impl Fraction {
    /// All requests.
    pub const ALL: Self = Self(1_000_000);
    /// No request.
    pub const NONE: Self = Self(0);

    /// `percent` in 0 to 100, to four decimal places, as Envoy keeps it; what is above 100 is 100.
    pub fn from_percent(percent: f64) -> Self {
        Self((percent.clamp(0.0, 100.0) * 10_000.0).round() as u32)
    }

    /// `numerator` of `denominator`; at most all. With a denominator of 0 none.
    pub fn of(numerator: u32, denominator: u32) -> Self {
        let parts = u64::from(numerator) * 1_000_000;
        let parts = parts.checked_div(u64::from(denominator)).unwrap_or(0);
        Self(parts.min(1_000_000) as u32)
    }

    /// Whether a uniformly random number falls within the fraction.
    pub fn includes(self, draw: u64) -> bool {
        ((u128::from(draw) * 1_000_000) >> 64) < u128::from(self.0)
    }

    /// 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

/// Requests held up or failed on purpose (Istio `fault`).
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// How many requests wait for how long before anything else happens.
    pub delay: Option<(Fraction, Duration)>,
    /// How many requests are answered with what.
    pub abort: Option<(Fraction, Abort)>,
}

/// The answer that stands for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// A status of HTTP, 200 to 599.
    Http(u16),
    /// A status of gRPC, 0 to 16, on an answer with HTTP status 200.
    Grpc(u8),
}

/// Where copies of requests go. What comes of them is thrown away.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// `Err` says what is missing; nothing is copied then.
    pub cluster: Result<ClusterId, NoCluster>,
    /// How many requests are copied.
    pub share: Fraction,
}

/// Who may read answers from another origin's page (the Fetch standard's CORS protocol).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cors {
    /// Any of these. What `*` within means is for [`crate::StringMatch`] to say.
    pub allow_origins: Vec<crate::route::StringMatch>,
    /// For `Access-Control-Allow-Methods`; `*` is any.
    pub allow_methods: Vec<String>,
    /// For `Access-Control-Allow-Headers`; `*` is any.
    pub allow_headers: Vec<String>,
    /// For `Access-Control-Expose-Headers`.
    pub expose_headers: Vec<String>,
    /// For `Access-Control-Max-Age`.
    pub max_age: Option<Duration>,
    /// `Access-Control-Allow-Credentials: true`.
    pub allow_credentials: bool,
    /// Whether a preflight of a foreign origin is forwarded (Istio's `FORWARD`, its default) instead of being
    /// answered without the headers.
    pub forwards_unmatched: bool,
}

/// Header changes, applied remove, then set, then add. Names are lower case.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HeaderEdits {
    /// On the request.
    pub request: HeaderOperations,
    /// On the response.
    pub response: HeaderOperations,
}

/// Changes of one message's headers. `host`/`:authority` in `set` changes the authority.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HeaderOperations {
    /// Replace or add.
    pub set: Vec<(String, String)>,
    /// Append another field line.
    pub add: Vec<(String, String)>,
    /// Take away.
    pub remove: Vec<String>,
}

/// When and how often to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Tries after the first; 0 switches retries off.
    pub attempts: u32,
    /// Per try; `None` is the whole timeout.
    pub per_try_timeout: Option<Duration>,
    /// Conditions.
    pub on: RetryOn,
    /// Further status codes that are tried again (`503` or `retriable-status-codes`).
    pub statuses: Vec<u16>,
    /// First back-off; doubles with full jitter up to ten times this. Istio's default is 25 ms.
    pub backoff: Duration,
    /// Further tries prefer localities that were not tried (`retryRemoteLocalities`).
    pub prefer_other_localities: bool,
    /// Further tries prefer endpoints that were not tried; `retryIgnorePreviousHosts: false` switches it off.
    pub prefer_other_endpoints: bool,
}

/// Envoy's `retry_on` conditions (both HTTP and gRPC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    missing_docs,
    reason = "named and defined by Envoy's router filter documentation"
)]
pub struct RetryOn {
    pub any_5xx: bool,
    pub gateway_error: bool,
    pub reset: bool,
    pub reset_before_request: bool,
    pub connect_failure: bool,
    pub refused_stream: bool,
    pub retriable_4xx: bool,
    pub grpc_cancelled: bool,
    pub grpc_deadline_exceeded: bool,
    pub grpc_internal: bool,
    pub grpc_resource_exhausted: bool,
    pub grpc_unavailable: bool,
}

/// A service's port, or a subset of it, with the endpoints behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `outbound|9080|v1|reviews.default.svc.cluster.local`, as Istio names it. Its identity across reloads.
    pub name: String,
    /// Host name of the service.
    pub host: String,
    /// Namespace of the service.
    pub namespace: String,
    /// The service's port.
    pub port: u16,
    /// The subset's name, empty for the whole service.
    pub subset: String,
    /// What is spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// Endpoints with their weights and localities.
    pub endpoints: Vec<Endpoint>,
    /// Algorithm, ejection and panic. Where the dispatcher runs, and its part of a very large list, are its own to
    /// fill in.
    pub balancing: alba::Settings,
    /// What consistent hashing goes by, in order of preference; empty for the algorithms that do not hash.
    pub hash: Vec<HashKey>,
    /// What tells where a request's user is; `None` takes the dispatcher's own place.
    pub user_locality: Option<UserLocality>,
    /// Path at which endpoints say their load; `None` sends no probes.
    pub probe_path: Option<String>,
    /// Whose requests go first while there is too much to do; `None` lets all of them through.
    pub admission: Option<Admission>,
    /// Limits and timeouts.
    pub connection_pool: ConnectionPool,
    /// `None` is plain text.
    pub tls: Option<TlsOrigination>,
    /// Active checks.
    pub health_check: Option<HealthCheck>,
}

/// Tenants' shares under overload.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// The header that names a request's tenant, in lower case; requests without it are one tenant. Whatever sets
    /// it has to be trusted: each name has a share.
    pub tenant_header: String,
    /// Weights and limits.
    pub settings: alba::AdmissionSettings,
}

impl Admission {
    /// The tenant of that name.
    pub fn tenant(name: &[u8]) -> alba::TenantId {
        alba::TenantId(crate::affinity::stable_hash(name))
    }
}

/// What is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by prior knowledge, or ALPN under TLS.
    Http2,
}

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where to connect.
    pub address: EndpointAddress,
    /// At least 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: alba::Locality,
    /// Its level, 0 the most wanted, as [`alba::Endpoint::priority`].
    pub priority: u32,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// An IP and port.
    Ip(SocketAddr),
    /// A name that the dispatcher resolves (all addresses are endpoints).
    Dns(String, u16),
    /// A name of which the first address is used (Istio's `DNS_ROUND_ROBIN`, Envoy's `LOGICAL_DNS`).
    DnsFirst(String, u16),
    /// A Unix socket (`unix:///path`).
    Unix(PathBuf),
}

/// Limits and timeouts towards a cluster's endpoints (Istio `connectionPool`).
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionPool {
    /// Connections to the whole cluster; Istio's default is 2^32-1.
    pub max_connections: u32,
    /// Istio's default is 10 s.
    pub connect_timeout: Duration,
    /// `tcp.tcpKeepalive`; `None` leaves it off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Requests that may wait for a connection (`http1MaxPendingRequests`).
    pub max_pending_requests: u32,
    /// Requests in flight to the cluster (`http2MaxRequests`).
    pub max_requests: u32,
    /// 0 is no limit.
    pub max_requests_per_connection: u32,
    /// Retries in flight to the cluster (`maxRetries`).
    pub max_retries: u32,
    /// Idle connections are closed after this; Istio's default is 1 h.
    pub idle_timeout: Duration,
}

/// TCP keepalive probes.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpKeepalive {
    /// Unanswered probes before the connection is dead.
    pub probes: Option<u32>,
    /// Idle time before the first.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}

/// TLS towards endpoints (`DestinationRule` `tls`).
#[derive(Debug, Clone, PartialEq)]
pub struct TlsOrigination {
    /// Server name; `None` uses the request's authority.
    pub sni: Option<String>,
    /// Trust anchors; `None` means the system's, as in Istio's SIMPLE without caCertificates… see `verify`.
    pub ca: Option<Pem>,
    /// Shown to the server (`MUTUAL`).
    pub client_certificate: Option<CertificateSource>,
    /// One of these, DNS names or URIs, must be in the server's certificate; empty checks the SNI.
    pub subject_alt_names: Vec<String>,
    /// False for `insecureSkipVerify`.
    pub verify: bool,
}

/// Active HTTP checks (`dalbi.io/v1alpha1` `HealthCheckPolicy`).
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Path of the GET.
    pub path: String,
    /// `Host` of the GET; `None` uses the service's host name.
    pub host: Option<String>,
    /// Between checks of one endpoint.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Consecutive good answers that bring an endpoint back.
    pub healthy_threshold: u32,
    /// Consecutive bad answers that put it aside.
    pub unhealthy_threshold: u32,
    /// Statuses that are good, as half-open ranges.
    pub expected_statuses: Vec<std::ops::Range<u16>>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(text) => write!(f, "Inline(<{} bytes redacted>)", text.len()),
        }
    }
}
