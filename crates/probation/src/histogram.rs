//! Latencies counted in buckets: enough for quantiles and for how many exceed a bound, and small enough to keep
//! one per tick.

use std::sync::Arc;

/// Counts of latencies between given bounds.
///
/// Bucket `i` holds what was longer than bound `i - 1` and at most bound `i`; one more bucket holds what exceeded
/// them all. The default has no bounds, so everything exceeds them; merging something into it while it is empty
/// gives it the other's bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: Arc<[f64]>,
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Histogram {
    /// An empty one over `bounds`: seconds, ascending. Those that don't ascend or aren't finite are left out.
    pub fn new(bounds: &[f64]) -> Self {
        let mut ascending: Vec<f64> = Vec::with_capacity(bounds.len());
        for &bound in bounds {
            if bound.is_finite() && ascending.last().is_none_or(|&last| last < bound) {
                ascending.push(bound);
            }
        }
        Self {
            counts: vec![0; ascending.len() + 1],
            bounds: ascending.into(),
        }
    }

    /// One with the counts of `bounds.len() + 1` buckets; missing ones are zero, and what is too many is added to
    /// the last.
    pub fn from_counts(bounds: &[f64], counts: &[u64]) -> Self {
        let mut histogram = Self::new(bounds);
        let last = histogram.counts.len() - 1;
        for (index, &count) in counts.iter().enumerate() {
            let bucket = &mut histogram.counts[index.min(last)];
            *bucket = bucket.saturating_add(count);
        }
        histogram
    }

    /// An empty one over the same bounds, which are shared and not copied.
    pub fn emptied(&self) -> Self {
        Self {
            bounds: Arc::clone(&self.bounds),
            counts: vec![0; self.counts.len()],
        }
    }

    /// The bounds in seconds, ascending.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// The counts, one more than there are bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many latencies were counted.
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Counts one latency. What is not a number counts as longer than every bound.
    pub fn record(&mut self, seconds: f64) {
        let bucket = self.bucket_of(seconds);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
    }

    /// Adds another's counts. Where its bounds differ, each of its buckets goes where its upper bound belongs, so
    /// that no latency becomes shorter than it was told to be.
    pub fn merge(&mut self, other: &Self) {
        if self.bounds == other.bounds {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count = count.saturating_add(*more);
            }
            return;
        }
        if self.total() == 0 {
            *self = other.clone();
            return;
        }
        for (index, &more) in other.counts.iter().enumerate() {
            let upper = other.bounds.get(index).copied().unwrap_or(f64::INFINITY);
            let bucket = self.bucket_of(upper);
            self.counts[bucket] = self.counts[bucket].saturating_add(more);
        }
    }

    /// What was counted since `earlier`, an older state of the same running totals. All of it, if a count went down
    /// (their source began anew) or the bounds are others.
    pub fn since(&self, earlier: &Self) -> Self {
        if self.bounds != earlier.bounds {
            return self.clone();
        }
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts: Option<Vec<u64>> = pairs.map(|(now, &then)| now.checked_sub(then)).collect();
        Self {
            bounds: Arc::clone(&self.bounds),
            counts: counts.unwrap_or_else(|| self.counts.clone()),
        }
    }

    /// How many were longer than bound number `index`.
    pub fn above(&self, index: usize) -> u64 {
        self.counts
            .iter()
            .skip(index + 1)
            .fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// How many were longer than `seconds`, by whole buckets: those of the bucket that `seconds` lies in are not
    /// counted.
    pub fn above_seconds(&self, seconds: f64) -> u64 {
        self.above(self.bucket_of(seconds))
    }

    /// The `q` quantile in seconds, `q` in 0..=1: linear within its bucket; the last bound, where it exceeds all.
    /// None without counts or bounds.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.total() as f64).max(f64::MIN_POSITIVE);
        let bucket = self.bucket_of_rank(rank)?;
        let Some(&upper) = self.bounds.get(bucket) else {
            return self.bounds.last().copied();
        };
        let lower = self.lower(bucket);
        let before: u64 = self.counts[..bucket].iter().sum();
        let share = (rank - before as f64) / self.counts[bucket] as f64;
        Some(lower + (upper - lower) * share.clamp(0.0, 1.0))
    }

    /// The bucket of the `rank`th shortest latency (from 1), or None where there are fewer, or no bounds.
    pub(crate) fn bucket_of_rank(&self, rank: f64) -> Option<usize> {
        if self.bounds.is_empty() {
            return None;
        }
        let mut sum = 0.0;
        self.counts.iter().position(|&count| {
            sum += count as f64;
            count > 0 && sum >= rank
        })
    }

    /// The lower bound of a bucket in seconds.
    pub(crate) fn lower(&self, bucket: usize) -> f64 {
        match bucket.checked_sub(1) {
            Some(index) => self.bounds.get(index).copied().unwrap_or(0.0),
            None => 0.0,
        }
    }

    /// The bucket that a latency belongs to.
    fn bucket_of(&self, seconds: f64) -> usize {
        if seconds.is_nan() {
            return self.bounds.len();
        }
        self.bounds.partition_point(|&bound| bound < seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_at_a_bound_belongs_below_it() {
        let mut histogram = Histogram::new(&[0.001, 0.01, 0.1]);
        for seconds in [0.0005, 0.001, 0.002, 0.1, 0.5, f64::NAN] {
            histogram.record(seconds);
        }
        assert_eq!(histogram.counts(), [2, 1, 1, 2]);
        assert_eq!(histogram.above(0), 4);
        assert_eq!(histogram.above(2), 2);
        assert_eq!(histogram.above_seconds(0.01), 3);
        assert_eq!(histogram.total(), 6);
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let histogram = Histogram::from_counts(&[1.0, 2.0, 4.0], &[0, 10, 10, 0]);
        assert_eq!(histogram.quantile(0.0), Some(1.0));
        assert_eq!(histogram.quantile(0.25), Some(1.5));
        assert_eq!(histogram.quantile(0.5), Some(2.0));
        assert_eq!(histogram.quantile(0.75), Some(3.0));
        assert_eq!(histogram.quantile(1.0), Some(4.0));
        assert_eq!(Histogram::new(&[1.0]).quantile(0.5), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(
            Histogram::from_counts(&[1.0], &[0, 3]).quantile(0.5),
            Some(1.0)
        );
    }

    #[test]
    fn merging_and_subtracting_are_each_others_reverse() {
        let first = Histogram::from_counts(&[1.0, 2.0], &[1, 2, 3]);
        let mut both = first.clone();
        let second = Histogram::from_counts(&[1.0, 2.0], &[10, 0, 7]);
        both.merge(&second);
        assert_eq!(both.since(&first), second);
        // Totals that began anew.
        assert_eq!(first.since(&both), first);
    }

    #[test]
    fn other_bounds_never_shorten_a_latency() {
        let mut histogram = Histogram::from_counts(&[1.0, 4.0], &[1, 0, 0]);
        histogram.merge(&Histogram::from_counts(&[0.5, 2.0, 8.0], &[1, 1, 1, 1]));
        assert_eq!(histogram.counts(), [2, 1, 2]);
        let mut empty = Histogram::default();
        empty.merge(&histogram);
        assert_eq!(empty, histogram);
    }
}
