//! The test of a signal when both generations serve at the same time: on whom do bad events fall?

use crate::{
    counts::Counts,
    e_value::{Sample, ln_on_new_arm},
    gate::Gate,
    histogram::Histogram,
    signal::{Arm, Signal, Thresholds, bad},
    verdict::Share,
};

/// A single failure may be anybody's; two in different ticks on a tenth of the requests are not.
const LEAST_TICKS_FAILING: u64 = 2;

/// Slow requests may hang together, on one connection of one arm, which assignment by lot does not know of.
const LEAST_TICKS_SLOW: u64 = 4;

/// So many of the new arm's in one tick count in any case.
const LEAST_COUNTED: f64 = 2.0;

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
    events: Sample,
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
            events: Sample::default(),
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
        let events = self.counted(new, old);
        self.events += events;
        if events.bad > self.share * events.requests {
            self.harmful_ticks += 1;
        }
    }

    /// A tick's bad events (`requests`) and those of them on the new arm (`bad`), of slow ones no more than there is
    /// headroom for.
    ///
    /// Leaving out the new arm's can but lessen the e-value. Counting each event of a tick as a part of one, a part
    /// that depends on their number and not on where they fell, keeps it an e-value: its factor to a power below 1
    /// has a lower expectation still (Jensen).
    fn counted(&self, new: (u64, u64), old: (u64, u64)) -> Sample {
        let (on_new, on_old) = (new.1 as f64, old.1 as f64);
        let Some(quantile) = self.signal.quantile() else {
            return Sample {
                requests: on_new + on_old,
                bad: on_new,
            };
        };
        let most = (1.0 - quantile + self.signal.headroom()).min(1.0);
        let on_new = on_new.min((most * new.0 as f64).ceil().max(LEAST_COUNTED));
        let all = on_new + on_old;
        let most = (most * (new.0 + old.0) as f64).max(LEAST_COUNTED);
        let part = if all > most { most / all } else { 1.0 };
        Sample {
            requests: part * all,
            bad: part * on_new,
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
        let ln_e_value = ln_on_new_arm(self.share, self.events.bad, self.events.requests);
        let rise = self.new.share() - self.old.share();
        let least_ticks = if self.signal.quantile().is_some() {
            LEAST_TICKS_SLOW
        } else {
            LEAST_TICKS_FAILING
        };
        if self.harmful_ticks >= least_ticks && rise >= self.signal.least_rise(gate) {
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
