//! Passive ejection: what answers say about an endpoint.
//!
//! Envoy's consecutive-error detectors and ejection times ("Outlier detection" in its architecture overview;
//! `source/common/upstream/outlier_detection_impl.cc`) with the fields of Istio's `outlierDetection`, and
//! its and gRPC's comparison of success rates ("A50: gRPC xDS outlier detection support").

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::policy::place;
use crate::{EndpointId, FailurePercentage, Outcome, OutlierDetection, SuccessRate, Time};

/// Envoy's default `max_ejection_time`, which Istio has no field for.
const MAX_EJECTION_TIME: Duration = Duration::from_secs(300);

/// "Not ejected" in [`OutlierState::ejected_until`].
const IN_SERVICE: u64 = u64::MAX;

/// What passive ejection remembers of one endpoint.
///
/// The consecutive counts are bumped by any thread. Ejecting and bringing back are done by one at a time
/// (the balancer's lineage has a lock for it); everyone may read.
#[derive(Debug)]
pub(crate) struct OutlierState {
    consecutive_5xx: AtomicU32,
    consecutive_gateway_errors: AtomicU32,
    consecutive_local_origin_failures: AtomicU32,
    /// Answers and failures since the last sweep, counted only if rates are compared.
    answered: AtomicU32,
    succeeded: AtomicU32,
    ejected_until: AtomicU64,
    /// Ejections in a row: the factor of the ejection time.
    multiplier: AtomicU32,
    ejections: AtomicU64,
}

impl Default for OutlierState {
    fn default() -> Self {
        Self {
            consecutive_5xx: AtomicU32::new(0),
            consecutive_gateway_errors: AtomicU32::new(0),
            consecutive_local_origin_failures: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            succeeded: AtomicU32::new(0),
            ejected_until: AtomicU64::new(IN_SERVICE),
            multiplier: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
        }
    }
}

impl OutlierState {
    /// Counts `outcome`; true if a limit is reached and the endpoint should be ejected.
    pub(crate) fn observe(&self, outcome: Outcome, limits: &OutlierDetection) -> bool {
        if limits.compares_rates() && outcome != Outcome::Cancelled {
            self.answered.fetch_add(1, Ordering::Relaxed);
            if outcome == Outcome::Success {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
            }
        }
        match outcome {
            Outcome::Cancelled => false,
            Outcome::Success => {
                self.reset_counts();
                false
            }
            Outcome::ConnectFailure | Outcome::Timeout | Outcome::Reset
                if limits.split_external_local_origin_errors =>
            {
                count(
                    &self.consecutive_local_origin_failures,
                    limits.consecutive_local_origin_failures,
                )
            }
            Outcome::ServerError => {
                clear(&self.consecutive_local_origin_failures);
                clear(&self.consecutive_gateway_errors);
                count(&self.consecutive_5xx, limits.consecutive_5xx)
            }
            Outcome::GatewayError | Outcome::ConnectFailure | Outcome::Timeout | Outcome::Reset => {
                if outcome == Outcome::GatewayError {
                    // An answer, whatever it says, proves the way to the endpoint.
                    clear(&self.consecutive_local_origin_failures);
                }
                // Both are counted, whichever trips first.
                let gateway = count(
                    &self.consecutive_gateway_errors,
                    limits.consecutive_gateway_errors,
                );
                let any = count(&self.consecutive_5xx, limits.consecutive_5xx);
                gateway || any
            }
        }
    }

    /// Answers since the last sweep, and what share of them were successes; counting starts anew. An
    /// answer that is counted right now may be split between the sweeps: one of hundreds.
    pub(crate) fn take_rate(&self) -> (u32, f64) {
        let succeeded = self.succeeded.swap(0, Ordering::Relaxed);
        let answered = self.answered.swap(0, Ordering::Relaxed);
        let rate = f64::from(succeeded) / f64::from(answered.max(1));
        (answered, rate.min(1.0))
    }

    /// Puts the endpoint aside. Call with the lineage's lock held.
    pub(crate) fn eject(&self, now: Time, base: Duration) {
        let limit = MAX_EJECTION_TIME.max(base);
        let before = self.multiplier.load(Ordering::Relaxed);
        // Past the limit a higher factor would only delay forgetting.
        let multiplier = if base.saturating_mul(before) < limit {
            before.saturating_add(1)
        } else {
            before
        };
        self.multiplier.store(multiplier, Ordering::Relaxed);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        let until = (now + base.saturating_mul(multiplier).min(limit)).as_nanos();
        self.ejected_until
            .store(until.min(IN_SERVICE - 1), Ordering::Relaxed);
    }

    /// One sweep: brings the endpoint back if its time is over (then true), or forgets one past ejection.
    /// Call with the lineage's lock held.
    pub(crate) fn sweep(&self, now: Time) -> bool {
        match self.ejected_until() {
            Some(until) if until <= now => {
                self.restore();
                true
            }
            Some(_) => false,
            None => {
                let multiplier = self.multiplier.load(Ordering::Relaxed);
                if multiplier > 0 {
                    self.multiplier.store(multiplier - 1, Ordering::Relaxed);
                }
                false
            }
        }
    }

