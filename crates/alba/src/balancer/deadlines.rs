//! What a balancer does by the clock: sweeps that bring ejected endpoints back, and slow start's weights.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Balancer, lock};
use crate::endpoint::EndpointState;
use crate::outlier::Rate;
use crate::pool::Slot;
use crate::{OutlierDetection, SlowStart, Time};

/// Sweeps come no closer than this, whatever `interval` says.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// "Not due" in a lineage's deadlines.
pub(super) const NEVER: u64 = u64::MAX;

impl Balancer {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` if never. Ask again after
    /// each call of it, after [`apply`](Self::apply) and after [`set_health`](Self::set_health).
    pub fn poll_timeout(&self) -> Option<Time> {
        let due = |deadline: &AtomicU64| deadline.load(Ordering::Relaxed);
        let sweep = self.settings.outlier_detection.as_ref();
        let sweep = sweep.map_or(NEVER, |_| due(&self.lineage.next_sweep));
        let easing = self.settings.eases();
        let easing = easing.map_or(NEVER, |_| due(&self.lineage.next_easing));
        let next = sweep.min(easing);
        (next != NEVER).then_some(Time::from_nanos(next))
    }

    /// Does what is due at `now`: brings endpoints back whose ejection is over, and lays out the weights of
    /// those that are eased in. Too early or twice is harmless.
    pub fn handle_timeout(&self, now: Time) {
        if let Some(outlier) = &self.settings.outlier_detection {
            let next = now + outlier.interval.max(MIN_INTERVAL);
            if claim(&self.lineage.next_sweep, now, next.as_nanos()) {
                self.sweep(outlier, now);
            }
        }
        if let Some(slow_start) = self.settings.eases() {
            let next = now + slow_start.step();
            if claim(&self.lineage.next_easing, now, next.as_nanos()) {
                self.ease(slow_start, now, next);
            }
        }
    }

    fn sweep(&self, outlier: &OutlierDetection, now: Time) {
        let _ejecting = lock(&self.lineage.ejecting);
        // First as in gRPC: in Envoy's order, the past ejection that a good sweep forgets would be forgotten
        // for an endpoint that is ejected in every sweep, too.
        if outlier.compares_rates() {
            self.eject_outliers(outlier, now);
        }
        let restored = self
            .slots
            .iter()
            .filter(|slot| slot.state.outlier.sweep(now))
            .count();
        if restored > 0 {
            self.lineage.changed();
        }
    }

    /// Call with the lineage's lock held.
    fn eject_outliers(&self, outlier: &OutlierDetection, now: Time) {
        let (mut states, mut rates) = (Vec::new(), Vec::new());
        for slot in &self.slots {
            let state = &*slot.state;
            let (answered, succeeded) = state.outlier.take_rate();
            if answered > 0 && !state.outlier.is_ejected() {
                states.push(state);
                rates.push(Rate {
                    id: state.id,
                    answered,
                    succeeded,
                });
            }
        }
        for found in outlier.outliers(&rates, now) {
            self.put_aside(states[found], outlier, now);
        }
    }

    /// Weights as of `now`. If they are whole and nobody has come meanwhile, it is not asked for again.
    fn ease(&self, slow_start: &SlowStart, now: Time, next: Time) {
        let eased = |slot: &Slot| slot.fraction(Some(slow_start), now) < 1.0;
        let deadline = &self.lineage.next_easing;
        if !self.slots.iter().any(eased) {
            deadline.store(NEVER, Ordering::Relaxed);
            // Whoever joined in between set a deadline that is now lost.
            if self.slots.iter().any(eased) {
                deadline.fetch_min(next.as_nanos(), Ordering::Relaxed);
            }
        }
        self.lineage
            .weighed_at
            .fetch_max(now.as_nanos(), Ordering::Relaxed);
        self.lineage.changed();
    }

    /// Whether one more may be away. Call with the lineage's lock held.
    pub(super) fn may_eject(&self, outlier: &OutlierDetection) -> bool {
        let is_away = |slot: &&Slot| slot.state.outlier.is_ejected();
        let away = self.slots.iter().filter(is_away).count() as u64;
        let allowed = u64::from(outlier.max_ejection_percent.min(100)) * self.slots.len() as u64;
        away == 0 || (away + 1) * 100 <= allowed
    }

    /// Puts an endpoint aside, if not too many are away.
    pub(super) fn eject(&self, state: &EndpointState, outlier: &OutlierDetection, now: Time) {
        let _ejecting = lock(&self.lineage.ejecting);
        self.put_aside(state, outlier, now);
    }

    /// Call with the lineage's lock held.
    fn put_aside(&self, state: &EndpointState, outlier: &OutlierDetection, now: Time) {
        if state.outlier.is_ejected() {
            return;
        }
        // Also when the limit below forbids the ejection: the next full run of errors asks again, not the
        // next error.
        state.outlier.reset_counts();
        if !self.may_eject(outlier) {
            return;
        }
        state.outlier.eject(now, outlier.base_ejection_time);
        self.lineage.changed();
    }
}

/// Moves a deadline that is due at `now` to `next`; false if it is not due or another thread has it.
fn claim(deadline: &AtomicU64, now: Time, next: u64) -> bool {
    let due = deadline.load(Ordering::Relaxed);
    now.as_nanos() >= due
        && deadline
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}
