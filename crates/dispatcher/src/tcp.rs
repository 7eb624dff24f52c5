//! Connections whose bytes go on as they are.
//!
//! A connection is what a request is elsewhere: it has a destination by weight, a pick that is in flight for as long
//! as it lasts, and a line in the log.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use alba::{EndpointId, Outcome, PickRequest};
use mesh::TcpRoute;
use smallvec::SmallVec;

use crate::buffer::Buffer;
use crate::client::Client;
use crate::clock;
use crate::cluster::Permit;
use crate::exchange::acquire;
use crate::exchange::alongside::Watch;
use crate::exchange::flags::Flags;
use crate::exchange::in_flight::InFlight;
use crate::http::tunnel::{TunnelEnd, TunnelEnded, join};
use crate::snapshot::{LocalCluster, LocalSnapshot};
use crate::telemetry::connections::ConnectionCounts;
use crate::telemetry::record::Record;
use crate::timer::Timer;
use crate::transport::Io;
use crate::worker::Worker;

/// Endpoints that are tried before a connection is given up. Nothing was sent yet, so it may go to any.
const TRIES: u32 = 3;

/// A connection that has been routed. It needs its snapshot no more: it may outlive many.
pub(crate) struct Routed {
    /// `None`: the route leads nowhere.
    cluster: Option<Rc<LocalCluster>>,
    /// What consistent hashing goes by.
    hash: Option<u64>,
    user: Option<Box<alba::Locality>>,
    record: Record,
}

/// Chooses a connection's destination. `server_name` is what TLS says, if anything.
pub(crate) fn route(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    route: &TcpRoute,
    client: &Client,
    server_name: Option<&str>,
) -> Routed {
    let destination = route.destination(worker.rng.borrow_mut().u64());
    let id = destination.and_then(|destination| match &destination.cluster {
        Ok(id) => Some(*id),
        Err(missing) => {
            tracing::debug!(route.name, missing.reason, "no cluster");
            None
        }
    });
    let cluster = id.map(|id| snapshot.cluster(id).clone());
    let metrics = id
        .as_ref()
        .map_or(&snapshot.unrouted, |id| snapshot.metrics(*id));
    let mut record = Record::of_connection(Instant::now(), metrics.clone());
    record.line = worker.connection_line(snapshot, client, server_name);
    if let Some(line) = &mut record.line {
        line.route.clone_from(&route.name);
        if let Some(cluster) = &cluster {
            line.cluster.clone_from(&cluster.shared.config.name);
        }
    }
    let mut routed = Routed {
        cluster,
        hash: None,
        user: None,
        record,
    };
    if let Some(cluster) = &routed.cluster {
        let config = &cluster.shared.config;
        let address = client.origin.address;
        if let mesh::Affinity::Hash(hash) = mesh::affinity(&config.hash, &NoHead, Some(address)) {
            routed.hash = Some(hash);
        }
        routed.user = cluster.shared.place_of(address).map(Box::new);
    }
    routed
}

/// What a connection has instead of a request's head: nothing that a hash could go by.
struct NoHead;

impl mesh::RequestHead for NoHead {
    fn method(&self) -> &str {
        ""
    }

    fn scheme(&self) -> &str {
        ""
    }

    fn authority(&self) -> &str {
        ""
    }

    fn path_and_query(&self) -> &str {
        ""
    }

    fn header<'a>(&'a self, _: &str) -> Option<Cow<'a, [u8]>> {
        None
    }
}

impl Routed {
    /// Connects to an endpoint and passes bytes until both sides have ended. `buffer` holds what was read from the
    /// client already.
    pub(crate) async fn serve(mut self, worker: &Worker, io: Io, mut buffer: Buffer) {
        let counts = self.record.metrics.connection();
        let Some(cluster) = self.cluster.take() else {
            self.record.flags |= Flags::NO_CLUSTER;
            return;
        };
        let usage = &cluster.shared.usage;
        let limit = cluster.shared.config.connection_pool.max_connections;
        // All of them, unlike a pool's: a worker's connections here are its clients', so none can starve.
        let Some(_permit) = Permit::acquire(usage, |usage| &usage.connections, limit) else {
            self.record.flags |= Flags::UPSTREAM_OVERFLOW;
            return;
        };
        let Some((endpoint, in_flight)) = self.connect(worker, &cluster).await else {
            return;
        };
        let (io, endpoint) = (RefCell::new(io), RefCell::new(endpoint));
        let mut answers = Buffer::default();
        let idle = worker.options.limits.tcp_idle_timeout;
        let watch = Watch::new(Instant::now(), None, idle);
        let client = TunnelEnd {
            io: &io,
            buffer: &mut buffer,
        };
        let endpoint = TunnelEnd {
            io: &endpoint,
            buffer: &mut answers,
        };
        let moved = |received, sent| counts.moved(received, sent);
        let ended = join(client, endpoint, &watch, &mut Timer::default(), moved).await;
        if ended == TunnelEnded::Idle {
            self.record.flags |= Flags::STREAM_IDLE_TIMEOUT;
        }
        self.finish(&counts);
        drop(in_flight);
    }

    fn finish(&mut self, counts: &ConnectionCounts) {
        (self.record.bytes_received, self.record.bytes_sent) = counts.own();
    }

    /// A connection to an endpoint, trying others if one can't be reached.
    async fn connect(
        &mut self,
        worker: &Worker,
        cluster: &Rc<LocalCluster>,
    ) -> Option<(Io, InFlight)> {
        let record = &mut self.record;
        let mut tried = SmallVec::<[EndpointId; 4]>::new();
        loop {
            let request = PickRequest {
                tried: &tried,
                hash: self.hash,
                origin: self.user.as_deref(),
                ..PickRequest::default()
            };
            let now = clock::now();
            let picked = cluster
                .shared
                .pick(&mut worker.rng.borrow_mut(), now, &request);
            // One that was tried comes back only if there is no other.
            let picked = picked.filter(|(pick, _)| !tried.contains(&pick.id()));
            let Some((pick, target)) = picked else {
                record.flags |= match tried.is_empty() {
                    true => Flags::NO_HEALTHY_UPSTREAM,
                    false => Flags::UPSTREAM_CONNECT_FAILURE,
                };
                return None;
            };
            tried.push(pick.id());
            record.attempts += 1;
            if let Some(line) = &mut record.line {
                line.upstream = target.to_string();
            }
            let mut in_flight = InFlight::new(cluster.clone(), pick);
            match acquire::open_for_bytes(cluster, &target).await {
                Ok(io) => {
                    in_flight.answered(clock::now());
                    in_flight.outcome = Outcome::Success;
                    record.answered = Some(Instant::now());
                    record.metrics.connection_made(true);
                    return Some((io, in_flight));
                }
                Err(error) => {
                    tracing::debug!(%error, "endpoint of a connection can't be reached");
                    in_flight.outcome = Outcome::ConnectFailure;
                    if let Some(line) = &mut record.line {
                        line.failure = error.to_string();
                    }
                }
            }
            if record.attempts == TRIES {
                record.flags |= Flags::UPSTREAM_CONNECT_FAILURE | Flags::RETRY_LIMIT_EXCEEDED;
                return None;
            }
        }
    }
}
