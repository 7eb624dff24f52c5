//! The seeded generator.

/// The seeded generator that every random choice draws from (wyrand; not for secrets).
///
/// The same seed gives the same picks. Each worker owns one, so that drawing takes no shared state.
#[derive(Debug, Clone)]
pub struct Rng(fastrand::Rng);

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Uniform over all of `u64`.
    pub fn u64(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Uniform over `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        if n == 0 { 0 } else { self.0.u32(..n) }
    }

    /// Uniform over `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// As [`Rng::below`], for sums of weights.
    pub(crate) fn below_u64(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.u64(..n) }
    }
}
