//! Endpoints: as configured, as shared between threads and snapshots, and as shown.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::ewma::AtomicPeakEwma;
use crate::learned::{LONGEST_S, seconds};
use crate::outlier::OutlierState;
use crate::policy::alba::learned::Learned;
use crate::slow_start::Joined;
use crate::{Aged, LearnedEndpoint, Time};

/// The caller's name for an endpoint, stable for as long as it is the same server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u64);

/// Where an endpoint runs; empty strings mean "not said".
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Locality {
    /// For example `eu-west-1`.
    pub region: String,
    /// For example `eu-west-1a`.
    pub zone: String,
    /// For example a rack.
    pub sub_zone: String,
}

/// One endpoint as configured or discovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Stable identity: state learned under it survives [`Balancer::apply`](crate::Balancer::apply).
    pub id: EndpointId,
    /// `configured_weight`, at least 1 (0 is taken as 1).
    pub weight: u32,
    /// Where it runs.
    pub locality: Locality,
    /// Its priority level, 0 the most wanted; numbers may be skipped. Only
    /// [`LocalityPolicy::Priorities`](crate::LocalityPolicy::Priorities) and
    /// [`LocalityPolicy::Failover`](crate::LocalityPolicy::Failover) go by it.
    pub priority: u32,
}

impl Endpoint {
    /// An endpoint of weight 1 and priority 0 whose place is not known.
    pub fn new(id: EndpointId) -> Self {
        Self {
            id,
            weight: 1,
            locality: Locality::default(),
            priority: 0,
        }
    }

    /// The same with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

/// What is known of one endpoint at one moment, for people and metrics.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EndpointView<'a> {
    /// The caller's name for it.
    pub id: EndpointId,
    /// Position in this balancer's list, as in [`Pick::index`](crate::Pick::index).
    pub index: u32,
    /// Where it runs.
    pub locality: &'a Locality,
    /// Picked and not completed.
    pub in_flight: u32,
    /// Picked ever.
    pub requests: u64,
    /// Completed with [`Outcome::Success`](crate::Outcome::Success).
    pub successes: u64,
    /// Completed with what speaks against the endpoint.
    pub failures: u64,
    /// Peak-sensitive moving average of time to first byte; `None` before the first success.
    pub latency: Option<Duration>,
    /// What the learned policy believes: times what an answer takes at an endpoint of ordinary speed under the
    /// same load; 1 under other policies.
    pub slowness: f64,
    /// Age of the newest load report that came with an answer or to a probe.
    pub report_age: Option<Duration>,
    /// What the user wrote.
    pub configured_weight: u32,
    /// What is used: 0 while the endpoint is not picked.
    pub effective_weight: f64,
    /// What active checks said last; true if none did.
    pub healthy: bool,
    /// Put aside for what it answered; it comes back with the first sweep after this.
    pub ejected_until: Option<Time>,
    /// Times it was put aside.
    pub ejections: u64,
}

/// One awaited answer in [`EndpointState::attempts`]. Neither half overflows: an attempt holds memory, and there is
/// none for 2^32.
const AWAITED: u64 = 1 << 32;

/// One endpoint's state. Lives as long as any balancer of its lineage or any pick refers to it.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) id: EndpointId,
    /// Since when it is known; an estimate that nothing was measured for ages from here.
    pub(crate) since: Time,
    /// From when slow start counts.
    pub(crate) joined: Joined,
    /// Attempts in flight, and above [`AWAITED`] how many of these wait for their answer to begin: one word, so
    /// that an attempt's beginning and its end are one locked instruction each.
    attempts: AtomicU64,
    requests: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    healthy: AtomicBool,
    pub(crate) latency: AtomicPeakEwma,
    pub(crate) penalty: AtomicPeakEwma,
    pub(crate) outlier: OutlierState,
    pub(crate) learned: Learned,
}

impl EndpointState {
    pub(crate) fn new(id: EndpointId, since: Time) -> Self {
        Self {
            id,
            since,
            joined: Joined::ever(),
            attempts: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            latency: AtomicPeakEwma::new(),
            penalty: AtomicPeakEwma::new(),
            outlier: OutlierState::default(),
            learned: Learned::new(),
        }
    }

    // All counters are relaxed: each is read alone, as an estimate, and no other memory hangs on it.

    pub(crate) fn begin(&self, now: Time) {
        let before = self.attempts.fetch_add(AWAITED + 1, Ordering::Relaxed);
        if before < AWAITED {
            self.learned.waiting_began(now);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer of an attempt began.
    pub(crate) fn answered(&self) {
        let before = self.attempts.fetch_sub(AWAITED, Ordering::Relaxed);
        debug_assert!(before >= AWAITED, "every answer follows a begin");
    }

    /// An attempt ended, and its answer began before or never will.
    pub(crate) fn end(&self, answered: bool) {
        let gone = if answered { 1 } else { AWAITED + 1 };
        let before = self.attempts.fetch_sub(gone, Ordering::Relaxed);
        debug_assert!(
            before as u32 > 0 && before >= gone,
            "every end follows a begin"
        );
    }

    pub(crate) fn awaited(&self) -> u32 {
        (self.attempts.load(Ordering::Relaxed) / AWAITED) as u32
    }

    pub(crate) fn in_flight(&self) -> u32 {
        // The lower half.
        self.attempts.load(Ordering::Relaxed) as u32
    }

    pub(crate) fn count_success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Successes and failures ever.
    pub(crate) fn outcomes(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.successes), load(&self.failures))
    }

    /// Returns whether this was a change.
    pub(crate) fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(crate) fn is_available(&self) -> bool {
        self.is_healthy() && !self.outlier.is_ejected()
    }

    pub(crate) fn recall(&self, now: Time) -> LearnedEndpoint {
        let mut learned = LearnedEndpoint::of(self.id);
        learned.healthy = self.is_healthy();
        learned.latency = Aged::of(self.latency.stamped(), now);
        learned.penalty = Aged::of(self.penalty.stamped(), now);
        learned.joined_ago_s = self.joined.ago(now).map(|ago| ago.as_secs_f64());
        let (left, in_row) = self.outlier.learned(now);
        learned.ejected_for_s = left.map(|left| left.as_secs_f64());
        learned.ejections_in_row = in_row;
        self.learned.recall(&mut learned, now);
        learned
    }

    /// Takes what was learned before, but for ejections; what is absurd is ignored.
    pub(crate) fn restore(&self, learned: &LearnedEndpoint, now: Time) {
        self.set_healthy(learned.healthy);
        Aged::restore(learned.latency, self.latency.stamped(), LONGEST_S, now);
        Aged::restore(learned.penalty, self.penalty.stamped(), LONGEST_S, now);
        if let Some(ago) = learned.joined_ago_s.and_then(seconds) {
            let joined = now.as_nanos().saturating_sub(ago.as_nanos() as u64);
            self.joined.set(Time::from_nanos(joined));
        }
        self.learned.restore(learned, now);
    }

    pub(crate) fn view<'a>(
        &self,
        index: u32,
        configured: &'a Endpoint,
        effective_weight: f64,
    ) -> EndpointView<'a> {
        EndpointView {
            id: self.id,
            index,
            locality: &configured.locality,
            in_flight: self.in_flight(),
            requests: self.requests.load(Ordering::Relaxed),
            successes: self.successes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            latency: self.latency.last().map(Duration::from_secs_f64),
            slowness: 1.0,
            report_age: None,
            configured_weight: configured.weight,
            effective_weight,
            healthy: self.is_healthy(),
            ejected_until: self.outlier.ejected_until(),
            ejections: self.outlier.ejections(),
        }
    }
}
