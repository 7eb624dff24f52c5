//! A peak-sensitive moving average in one atomic word.
//!
//! Linkerd's rule (`linkerd/ewma`, `Ewma::add_peak` and `get_at`; Finagle's `PeakEwma` before it): a sample
//! above the decayed average replaces it, a lower one moves it by `1 - exp(-elapsed / decay)`; a reading is
//! decayed to its own moment without being written. Linkerd holds a lock; here average and time stamp share
//! one word ([`Stamped`]), so that a pick reads both with one load.

use std::time::Duration;

use crate::Time;
use crate::stamped::{Stamped, duration, elapsed_ticks, ticks};

/// Linkerd's lower bound, against a division by zero.
const MIN_DECAY: Duration = Duration::from_millis(1);

/// Average in seconds, with the time of its last change.
#[derive(Debug)]
pub(crate) struct AtomicPeakEwma(Stamped);

impl AtomicPeakEwma {
    pub(crate) const fn new() -> Self {
        Self(Stamped::new())
    }

    /// Takes a sample of `seconds` that was measured at `at`. Samples within one tick raise the average but
    /// do not lower it; the next tick's do.
    pub(crate) fn record(&self, seconds: f64, at: Time, decay: Duration) {
        let stamp = ticks(at);
        self.0.update(|before| {
            let Some((average, changed)) = before else {
                return (seconds, stamp);
            };
            let elapsed = elapsed_ticks(changed, stamp);
            let keep = retention(elapsed, decay);
            let stamp = changed.wrapping_add(elapsed);
            if average * keep < seconds {
                (seconds, stamp)
            } else {
                (average * keep + seconds * (1.0 - keep), stamp)
            }
        });
    }

    /// The average decayed to `now`, in seconds; `None` before the first sample.
    pub(crate) fn at(&self, now: Time, decay: Duration) -> Option<f64> {
        let (average, changed) = self.0.load()?;
        Some(average * retention(elapsed_ticks(changed, ticks(now)), decay))
    }

    /// The average, to be learned from or written as it is.
    pub(crate) fn stamped(&self) -> &Stamped {
        &self.0
    }

    /// The average as of its last sample, in seconds.
    pub(crate) fn last(&self) -> Option<f64> {
        self.0.load().map(|(average, _)| average)
    }
}

/// What is left of a value after `elapsed`.
pub(crate) fn decayed(elapsed: Duration, decay: Duration) -> f64 {
    (-elapsed.as_secs_f64() / decay.max(MIN_DECAY).as_secs_f64()).exp()
}

fn retention(elapsed_ticks: u32, decay: Duration) -> f64 {
    if elapsed_ticks == 0 {
        // Under load nearly every reading is of the same tick; exp is the dearest part of a pick.
        return 1.0;
    }
    decayed(duration(elapsed_ticks), decay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    fn seconds(seconds: f64) -> Time {
        Time::ZERO + Duration::from_secs_f64(seconds)
    }

    #[track_caller]
    fn assert_close(actual: Option<f64>, expected: f64) {
        let actual = actual.expect("a sample was taken");
        assert!(
            (actual - expected).abs() <= 1e-3 * expected,
            "{actual} is not {expected}"
        );
    }

    #[test]
    fn nothing_is_known_before_the_first_sample() {
        let average = AtomicPeakEwma::new();
        assert_eq!(average.at(seconds(5.0), DECAY), None);
        assert_eq!(average.last(), None);
        average.record(0.25, seconds(5.0), DECAY);
        assert_eq!(average.last(), Some(0.25));
    }

    #[test]
    fn a_peak_counts_at_once_and_decays_by_time() {
        let average = AtomicPeakEwma::new();
        average.record(1.0, seconds(1.0), DECAY);
        average.record(4.0, seconds(1.0), DECAY);
        assert_close(average.at(seconds(1.0), DECAY), 4.0);
        assert_close(average.at(seconds(11.0), DECAY), 4.0 / std::f64::consts::E);
        average.record(0.0, seconds(11.0), DECAY);
        assert_close(average.last(), 4.0 / std::f64::consts::E);
    }

    #[test]
    fn late_samples_neither_raise_the_age_nor_lower_the_average() {
        let average = AtomicPeakEwma::new();
        average.record(2.0, seconds(100.0), DECAY);
        average.record(1.0, seconds(90.0), DECAY);
        assert_close(average.last(), 2.0);
        assert_close(average.at(seconds(90.0), DECAY), 2.0);
        assert_close(average.at(seconds(110.0), DECAY), 2.0 / std::f64::consts::E);
    }

    #[test]
    fn a_month_of_silence_is_not_mistaken_for_a_late_sample() {
        let average = AtomicPeakEwma::new();
        average.record(5.0, seconds(1.0), DECAY);
        let month = seconds(31.0 * 86_400.0);
        assert_eq!(average.at(month, DECAY), Some(0.0));
    }

    #[test]
    fn no_decay_time_is_not_a_division_by_zero() {
        let average = AtomicPeakEwma::new();
        average.record(1.0, seconds(1.0), Duration::ZERO);
        let later = average.at(seconds(2.0), Duration::ZERO);
        assert!(
            later.is_some_and(|value| (0.0..1e-9).contains(&value)),
            "{later:?}"
        );
    }

    proptest! {
        /// Against Linkerd's `add_peak`, spelled out in 64 bits. Moments are whole ticks: the rule jumps
        /// where a sample equals the decayed average, so a rounded time could take the other branch.
        #[test]
        fn follows_the_rule(samples in prop::collection::vec((0.0_f64..2.0, 0_u64..5_000), 1..100)) {
            let average = AtomicPeakEwma::new();
            let (mut model, mut now) = (None::<f64>, Time::ZERO);
            for (sample, ticks) in samples {
                let wait = Duration::from_nanos(ticks << 20);
                now = now + wait;
                average.record(sample, now, DECAY);
                let keep = (-wait.as_secs_f64() / 10.0).exp();
                model = Some(match model {
                    Some(before) if before * keep >= sample => {
                        before * keep + sample * (1.0 - keep)
                    }
                    _ => sample,
                });
                let (actual, expected) = (average.last().unwrap(), model.unwrap());
                prop_assert!(
                    (actual - expected).abs() <= 1e-5 * expected,
                    "{} is not {}", actual, expected
                );
            }
        }
    }
}
