//! A value and when it was written, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Time;

/// One tick of a time stamp is 2^20 ns (about 1 ms): 32 bits then tell apart 52 days.
const TICK_SHIFT: u32 = 20;

/// A stamp that seems to lie this little in the past (17 min) came late from another thread; anything
/// else is as old as the wrapped difference says.
const LATE_TICKS: u32 = 1_000_000;

/// No `f32` that is stored is NaN, so this word means "nothing yet".
const EMPTY: u64 = u64::MAX;

/// One value with its stamp.
#[derive(Debug)]
pub(crate) struct Stamped(AtomicU64);

impl Stamped {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(EMPTY))
    }

    /// The value and the ticks it was written at; `None` before the first.
    pub(crate) fn load(&self) -> Option<(f64, u32)> {
        unpack(self.0.load(Ordering::Relaxed))
    }

    /// The value and how old it is at `now`, in ticks.
    pub(crate) fn age(&self, now: Time) -> Option<(f64, u32)> {
        let (value, stamp) = self.load()?;
        Some((value, elapsed_ticks(stamp, ticks(now))))
    }

    pub(crate) fn store(&self, value: f64, at: Time) {
        self.0.store(pack(value, ticks(at)), Ordering::Relaxed);
    }

    /// Stores a value that is so old at `now`, which may be older than the epoch.
    pub(crate) fn store_aged(&self, value: f64, age: Duration, now: Time) {
        let stamp = ticks(now).wrapping_sub(ticks_in(age));
        self.0.store(pack(value, stamp), Ordering::Relaxed);
    }

    /// Whether what is stored was written after `at`.
    pub(crate) fn is_later_than(&self, at: Time) -> bool {
        let stamp = self.load().map(|(_, stamp)| stamp);
        stamp.is_some_and(|stamp| stamp != ticks(at) && elapsed_ticks(stamp, ticks(at)) == 0)
    }

    /// Replaces value and stamp by what `next` makes of them.
    pub(crate) fn update(&self, mut next: impl FnMut(Option<(f64, u32)>) -> (f64, u32)) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (value, stamp) = next(unpack(word));
            match self.0.compare_exchange_weak(
                word,
                pack(value, stamp),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }
}

/// `at` as a stamp.
pub(crate) fn ticks(at: Time) -> u32 {
    // Wraps by intent.
    (at.as_nanos() >> TICK_SHIFT) as u32
}

/// How many whole ticks so long a time is, for comparing with ages.
pub(crate) const fn ticks_in(time: Duration) -> u32 {
    let ticks = time.as_nanos() >> TICK_SHIFT;
    if ticks > u32::MAX as u128 {
        u32::MAX
    } else {
        ticks as u32
    }
}

/// From stamp to stamp; 0 if `later` is in truth a little earlier.
pub(crate) fn elapsed_ticks(earlier: u32, later: u32) -> u32 {
    let elapsed = later.wrapping_sub(earlier);
    if elapsed > u32::MAX - LATE_TICKS {
        0
    } else {
        elapsed
    }
}

/// How long so many ticks are.
pub(crate) fn duration(ticks: u32) -> Duration {
    Duration::from_nanos(u64::from(ticks) << TICK_SHIFT)
}

fn pack(value: f64, stamp: u32) -> u64 {
    u64::from((value as f32).to_bits()) << 32 | u64::from(stamp)
}

fn unpack(word: u64) -> Option<(f64, u32)> {
    (word != EMPTY).then(|| (f64::from(f32::from_bits((word >> 32) as u32)), word as u32))
}
