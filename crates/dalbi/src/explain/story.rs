//! The explanation in a form that can be printed and serialised.

use std::time::Duration;

use mesh::{
    Abort, Action, Cluster, Decision, Explanation, Fault, Fraction, HeaderOperations, HostMatch,
    Listener, Mesh, Mirror, RequestHead, RetryPolicy, Route, TcpRoute, TlsAction, UpstreamProtocol,
    WeightedDestination,
};
use serde::Serialize;

use super::{Arrived, Request};
use crate::describe;

/// Everything there is to say about one request.
#[derive(Debug, Serialize)]
pub(crate) struct Story {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) listener: ListenerStory,
    /// `None` when no document has the host.
    pub(super) virtual_host: Option<VirtualHostStory>,
    /// Rules that come before the one that is taken.
    pub(super) rejected: Vec<RejectedRule>,
    /// The rule that is taken.
    pub(super) rule: Option<RuleStory>,
    /// Requests that are held up or failed on purpose before anything else.
    pub(super) fault: Option<FaultStory>,
    /// Who may read answers from another origin's page.
    pub(super) cors: Option<String>,
    /// Where copies go.
    pub(super) mirrors: Vec<MirrorStory>,
    /// Policies about who may call, none of which is enforced.
    pub(super) unenforced_policies: Vec<String>,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Serialize)]
