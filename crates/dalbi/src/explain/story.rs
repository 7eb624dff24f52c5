//! The explanation in a form that can be printed and serialised.

use std::time::Duration;

use mesh::{
    Action, Cluster, Decision, Explanation, HeaderOperations, HostMatch, Mesh, RequestHead,
    RetryPolicy, Route, UpstreamProtocol, WeightedDestination,
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
    Redirect { status: u16, location: String },
    DirectResponse { status: u16, body: String },
    NotFound,
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
    pub(super) protocol: Option<&'static str>,
    pub(super) tls: bool,
    pub(super) balancing: Option<String>,
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
    /// Routes `request` on the listener at this position.
    pub(crate) fn new(mesh: &Mesh, listener: usize, request: &Request) -> Self {
        let head = Arrived::new(mesh, listener, request);
        // Any draw will do: all destinations are told with their shares.
        let explanation = mesh.explain(listener, &head, 0);
        let at = &mesh.listeners[listener];
        let rule = match &explanation.decision {
            Decision::Forward { route, .. }
            | Decision::Redirect { route, .. }
            | Decision::DirectResponse { route } => Some(RuleStory::new(route)),
            Decision::NotFound => None,
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
            rule,
            outcome: Outcome::new(mesh, request, &explanation),
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
            protocol: known.map(|cluster| match cluster.protocol {
                UpstreamProtocol::Http1 => "HTTP/1.1",
                UpstreamProtocol::Http2 => "HTTP/2",
            }),
            tls: known.is_some_and(|cluster| cluster.tls.is_some()),
            balancing: known.map(|cluster| describe::balancing(cluster)),
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
