//! What a single bad moment does to counts, kept so that evidence can be asked to stand without it.

use crate::e_value::Sample;

/// The successive ticks, among all such, with the most bad ones beyond what was expected.
///
/// A machine that stops for 300 ms, or a connection that is lost, hits all requests of a few ticks in a row. Such a
/// thing happens with any configuration; a bad configuration goes on.
#[derive(Clone, Debug)]
pub(crate) struct WorstTicks {
    recent: Vec<Sample>,
    next: usize,
    worst: Sample,
    excess: f64,
}

impl WorstTicks {
    /// Of so many ticks, at least one.
    pub(crate) fn of(ticks: usize) -> Self {
        Self {
            recent: vec![Sample::default(); ticks.max(1)],
            next: 0,
            worst: Sample::default(),
            excess: 0.0,
        }
    }

    /// Takes a tick's counts, where a share of `expected` is usual.
    pub(crate) fn observe(&mut self, tick: Sample, expected: f64) {
        self.recent[self.next] = tick;
        self.next = (self.next + 1) % self.recent.len();
        let sum = |sum, &tick| sum + tick;
        let window = self.recent.iter().fold(Sample::default(), sum);
        let excess = window.bad - expected * window.requests;
        if excess > self.excess {
            (self.worst, self.excess) = (window, excess);
        }
    }

    /// Their counts; none where no ticks had more than expected.
    pub(crate) fn counts(&self) -> Sample {
        self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_ticks_may_begin_at_any_tick() {
        let mut worst = WorstTicks::of(5);
        let tick = |bad: f64| Sample {
            requests: 10.0,
            bad,
        };
        for bad in [0.0, 0.0, 0.0, 9.0, 10.0, 9.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0] {
            worst.observe(tick(bad), 0.1);
        }
        assert_eq!(worst.counts().bad, 28.0);
        assert_eq!(worst.counts().requests, 50.0);
    }

    #[test]
    fn quiet_ticks_take_nothing_away() {
        let mut worst = WorstTicks::of(5);
        for _ in 0..20 {
            worst.observe(
                Sample {
                    requests: 10.0,
                    bad: 1.0,
                },
                0.2,
            );
        }
        assert_eq!(worst.counts(), Sample::default());
    }
}
