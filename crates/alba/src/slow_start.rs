//! Slow start: how much of its weight an endpoint has that came, or came back, a while ago.
//!
//! Envoy's formula and when it counts from ("Slow start mode" in its architecture overview): joining, or
//! the active check that calls the endpoint well again. Coming back from an ejection does not count: it was
//! in use until a moment ago. Endpoints that a lineage starts with have their whole weight, since there is
//! nobody who could do their work meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{SlowStart, Time};

/// Weights are laid out anew this often between zero and all…
const STEPS: u32 = 50;

/// …but not more often than this, since each time the pool is packed again.
const MIN_STEP: Duration = Duration::from_millis(100);

/// Envoy takes the first second as over, so that no weight is zero.
const MIN_AGE: Duration = Duration::from_secs(1);

/// "In service since ever" in [`Joined`].
const EVER: u64 = u64::MAX;

/// When an endpoint came, if that was later than its lineage.
#[derive(Debug)]
pub(crate) struct Joined(AtomicU64);

impl Joined {
    pub(crate) const fn ever() -> Self {
        Self(AtomicU64::new(EVER))
    }

    pub(crate) fn set(&self, at: Time) {
        self.0.store(at.as_nanos().min(EVER - 1), Ordering::Relaxed);
    }
}

impl Joined {
    /// How long ago it came, if that was later than its lineage.
    pub(crate) fn ago(&self, now: Time) -> Option<Duration> {
        let joined = self.0.load(Ordering::Relaxed);
        (joined != EVER).then(|| now.since(Time::from_nanos(joined)))
    }
}

impl SlowStart {
    /// Time between two layouts of the weights.
    pub(crate) fn step(&self) -> Duration {
        (self.duration / STEPS).max(MIN_STEP)
    }

    /// The share of its weight, above 0 and at most 1, that an endpoint has at `now`.
    pub(crate) fn fraction(&self, joined: &Joined, now: Time) -> f64 {
        let joined = joined.0.load(Ordering::Relaxed);
        if joined == EVER {
            return 1.0;
        }
        let age = now.since(Time::from_nanos(joined)).max(MIN_AGE);
        if age >= self.duration {
            return 1.0;
        }
        let age = age.as_secs_f64() / self.duration.as_secs_f64();
        // `max` also takes the other side of a NaN.
        let eased = age.powf(1.0 / self.aggression.max(1.0));
        eased.max(self.minimum_percent / 100.0).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: f64, slow_start: &SlowStart) -> f64 {
        let joined = Joined::ever();
        joined.set(Time::ZERO);
        slow_start.fraction(&joined, Time::ZERO + Duration::from_secs_f64(seconds))
    }

    fn of(aggression: f64, minimum_percent: f64) -> SlowStart {
        SlowStart {
            duration: Duration::from_secs(100),
            aggression,
            minimum_percent,
        }
    }

    #[test]
    fn follows_the_formula() {
        let linear = of(1.0, 10.0);
        let shares = [0.0, 5.0, 10.0, 25.0, 99.0, 100.0, 1e9].map(|at| after(at, &linear));
        assert_eq!(shares, [0.1, 0.1, 0.1, 0.25, 0.99, 1.0, 1.0]);
        assert_eq!(after(25.0, &of(2.0, 10.0)), 0.5, "a square root");
    }

    #[test]
    fn odd_settings_are_clamped() {
        assert_eq!(after(25.0, &of(f64::NAN, f64::NAN)), 0.25);
        assert_eq!(after(25.0, &of(-3.0, 300.0)), 1.0);
        assert_eq!(after(0.0, &of(1.0, -1.0)), 0.01, "the first second is over");
        let none = SlowStart {
            duration: Duration::ZERO,
            ..of(1.0, 10.0)
        };
        assert_eq!(after(0.0, &none), 1.0);
        assert_eq!(none.step(), MIN_STEP);
    }
}
