//! The test of a signal when both generations serve at the same time: on whom do bad events fall?

use crate::{
    burst::WorstSecond,
    counts::Counts,
    e_value::{Sample, ln_on_new_arm},
    gate::Gate,
    histogram::Histogram,
    signal::{Arm, Signal, Thresholds, bad},
    verdict::Share,
};

/// A single failure may be anybody's; two in different ticks on a tenth of the requests are not.
const LEAST_HARMFUL_TICKS: u64 = 2;

/// One signal's counts on both arms.
#[derive(Clone, Debug)]
pub(crate) struct CanaryTest {
    signal: Signal,
    share: f64,
    thresholds: Option<Thresholds>,
    /// The old generation's requests at which thresholds are taken anew.
    renew_at: u64,
    old: Share,
    new: Share,
    worst: WorstSecond,
    harmful_ticks: u64,
}

impl CanaryTest {
    pub(crate) fn new(signal: Signal, share: f64) -> Self {
        Self {
            signal,
            share,
            thresholds: None,
            renew_at: 0,
            old: Share::default(),
            new: Share::default(),
            worst: WorstSecond::default(),
            harmful_ticks: 0,
        }
    }

    /// Takes a tick's counts. `old_so_far` has the old generation's latencies of earlier ticks only, so that which
    /// requests are slow ones is settled before they are counted: each tick's events then are the null's, whatever
    /// the thresholds were before, and can be added up.
    pub(crate) fn observe(
        &mut self,
        gate: &Gate,
        new: &Counts,
        old: &Counts,
        old_so_far: &Histogram,
    ) {
        self.renew_thresholds(gate, old_so_far);
        let new = bad(self.signal, self.thresholds, Arm::New, new);
        let old = bad(self.signal, self.thresholds, Arm::Old, old);
        let (Some(new), Some(old)) = (new, old) else {
            return;
        };
        self.new.add(new);
        self.old.add(old);
        let events = Sample {
            requests: (new.1 + old.1) as f64,
            bad: new.1 as f64,
        };
        self.worst.observe(events, self.share);
        if events.bad > self.share * events.requests {
            self.harmful_ticks += 1;
        }
    }

    /// Each time that the old generation's requests have doubled: early ones are rough, and seldom is enough.
    fn renew_thresholds(&mut self, gate: &Gate, old_so_far: &Histogram) {
        let total = old_so_far.total();
        if self.signal.quantile().is_none() || total < self.renew_at.max(1) {
            return;
        }
        if let Some(thresholds) = Thresholds::at(self.signal, gate, old_so_far) {
            self.thresholds = Some(thresholds);
            self.renew_at = total.saturating_mul(2);
        }
    }

    /// ln of the e-value; at most 0 while the harm is too small or too short to count.
    pub(crate) fn ln_e_value(&self, gate: &Gate) -> f64 {
        let events = Sample {
            requests: self.new.bad.saturating_add(self.old.bad) as f64,
            bad: self.new.bad as f64,
        };
        let all = ln_on_new_arm(self.share, events.bad, events.requests);
        // Failures stand for themselves. Slowness has to outlast a second in which one arm's connections hang
        // together, which assignment by lot does not know of.
        let ln_e_value = if self.signal.quantile().is_some() {
            let lasting = events - self.worst.counts();
            all.min(ln_on_new_arm(self.share, lasting.bad, lasting.requests))
        } else {
            all
        };
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