pub(super) struct ListenerStory {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct VirtualHostStory {
    pub(super) name: String,
    /// The kind of host pattern that fitted.
    pub(super) matched_by: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct RejectedRule {
    #[serde(flatten)]
    pub(super) rule: RuleStory,
    /// For each of its match entries what is not fulfilled.
    pub(super) reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct RuleStory {
    pub(super) name: String,
    /// `file:line:column`
    pub(super) source: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum Outcome {
    Forward(Box<ForwardStory>),
    Redirect {
        status: u16,
        location: String,
    },
    DirectResponse {
        status: u16,
        body: String,
    },
    /// Another TLS server of the listener has the host.
    Misdirected,
    NotFound,
    /// Bytes that go on as they are, or decrypted.
    Connection(ConnectionStory),
    /// No server of the listener has the name, so that the handshake fails.
    NoServer {
        server_name: String,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct ConnectionStory {
    pub(super) how: &'static str,
    pub(super) destinations: Vec<DestinationStory>,
}

#[derive(Debug, Serialize)]
pub(super) struct FaultStory {
    pub(super) delay_percent: f64,
    pub(super) delay_ms: Option<f64>,
    pub(super) abort_percent: f64,
    pub(super) abort_status: Option<u16>,
    pub(super) abort_grpc_status: Option<u8>,
    #[serde(skip)]
    pub(super) words: String,
}

#[derive(Debug, Serialize)]
pub(super) struct MirrorStory {
    pub(super) percent: f64,
    /// The cluster's name, or what is missing.
    pub(super) cluster: String,
    /// True when nothing is copied for it.
    pub(super) missing: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ForwardStory {
    /// The request line that the upstream sees.
    pub(super) method: String,
    pub(super) path_and_query: String,
    pub(super) authority: String,
    pub(super) request_headers: HeaderStory,
    pub(super) response_headers: HeaderStory,
    /// `None` is no limit.
    pub(super) timeout_ms: Option<f64>,
    pub(super) retries: RetryStory,
    pub(super) destinations: Vec<DestinationStory>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct HeaderStory {
    pub(super) remove: Vec<String>,
    pub(super) set: Vec<(String, String)>,
    pub(super) add: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
pub(super) struct RetryStory {
    pub(super) attempts: u32,
    pub(super) on: Vec<String>,
    pub(super) per_try_timeout_ms: Option<f64>,
    pub(super) backoff_ms: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct DestinationStory {
    /// 0 to 1.
    pub(super) share: f64,
    /// The cluster's name, or what is missing.
    pub(super) cluster: String,
    /// True when requests that go here get 503 `NC`.
    pub(super) missing: bool,
    /// What such requests get.
    pub(super) status: Option<u16>,
    pub(super) protocol: Option<&'static str>,
    pub(super) tls: bool,
    pub(super) balancing: Option<String>,
    /// What puts an endpoint aside; `None` if nothing does.
    pub(super) outlier_detection: Option<String>,
    /// Redirect, rewrite, mirrors and CORS of its own, in words.
    pub(super) filters: Vec<(String, String)>,
    pub(super) endpoints: Vec<EndpointStory>,
    pub(super) request_headers: HeaderStory,
    pub(super) response_headers: HeaderStory,
}

#[derive(Debug, Serialize)]
pub(super) struct EndpointStory {
    pub(super) address: String,
    pub(super) weight: u32,
}

impl Story {
    /// Routes `request` on the listener at this position. `unenforced_policies` are kinds of documents about who may
    /// call.
    pub(crate) fn new(
        mesh: &Mesh,
        listener: usize,
        request: &Request,
        unenforced_policies: Vec<String>,
    ) -> Self {
        let mut story = Self::of_request(mesh, listener, request);
        story.unenforced_policies = unenforced_policies;
        if let Some((outcome, route)) = connection(mesh, &mesh.listeners[listener], request) {
            story.outcome = outcome;
            story.virtual_host = None;
            story.rule = route.map(|route| RuleStory {
                name: route.name.clone(),
                source: route.source.to_string(),
            });
        }
        story
    }

    fn of_request(mesh: &Mesh, listener: usize, request: &Request) -> Self {
        let head = Arrived::new(mesh, listener, request);
        // Any draw will do: all destinations are told with their shares.
        let explanation = mesh.explain(listener, &head, 0);
        let at = &mesh.listeners[listener];
        let route = match &explanation.decision {
            Decision::Forward { route, .. }
            | Decision::Redirect { route, .. }
            | Decision::DirectResponse { route } => Some(route),
            Decision::Misdirected | Decision::NotFound => None,
        };
        let rejected = explanation.rejected.iter().map(|rejection| RejectedRule {
            rule: RuleStory::new(rejection.route),
            reasons: rejection.reasons.clone(),
        });
        Self {
            method: request.method().to_owned(),
            url: request.url(),
            listener: ListenerStory {
                name: at.name.clone(),
                port: at.port,
                tls: at.tls.is_some(),
            },
            virtual_host: explanation
                .virtual_host
                .map(|(host, kind)| VirtualHostStory {
                    name: host.name.clone(),
                    matched_by: match kind {
                        HostMatch::Exact => "name",
                        HostMatch::Suffix(_) => "wildcard",
                        HostMatch::Any => "*",
                    },
                }),
            rejected: rejected.collect(),
            rule: route.map(|route| RuleStory::new(route)),
            fault: route
                .and_then(|route| route.fault.as_deref())
                .map(FaultStory::new),
            cors: route
                .and_then(|route| route.cors.as_deref())
                .map(describe::cors),
            mirrors: route.map_or_else(Vec::new, |route| {
                route
                    .mirrors
                    .iter()
                    .map(|mirror| MirrorStory::new(mesh, mirror))
                    .collect()
            }),
            unenforced_policies: Vec::new(),
            outcome: Outcome::new(mesh, request, &explanation),
        }
    }
}

/// What becomes of a connection whose bytes are not looked at for requests, and by which rule; `None` where there
/// are requests.
fn connection<'m>(
    mesh: &Mesh,
    listener: &'m Listener,
    request: &Request,
) -> Option<(Outcome, Option<&'m TcpRoute>)> {
    let (how, route) = match &listener.tls {
        None => ("as they are", listener.tcp.first()?),
        Some(tls) => {
            let server = tls.select(Some(request.server_name()));
            let server = server.map(|server| &tls.servers[server]);
            let Some(server) = server.filter(|server| server.action != TlsAction::Refuse) else {
                let server_name = request.server_name().to_owned();
                return Some((Outcome::NoServer { server_name }, None));
            };
            match &server.action {
                TlsAction::Http | TlsAction::Refuse => return None,
                TlsAction::Tcp(route) => ("decrypted", route),
                TlsAction::Passthrough(route) => ("as they are, TLS and all", route),
            }
        }
    };
    let total: u64 = route
        .destinations
        .iter()
        .map(|to| u64::from(to.weight))
        .sum();
    let share = |to: &WeightedDestination| match route.destinations.len() {
        1 => 1.0,
        _ => f64::from(to.weight) / total.max(1) as f64,
    };
    let destinations = route.destinations.iter();
    let destinations = destinations.map(|to| DestinationStory::new(mesh, to, share(to)));
    let story = ConnectionStory {
        how,
        destinations: destinations.collect(),
    };
    Some((Outcome::Connection(story), Some(route)))
}

impl FaultStory {
    fn new(fault: &Fault) -> Self {
        let (delay, abort) = (fault.delay, fault.abort);
        let percent = |share: Option<Fraction>| share.unwrap_or(Fraction::NONE).percent();
        Self {
            delay_percent: percent(delay.map(|(share, _)| share)),
            delay_ms: delay.map(|(_, time)| milliseconds(time)),
            abort_percent: percent(abort.map(|(share, _)| share)),
            abort_status: abort.and_then(|(_, abort)| match abort {
                Abort::Http(status) => Some(status),
                Abort::Grpc(_) => None,
            }),
            abort_grpc_status: abort.and_then(|(_, abort)| match abort {
                Abort::Http(_) => None,
                Abort::Grpc(status) => Some(status),
            }),
            words: describe::fault(fault),
        }
    }
}

impl MirrorStory {
    fn new(mesh: &Mesh, mirror: &Mirror) -> Self {
        Self {
            percent: mirror.share.percent(),
            cluster: match &mirror.cluster {
                Ok(id) => mesh.cluster(*id).name.clone(),
                Err(missing) => missing.reason.clone(),
            },
            missing: mirror.cluster.is_err(),
        }
    }
}

impl RuleStory {
    fn new(route: &Route) -> Self {
        Self {
            name: route.name.clone(),
            source: route.source.to_string(),
        }
    }
}

impl Outcome {
    fn new(mesh: &Mesh, request: &Request, explanation: &Explanation<'_>) -> Self {
        match &explanation.decision {
            Decision::Forward { route, .. } => Self::Forward(Box::new(ForwardStory::new(
                mesh,
                request,
                route,
                explanation,
            ))),
            Decision::Redirect {
                status, location, ..
            } => Self::Redirect {
                status: *status,
                location: location.clone(),
            },
            Decision::DirectResponse { route } => match &route.action {
                Action::DirectResponse { status, body } => Self::DirectResponse {
                    status: *status,
                    body: String::from_utf8_lossy(body).into_owned(),
                },
                Action::Forward(_) | Action::Redirect(_) => Self::NotFound,
            },
            Decision::Misdirected => Self::Misdirected,
            Decision::NotFound => Self::NotFound,
        }
    }
}

impl ForwardStory {
    fn new(mesh: &Mesh, request: &Request, route: &Route, explanation: &Explanation<'_>) -> Self {
        let destinations = match &route.action {
            Action::Forward(destinations) => destinations.as_slice(),
            Action::Redirect(_) | Action::DirectResponse { .. } => &[],
        };
        let destinations = destinations.iter().zip(&explanation.shares);
        let unchanged_path = || request.path_and_query().to_owned();
        Self {
            method: request.method().to_owned(),
            path_and_query: explanation
                .path_and_query
                .clone()
                .unwrap_or_else(unchanged_path),
            authority: explanation
                .authority
                .clone()
                .unwrap_or_else(|| request.authority().to_owned()),
            request_headers: HeaderStory::new(&route.headers.request),
            response_headers: HeaderStory::new(&route.headers.response),
            timeout_ms: route.timeout.map(milliseconds),
            retries: RetryStory::new(&route.retries),
            destinations: destinations
                .map(|(destination, share)| DestinationStory::new(mesh, destination, share.share))
                .collect(),
        }
    }
}

impl HeaderStory {
    fn new(operations: &HeaderOperations) -> Self {
        let HeaderOperations {
            set, add, remove, ..
        } = operations;
        Self {
            remove: remove.clone(),
            set: set.clone(),
            add: add.clone(),
        }
    }
}

impl RetryStory {
    fn new(policy: &RetryPolicy) -> Self {
        Self {
            attempts: policy.attempts,
            on: describe::retry_conditions(policy),
            per_try_timeout_ms: policy.per_try_timeout.map(milliseconds),
            backoff_ms: milliseconds(policy.backoff),
        }
    }
}

impl DestinationStory {
    fn new(mesh: &Mesh, destination: &WeightedDestination, share: f64) -> Self {
        let cluster = destination.cluster.as_ref().map(|id| mesh.cluster(*id));
        let known = cluster.as_ref().ok();
        Self {
            share,
            cluster: cluster.as_ref().map_or_else(
                |missing| missing.reason.clone(),
                |cluster| cluster.name.clone(),
            ),
            missing: cluster.is_err(),
            status: cluster.as_ref().err().map(|missing| missing.status),
            protocol: known.map(|cluster| match cluster.protocol {
                UpstreamProtocol::Http1 => "HTTP/1.1",
                UpstreamProtocol::Http2 => "HTTP/2",
            }),
            tls: known.is_some_and(|cluster| cluster.tls.is_some()),
            balancing: known.map(|cluster| describe::balancing(cluster)),
            outlier_detection: known
                .and_then(|cluster| cluster.balancing.outlier_detection.as_ref())
                .map(describe::outlier_detection),
            filters: describe::destination_filters(mesh, destination),
            endpoints: known.map_or_else(Vec::new, |cluster| endpoints(cluster)),
            request_headers: HeaderStory::new(&destination.headers.request),
            response_headers: HeaderStory::new(&destination.headers.response),
        }
    }
}

fn endpoints(cluster: &Cluster) -> Vec<EndpointStory> {
    let story = |endpoint: &mesh::Endpoint| EndpointStory {
        address: describe::endpoint_address(&endpoint.address),
        weight: endpoint.weight,
    };
    cluster.endpoints.iter().map(story).collect()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
