//! The test of a signal when there is only what the old generation did before the swap.

use crate::{
    burst::WorstTicks,
    counts::{Counts, TICKS_PER_SECOND},
    dispersion::Dispersion,
    e_value::{Sample, ln_two_samples},
    gate::Gate,
    histogram::Histogram,
    signal::{Arm, Signal, Thresholds, bad},
    verdict::Share,
};

/// Harm that is the configuration's comes again.
const LEAST_HARMFUL_TICKS: u64 = 3;

/// Evidence of failures has to stand without the worst second: a pause of the machine is over by then.
const WORST_FAILING: usize = TICKS_PER_SECOND as usize;

/// That of slowness without the worst two: whatever else takes the machine for a while makes all slow.
const WORST_SLOW: usize = 2 * TICKS_PER_SECOND as usize;

/// Blocks of ticks over which the window before the swap is asked how much it varies: a burst, a second, five
/// seconds, a quarter of a minute.
const LENGTHS_BEFORE: [u32; 4] = [1, 5, 25, 75];

/// The same for the new generation: longer blocks would take harm that begins late for a wave.
const LENGTHS_SINCE: [u32; 2] = [1, 5];

/// One signal's counts before the swap and since.
#[derive(Clone, Debug)]
pub(crate) struct BeforeTest {
    signal: Signal,
    thresholds: Option<Thresholds>,
    old: Share,
    new: Share,
    /// Most of one tick's requests that count as bad, as a share.
    most: f64,
    clipped_old: Sample,
    clipped_new: Sample,
    dispersion_before: f64,
    dispersion_since: Dispersion,
    worst: WorstTicks,
    harmful_ticks: u64,
}

impl BeforeTest {
    /// `latency` is the sum of the baseline's calm ticks. Thresholds come from the same ticks that they are then compared with;
    /// one request more is taken to be slow there, which makes the share of slow ones what the test of precedence
    /// has (a beta with `slow + 1` and `others`), never less.
    pub(crate) fn new(
        signal: Signal,
        gate: &Gate,
        baseline: &[Counts],
        latency: &Histogram,
    ) -> Self {
        let thresholds = Thresholds::at(signal, gate, latency);
        let count = |counts: &Counts| bad(signal, thresholds, Arm::Old, counts).unwrap_or_default();
        let mut old = Share::default();
        for counts in baseline {
            old.add(count(counts));
        }
        let most = old.share() + signal.headroom();
        let mut dispersion = Dispersion::over(&LENGTHS_BEFORE);
        let mut clipped_old = Sample::default();
        for counts in baseline {
            let tick = clipped(count(counts), most);
            clipped_old += tick;
            dispersion.observe(tick);
        }
        if thresholds.is_some() {
            clipped_old.bad = (clipped_old.bad + 1.0).min(clipped_old.requests);
        }
        Self {
            signal,
            thresholds,
            old,
            new: Share::default(),
            most,
            clipped_old,
            clipped_new: Sample::default(),
            dispersion_before: dispersion.estimate(),
            dispersion_since: Dispersion::over(&LENGTHS_SINCE),
            worst: WorstTicks::of(if signal.quantile().is_some() {
                WORST_SLOW
            } else {
                WORST_FAILING
            }),
            harmful_ticks: 0,
        }
    }

    pub(crate) fn observe(&mut self, new: &Counts) {
        let Some(new) = bad(self.signal, self.thresholds, Arm::New, new) else {
            return;
        };
        self.new.add(new);
        let tick = clipped(new, self.most);
        let expected = self.clipped_old.share();
        self.clipped_new += tick;
        self.dispersion_since.observe(tick);
        self.worst.observe(tick, expected);
        if tick.bad > expected * tick.requests {
            self.harmful_ticks += 1;
        }
    }

    /// Variance of the counts over that of independent requests, 1 or more: before the swap or since, whichever
    /// varied more.
    pub(crate) fn dispersion(&self) -> f64 {
        self.dispersion_before.max(self.dispersion_since.estimate())
    }

    /// ln of the e-value; at most 0 while the harm is too small or too short to count.
    pub(crate) fn ln_e_value(&self, gate: &Gate) -> f64 {
        let dispersion = self.dispersion();
        let old = self.clipped_old.deflated(dispersion);
        let of = |new: Sample| ln_two_samples(self.signal.prior(), old, new.deflated(dispersion));
        let ln_e_value = of(self.clipped_new).min(of(self.clipped_new - self.worst.counts()));
        let rise = self.new.share() - self.old.share();
        if self.harmful_ticks >= LEAST_HARMFUL_TICKS && rise >= self.signal.least_rise(gate) {
            ln_e_value
        } else {
            ln_e_value.min(0.0)
        }
    }

    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    pub(crate) fn shares(&self) -> (Share, Share) {
        (self.old, self.new)
    }

    pub(crate) fn thresholds(&self) -> Option<Thresholds> {
        self.thresholds
    }
}

fn clipped((requests, bad): (u64, u64), most: f64) -> Sample {
    let requests = requests as f64;
    let most = (most * requests).ceil().min(requests);
    Sample {
        requests,
        bad: (bad as f64).min(most),
    }
}
