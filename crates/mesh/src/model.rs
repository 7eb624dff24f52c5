//! The validated result of loading documents: what a dispatcher serves. Every reference is resolved.

mod interference;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::affinity::{HashKey, UserLocality};
use crate::hosts::HostTable;

pub use interference::*;
pub use tls::*;

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
