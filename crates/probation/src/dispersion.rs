//! How much more counts vary than independent requests would make them.

use crate::e_value::Sample;

/// With fewer blocks, their variance says nothing.
const LEAST_BLOCKS: u64 = 4;

/// Pearson's statistic over its degrees of freedom (McCullagh and Nelder, "Generalized Linear Models", 4.5), for
/// blocks of several lengths at once.
///
/// Independent requests give 1 at every length. Bursts give more at the length of a burst; a drift or a slow wave
/// gives more the longer the block is. Counts divided by the largest are worth about as much as independent ones.
#[derive(Clone, Debug)]
pub(crate) struct Dispersion {
    lengths: Vec<Blocks>,
}

#[derive(Clone, Debug)]
struct Blocks {
    ticks: u32,
    filled: u32,
    open: Sample,
    closed: Sample,
    count: u64,
    /// Σ bad² / requests over closed blocks.
    squares: f64,
}

impl Dispersion {
    /// Over blocks of these many ticks.
    pub(crate) fn over(lengths: &[u32]) -> Self {
        Self {
            lengths: lengths
                .iter()
                .map(|&ticks| Blocks {
                    ticks,
                    filled: 0,
                    open: Sample::default(),
                    closed: Sample::default(),
                    count: 0,
                    squares: 0.0,
                })
                .collect(),
        }
    }

    pub(crate) fn observe(&mut self, tick: Sample) {
        for blocks in &mut self.lengths {
            blocks.observe(tick);
        }
    }

    /// Variance over what independent requests would have, 1 or more: the largest of all lengths.
    pub(crate) fn estimate(&self) -> f64 {
        self.lengths
            .iter()
            .filter_map(Blocks::estimate)
            .fold(1.0, f64::max)
    }
}

impl Blocks {
    fn observe(&mut self, tick: Sample) {
        self.open += tick;
        self.filled += 1;
        if self.filled < self.ticks {
            return;
        }
        if self.open.requests > 0.0 {
            self.squares += self.open.bad * self.open.bad / self.open.requests;
            self.closed += self.open;
            self.count += 1;
        }
        (self.open, self.filled) = (Sample::default(), 0);
    }

    /// Σ (k - n p)² / (n p (1-p)) / (blocks - 1), multiplied out so that nothing but sums is kept.
    fn estimate(&self) -> Option<f64> {
        let rate = self.closed.share();
        if self.count < LEAST_BLOCKS || rate <= 0.0 || rate >= 1.0 {
            return None;
        }
        let squares = self.squares - rate * self.closed.bad;
        Some(squares / (rate * (1.0 - rate)) / (self.count - 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(bad: impl Iterator<Item = f64>) -> f64 {
        let mut dispersion = Dispersion::over(&[1, 5]);
        for bad in bad {
            dispersion.observe(Sample {
                requests: 100.0,
                bad,
            });
        }
        dispersion.estimate()
    }

    #[test]
    fn independent_requests_have_one() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut binomial = || (0..100).filter(|_| rng.f64() < 0.05).count() as f64;
        let dispersion = estimate((0..2000).map(|_| binomial()));
        assert!((0.9..1.25).contains(&dispersion), "{dispersion}");
    }

    #[test]
    fn bursts_have_more_and_constants_no_less_than_one() {
        let bursts = estimate((0..300).map(|tick| if tick % 100 == 50 { 50.0 } else { 1.0 }));
        assert!(bursts > 10.0, "{bursts}");
        // A wave over ten ticks is seen over blocks of five, though each tick differs little.
        let wave = estimate((0..300).map(|tick| if tick % 10 < 5 { 3.0 } else { 7.0 }));
        assert!(wave > 4.0, "{wave}");
        assert_eq!(estimate((0..300).map(|_| 5.0)), 1.0);
        assert_eq!(estimate((0..300).map(|_| 0.0)), 1.0);
        assert_eq!(estimate([0.0, 100.0, 0.0].into_iter()), 1.0);
    }
}
