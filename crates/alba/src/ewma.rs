//! A peak-sensitive moving average in one atomic word.
//!
//! Linkerd's rule (`linkerd/ewma`, `Ewma::add_peak` and `get_at`; Finagle's `PeakEwma` before it): a sample
//! above the decayed average replaces it, a lower one moves it by `1 - exp(-elapsed / decay)`; a reading is
//! decayed to its own moment without being written. Linkerd holds a lock; here average and time stamp share
//! one `AtomicU64`, so that a pick reads both with one load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Time;

/// One tick of a time stamp is 2^20 ns (about 1 ms): 32 bits then tell apart 52 days. Samples within one
/// tick raise the average but do not lower it; the next tick's do.
const TICK_SHIFT: u32 = 20;

/// A sample that seems to lie this little in the past (17 min) came late from another thread; anything
/// else is as old as the wrapped difference says.
const LATE_TICKS: u32 = 1_000_000;

/// Linkerd's lower bound, against a division by zero.
const MIN_DECAY: Duration = Duration::from_millis(1);

/// No `f32` that is stored is NaN, so this word means "no sample yet".
const EMPTY: u64 = u64::MAX;

/// Average in seconds, with the time of its last change.
#[derive(Debug)]
pub(crate) struct AtomicPeakEwma(AtomicU64);

impl AtomicPeakEwma {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(EMPTY))
    }

    /// Takes a sample of `seconds` that was measured at `at`.
    pub(crate) fn record(&self, seconds: f64, at: Time, decay: Duration) {
        let stamp = ticks(at);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let next = if word == EMPTY {
                pack(seconds, stamp)
            } else {
                let (average, changed) = unpack(word);
                let elapsed = elapsed_ticks(changed, stamp);
                let keep = retention(elapsed, decay);
                let stamp = changed.wrapping_add(elapsed);
                if average * keep < seconds {
                    pack(seconds, stamp)
                } else {
                    pack(average.mul_add(keep, seconds * (1.0 - keep)), stamp)
                }
            };
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }

    /// The average decayed to `now`, in seconds; `None` before the first sample.
    pub(crate) fn at(&self, now: Time, decay: Duration) -> Option<f64> {
        let word = self.0.load(Ordering::Relaxed);
        if word == EMPTY {
            return None;
        }
        let (average, changed) = unpack(word);
        Some(average * retention(elapsed_ticks(changed, ticks(now)), decay))
    }

    /// The average as of its last sample, in seconds.
    pub(crate) fn last(&self) -> Option<f64> {
        let word = self.0.load(Ordering::Relaxed);
        (word != EMPTY).then(|| unpack(word).0)
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
    decayed(
        Duration::from_nanos(u64::from(elapsed_ticks) << TICK_SHIFT),
        decay,
    )
}

fn ticks(at: Time) -> u32 {
    // Wraps by intent.
    (at.as_nanos() >> TICK_SHIFT) as u32
}

fn elapsed_ticks(earlier: u32, later: u32) -> u32 {
    let elapsed = later.wrapping_sub(earlier);
    if elapsed > u32::MAX - LATE_TICKS {
        0
    } else {
        elapsed
    }
}

fn pack(seconds: f64, stamp: u32) -> u64 {
    u64::from((seconds as f32).to_bits()) << 32 | u64::from(stamp)
}

fn unpack(word: u64) -> (f64, u32) {
    (f64::from(f32::from_bits((word >> 32) as u32)), word as u32)
}
