//! What the admin server and the binary show of a dispatcher.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::clock;
use crate::cluster::Cluster;
use crate::snapshot::{InForce, Snapshot};

/// A listener.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ListenerView {
    /// As the mesh names it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it terminates TLS.
    pub tls: bool,
}

/// A cluster with its endpoints.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ClusterView {
    /// `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub name: String,
    /// The shown id of the generation in force that has it; of the canary only where it has another of that name.
    pub generation: String,
    /// Connections open to it.
    pub connections: u32,
    /// Requests that may be in flight, while tenants' shares hold it down.
    pub admission_limit: Option<u32>,
    /// Requests that wait for their tenant's turn.
    pub admission_waiting: usize,
    /// In the balancer's order.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct EndpointView {
    /// Where it is.
    pub address: String,
    /// Requests sent and not answered.
    pub in_flight: u32,
    /// Requests picked for it so far.
    pub requests: u64,
    /// Of those, how many ended well.
    pub successes: u64,
    /// Of those, how many ended badly.
    pub failures: u64,
    /// What the balancer thinks an answer takes, in milliseconds; `None` before the first.
    pub latency_ms: Option<f64>,
    /// What the learned algorithm believes: times what an answer takes at an ordinary endpoint under the same load;
    /// 1 under other algorithms.
    pub slowness: f64,
    /// Age of the newest report of its load, in milliseconds; `None` without one that still says something.
    pub report_age_ms: Option<f64>,
    /// As configured.
    pub weight: u32,
    /// What active checks say.
    pub healthy: bool,
    /// Put aside for what it answered.
    pub ejected: bool,
}

impl ListenerView {
    /// Those of the base, and those that only the canary has.
    pub(crate) fn all(in_force: &InForce) -> Vec<Self> {
        let mut known = HashSet::new();
        let mut views = Vec::new();
        for snapshot in in_force.snapshots() {
            for (config, listener) in snapshot.mesh.listeners.iter().zip(&snapshot.listeners) {
                if known.insert(listener.address) {
                    views.push(Self {
                        name: config.name.clone(),
                        address: listener.address,
                        tls: listener.tls.is_some(),
                    });
                }
            }
        }
        views
    }
}

impl ClusterView {
    /// Those of the base, and those of the canary that are not the same.
    pub(crate) fn all(in_force: &InForce) -> Vec<Self> {
        let now = clock::now();
        let view = |(snapshot, cluster): (&Arc<Snapshot>, &Arc<Cluster>)| {
            let members = cluster.members();
            let gate = cluster.gate.as_ref();
            let (admission_limit, admission_waiting) = gate.map_or((None, 0), |gate| gate.load());
            let endpoints = members.balancer.endpoints(now).zip(&members.targets);
            Self {
                name: cluster.config.name.clone(),
                generation: snapshot.generation.to_string(),
                connections: cluster.usage.connections.load(Ordering::Relaxed),
                admission_limit,
                admission_waiting,
                endpoints: endpoints
                    .map(|(endpoint, target)| EndpointView {
                        address: target.to_string(),
                        in_flight: endpoint.in_flight,
                        requests: endpoint.requests,
                        successes: endpoint.successes,
                        failures: endpoint.failures,
                        latency_ms: endpoint.latency.map(in_ms),
                        slowness: endpoint.slowness,
                        report_age_ms: endpoint.report_age.map(in_ms),
                        weight: endpoint.configured_weight,
                        healthy: endpoint.healthy,
                        ejected: endpoint.ejected_until.is_some(),
                    })
                    .collect(),
            }
        };
        in_force.clusters().map(view).collect()
    }

    /// As lines for people.
    pub(crate) fn text(clusters: &[Self]) -> String {
        let mut text = String::new();
        for cluster in clusters {
            let admission = cluster.admission_limit.map_or_else(String::new, |limit| {
                let waiting = cluster.admission_waiting;
                format!("  admission_limit {limit} waiting {waiting}")
            });
            writeln!(
                text,
                "{}  connections {}{admission}",
                cluster.name, cluster.connections
            )
            .expect("a string takes all");
            for endpoint in &cluster.endpoints {
                let state = match (endpoint.healthy, endpoint.ejected) {
                    (false, _) => "unhealthy",
                    (true, true) => "ejected",
                    (true, false) => "healthy",
                };
                let shown =
                    |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
                let (latency, report_age) =
                    (shown(endpoint.latency_ms), shown(endpoint.report_age_ms));
                writeln!(
                    text,
                    "  {:<24} {state:<9} weight {} in_flight {} requests {} successes {} failures {} latency_ms {latency} \
                     slowness {:.2} report_age_ms {report_age}",
                    endpoint.address,
                    endpoint.weight,
                    endpoint.in_flight,
                    endpoint.requests,
                    endpoint.successes,
                    endpoint.failures,
                    endpoint.slowness,
                )
                .expect("a string takes all");
            }
        }
        text
    }
}

fn in_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
