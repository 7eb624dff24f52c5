//! Seeded draws, each concern from a stream of its own.

use alba::Rng;

/// What randomness is used for. Streams are separate, so that all policies meet the same arrivals, the
/// same work and the same antagonists under one seed (common random numbers), however often they draw.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// When requests come, of which class, with how much work, from where.
    Arrivals,
    /// Antagonists of one server.
    Antagonist,
    /// What one server fails.
    Failures,
    /// Reports that are lost or late.
    Reports,
    /// Back-off, discovery delays.
    Delays,
    /// One dispatcher's policy.
    Policy,
}

/// The stream of `concern` number `index` under `seed`.
pub(crate) fn stream(seed: u64, concern: Stream, index: u32) -> Rng {
    let key = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add((concern as u64) << 32 | u64::from(index));
    Rng::seeded(mix(mix(key)))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): near seeds give unrelated streams.
fn mix(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Exponential with mean 1.
pub(crate) fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.unit()).ln()
}

/// Standard normal (Box and Muller 1958).
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    let radius = (2.0 * exponential(rng)).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

/// Uniform over `from..to`.
pub(crate) fn uniform(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from + (to - from) * rng.unit()
}

/// An index with chance proportional to its weight; 0 if there are none.
pub(crate) fn weighted(rng: &mut Rng, cumulated: &[f64]) -> u32 {
    let Some(&total) = cumulated.last() else {
        return 0;
    };
    let at = rng.unit() * total;
    cumulated.partition_point(|&end| end <= at) as u32
}

/// Running sums, for [`weighted`].
pub(crate) fn cumulated(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    weights
        .into_iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}