    /// Back in service with clean counts; true if it was away. Call with the lineage's lock held.
    pub(crate) fn restore(&self) -> bool {
        // A count just under its limit would eject again on the first error.
        self.reset_counts();
        self.ejected_until.swap(IN_SERVICE, Ordering::Relaxed) != IN_SERVICE
    }

    pub(crate) fn reset_counts(&self) {
        clear(&self.consecutive_5xx);
        clear(&self.consecutive_gateway_errors);
        clear(&self.consecutive_local_origin_failures);
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != IN_SERVICE
    }

    pub(crate) fn ejected_until(&self) -> Option<Time> {
        let until = self.ejected_until.load(Ordering::Relaxed);
        (until != IN_SERVICE).then_some(Time::from_nanos(until))
    }

    /// For how long it is away still, and ejections in a row.
    pub(crate) fn learned(&self, now: Time) -> (Option<Duration>, u32) {
        let left = self.ejected_until().map(|until| until.since(now));
        (left, self.multiplier.load(Ordering::Relaxed))
    }

    /// Takes ejections in a row, and for how long it is away still. Call with the lineage's lock held.
    pub(crate) fn relearn(&self, left: Option<Duration>, in_row: u32, base: Duration, now: Time) {
        let limit = MAX_EJECTION_TIME.max(base);
        // More in a row than reach the limit only delay forgetting.
        let most = limit.as_nanos() / base.as_nanos().max(1) + 1;
        let in_row = u128::from(in_row).min(most);
        self.multiplier
            .store(u32::try_from(in_row).unwrap_or(u32::MAX), Ordering::Relaxed);
        if let Some(left) = left {
            let until = (now + left.min(limit)).as_nanos().min(IN_SERVICE - 1);
            self.ejected_until.store(until, Ordering::Relaxed);
        }
    }

    pub(crate) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }
}

/// What one endpoint answered from sweep to sweep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) id: EndpointId,
    pub(crate) answered: u32,
    /// Share of successes, 0 to 1.
    pub(crate) succeeded: f64,
}

impl OutlierDetection {
    pub(crate) fn compares_rates(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }

    /// Which of `rates` (of endpoints in service) are to be ejected at `now`, as positions in it; one may
    /// appear twice.
    ///
    /// Chance comes from the id and the moment, which dispatchers do not share to the nanosecond: they do not
    /// all spare the same endpoint.
    pub(crate) fn outliers(&self, rates: &[Rate], now: Time) -> Vec<usize> {
        /// Tells the two draws for one endpoint apart.
        const OTHER_DRAW: u64 = 1 << 63;
        let mut found = Vec::new();
        if let Some(limits) = &self.success_rate {
            let chance = |id| place(id, now.as_nanos()) % 100;
            let below = limits.below(rates).into_iter();
            found.extend(
                below.filter(|&at| chance(rates[at].id) < u64::from(limits.enforcement_percent)),
            );
        }
        if let Some(limits) = &self.failure_percentage {
            let chance = |id| place(id, now.as_nanos() ^ OTHER_DRAW) % 100;
            let above = limits.above(rates).into_iter();
            found.extend(
                above.filter(|&at| chance(rates[at].id) < u64::from(limits.enforcement_percent)),
            );
        }
        found
    }
}

impl SuccessRate {
    fn below(&self, rates: &[Rate]) -> Vec<usize> {
        let known = with_volume(rates, self.request_volume);
        if known.is_empty() || known.len() < self.minimum_hosts as usize {
            return Vec::new();
        }
        let count = known.len() as f64;
        let of = |at: &usize| rates[*at].succeeded;
        let mean = known.iter().map(of).sum::<f64>() / count;
        let variance = known.iter().map(|at| (of(at) - mean).powi(2)).sum::<f64>() / count;
        let threshold = self.stdev_factor.max(0.0).mul_add(-variance.sqrt(), mean);
        known.into_iter().filter(|at| of(at) < threshold).collect()
    }
}

impl FailurePercentage {
    fn above(&self, rates: &[Rate]) -> Vec<usize> {
        let known = with_volume(rates, self.request_volume);
        if known.len() < self.minimum_hosts as usize {
            return Vec::new();
        }
        let fails =
            |at: &usize| (1.0 - rates[*at].succeeded) * 100.0 >= f64::from(self.threshold_percent);
        known.into_iter().filter(fails).collect()
    }
}

/// The positions of those that answered at least `volume` requests.
fn with_volume(rates: &[Rate], volume: u32) -> Vec<usize> {
    let enough = |at: &usize| rates[*at].answered >= volume.max(1);
    (0..rates.len()).filter(enough).collect()
}

/// Counts one up; true if `limit` (unless 0) is reached.
fn count(counter: &AtomicU32, limit: u32) -> bool {
    let now = counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    limit > 0 && now >= limit
}

/// Writes only if needed: on the success path the cache line stays shared.
fn clear(counter: &AtomicU32) {
    if counter.load(Ordering::Relaxed) != 0 {
        counter.store(0, Ordering::Relaxed);
    }
}
