//! A worker's connections to the endpoints of one cluster.
//!
//! Pools are per worker: no lock, and a connection's bytes are handled on the core that accepted the
//! client. Limits are per cluster over all workers ([`crate::cluster::Usage`]); as in Envoy, a worker that
//! has no connection to an endpoint may always open one, so that a limit smaller than the number of
//! workers does not starve any of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use alba::EndpointId;
use tokio::sync::Notify;

use crate::cluster::{Cluster, Permit};
use crate::http::h1_client::H1Connection;
use crate::http::h2_client::H2Connection;

/// Connections of one worker to one cluster.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    endpoints: RefCell<HashMap<EndpointId, Rc<EndpointPool>, IdHash>>,
}

/// Connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct EndpointPool {
    /// Last used last: the busiest are reused, the others run into the idle timeout.
    idle: RefCell<Vec<Idle>>,
    h2: RefCell<Vec<H2Connection>>,
    /// Held while an HTTP/2 connection is being opened, so that waiting requests share it.
    pub(crate) opening: tokio::sync::Mutex<()>,
    open: Cell<usize>,
    released: Notify,
}

#[derive(Debug)]
struct Idle {
    connection: H1Connection,
    since: Instant,
}

/// A connection's place in its pool and in the cluster's limit.
#[derive(Debug)]
pub(crate) struct Place {
    pool: Rc<EndpointPool>,
    _permit: Permit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.open.set(self.pool.open.get() - 1);
        self.pool.released.notify_one();
    }
}

impl Pool {
    /// The pool of one endpoint.
    pub(crate) fn endpoint(&self, id: EndpointId) -> Rc<EndpointPool> {
        self.endpoints.borrow_mut().entry(id).or_default().clone()
    }

    /// Whether no endpoint has been connected to.
    pub(crate) fn is_empty(&self) -> bool {
        self.endpoints.borrow().is_empty()
    }

    /// Closes what has idled for `timeout` and all that leads to endpoints that are gone.
    pub(crate) fn sweep(
        &self,
        now: Instant,
        timeout: Duration,
        exists: impl Fn(EndpointId) -> bool,
    ) {
        self.endpoints.borrow_mut().retain(|id, pool| {
            if !exists(*id) {
                pool.idle.borrow_mut().clear();
                pool.h2.borrow_mut().clear();
                return false;
            }
            let expired = |since: Instant| now.saturating_duration_since(since) >= timeout;
            pool.idle.borrow_mut().retain(|idle| !expired(idle.since));
            pool.h2.borrow_mut().retain(|connection| {
                !connection.is_closed()
                    && connection.idle_since().is_none_or(|since| !expired(since))
            });
            true
        });
    }
}

impl EndpointPool {
    /// The idle connection that was used last, if one is alive.
    pub(crate) fn idle(&self) -> Option<H1Connection> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if idle.connection.is_reusable() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, connection: H1Connection, now: Instant) {
        self.idle.borrow_mut().push(Idle {
            connection,
            since: now,
        });
        self.released.notify_one();
    }

    /// An HTTP/2 connection that takes another stream.
    pub(crate) fn shared(&self) -> Option<H2Connection> {
        let mut connections = self.h2.borrow_mut();
        connections.retain(|connection| !connection.is_closed());
        connections
            .iter()
            .find(|connection| connection.has_room())
            .cloned()
    }

    /// Makes an HTTP/2 connection known to other requests.
    pub(crate) fn share(&self, connection: H2Connection) {
        self.h2.borrow_mut().push(connection);
    }

    /// A place for one more connection, or `None` when the cluster has as many as it may.
    pub(crate) fn place(self: &Rc<Self>, cluster: &Cluster) -> Option<Place> {
        let limit = if self.open.get() == 0 {
            u32::MAX
        } else {
            cluster.config.connection_pool.max_connections
        };
        let permit = Permit::acquire(&cluster.usage, |usage| &usage.connections, limit)?;
        self.open.set(self.open.get() + 1);
        Some(Place {
            pool: self.clone(),
            _permit: permit,
        })
    }

    /// Waits until a connection has been given back or closed.
    pub(crate) async fn released(&self) {
        self.released.notified().await;
    }
}

/// For maps by endpoint id.
pub(crate) type IdHash = BuildHasherDefault<IdHasher>;

/// Endpoint ids are hashes already.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}
