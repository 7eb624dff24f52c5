//! What a single bad second does to counts, kept so that evidence can be asked to stand without it.

use crate::{counts::TICKS_PER_SECOND, e_value::Sample};

const TICKS: usize = TICKS_PER_SECOND as usize;

/// The second, among all that began at any tick, with the most bad ones beyond what was expected.
///
/// A machine that stops for 300 ms, or a connection that is lost, hits all requests of a few ticks in a row. Such a
/// thing happens with any configuration; a bad configuration goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorstSecond {
    recent: [Sample; TICKS],
    next: usize,
    worst: Sample,
    excess: f64,
}

impl WorstSecond {
    /// Takes a tick's counts, where a share of `expected` is usual.
    pub(crate) fn observe(&mut self, tick: Sample, expected: f64) {
        self.recent[self.next] = tick;
        self.next = (self.next + 1) % TICKS;
        let second = self
            .recent
            .iter()
            .fold(Sample::default(), |sum, &tick| sum + tick);
        let excess = second.bad - expected * second.requests;
        if excess > self.excess {
            (self.worst, self.excess) = (second, excess);
        }
    }

    /// The worst second's counts; none where no second had more than expected.
    pub(crate) fn counts(&self) -> Sample {
        self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_second_may_begin_at_any_tick() {
        let mut worst = WorstSecond::default();
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
    fn quiet_seconds_take_nothing_away() {
        let mut worst = WorstSecond::default();
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
