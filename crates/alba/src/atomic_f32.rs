//! A number that all threads read and write.

use std::sync::atomic::{AtomicU32, Ordering};

/// An `f32` in one atomic word. It takes and gives `f64`, in which everything is worked out.
#[derive(Debug)]
pub(crate) struct AtomicF32(AtomicU32);

impl AtomicF32 {
    pub(crate) const fn new(value: f64) -> Self {
        Self(AtomicU32::new((value as f32).to_bits()))
    }

    pub(crate) fn load(&self) -> f64 {
        f64::from(f32::from_bits(self.0.load(Ordering::Relaxed)))
    }

    pub(crate) fn store(&self, value: f64) {
        self.0.store((value as f32).to_bits(), Ordering::Relaxed);
    }
}
