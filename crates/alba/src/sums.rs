//! Two sums that forget together, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};

/// Two sums. Both are forgotten at the same rate, so that their ratio is an average.
#[derive(Debug, Default)]
pub(crate) struct Sums(AtomicU64);

impl Sums {
    /// The sums as they were last written.
    pub(crate) fn load(&self) -> (f64, f64) {
        unpack(self.0.load(Ordering::Relaxed))
    }

    /// The first by the second, or `otherwise` while there is nothing.
    pub(crate) fn ratio_or(&self, otherwise: f64) -> f64 {
        let (first, second) = self.load();
        if second == 0.0 {
            otherwise
        } else {
            first / second
        }
    }

    /// Keeps `keep` of both sums (0 to 1) and adds to them.
    pub(crate) fn add(&self, keep: f64, first: f64, second: f64) {
        self.update(|a, b| (a * keep + first, b * keep + second));
    }

    pub(crate) fn store(&self, first: f64, second: f64) {
        self.0.store(pack(first, second), Ordering::Relaxed);
    }

    /// Replaces both sums by what `next` makes of them.
    ///
    /// Of two threads that do so at once one may be lost: the sums are of many, and a locked instruction for
    /// each would be most of what a completion costs.
    pub(crate) fn update(&self, next: impl Fn(f64, f64) -> (f64, f64)) {
        let (first, second) = self.load();
        let (first, second) = next(first, second);
        self.store(first, second);
    }
}

fn pack(a: f64, b: f64) -> u64 {
    u64::from((a as f32).to_bits()) << 32 | u64::from((b as f32).to_bits())
}

fn unpack(word: u64) -> (f64, f64) {
    (
        f64::from(f32::from_bits((word >> 32) as u32)),
        f64::from(f32::from_bits(word as u32)),
    )
}
