//! Puts the signals together: one verdict from one stream of ticks.

use thiserror::Error;

use crate::{
    before::BeforeTest,
    canary::CanaryTest,
    confidence,
    counts::{Counts, Design, Tick},
    e_value::{Prior, Sample},
    evidence::{ArmEvidence, Evidence},
    gate::Gate,
    histogram::Histogram,
    saturation::Saturation,
    signal::{Signal, add_if_calm},
    verdict::{Doubt, Harm, Reason, Verdict},
    watch::{Test, Watches},
};

/// From this part of the needed evidence on, a generation is not promoted but held and watched on.
const SUSPICIOUS: f64 = 0.5;

/// A generation on probation: takes ticks, gives verdicts.
#[derive(Clone, Debug)]
pub struct Probation {
    gate: Gate,
    watches: Watches,
    concurrent: bool,
    new: Counts,
    old: Counts,
    /// The old generation's latencies while the machine did not stand still.
    calm: Histogram,
    ticks: u64,
    saturation: Saturation,
    /// Why it is rolled back, once that is settled. A crossing counts when it happens: what comes after it can't
    /// take it back.
    reasons: Vec<Reason>,
}

/// A design that can't be tested.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DesignError {
    /// The canary's share is no probability strictly between 0 and 1.
    #[error("a canary's share of {0} leaves nothing to compare; use more than 0 and less than 1")]
    Share(f64),
}

impl Probation {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// If the canary's share is not between 0 and 1.
    pub fn new(gate: Gate, design: Design) -> Result<Self, DesignError> {
        let signals = Signal::weighted(&gate);
        let (mut old, mut calm) = (Counts::default(), Histogram::default());
        let (tests, concurrent, busy) = match design {
            Design::Canary { share } => {
                if !(share > 0.0 && share < 1.0) {
                    return Err(DesignError::Share(share));
                }
                let test = |signal| Test::Canary(CanaryTest::new(signal, share));
                let tests = signals
                    .into_iter()
                    .map(|(signal, weight)| (test(signal), weight));
                (tests.collect(), true, None)
            }
            Design::Before { baseline, busy } => {
                for counts in &baseline {
                    old.merge(counts);
                }
                for counts in &baseline {
                    add_if_calm(&mut calm, &counts.latency, &old.latency);
                }
                let test = |signal| {
                    let test = BeforeTest::new(signal, &gate, &baseline, &calm);
                    Test::Before(Box::new(test))
                };
                let tests = signals
                    .into_iter()
                    .map(|(signal, weight)| (test(signal), weight));
                (tests.collect(), false, Some(busy))
            }
        };
        Ok(Self {
            gate,
            watches: Watches::new(tests),
            concurrent,
            new: Counts::default(),
            old,
            calm,
            ticks: 0,
            saturation: Saturation::new(gate.saturation, busy),
            reasons: Vec::new(),
        })
    }

    /// Says how busy the workers were before the swap (0..=1), for a canary, whose design doesn't tell. Without it,
    /// a canary's saturation is not judged.
    #[must_use]
    pub fn with_busy_before(mut self, busy: f64) -> Self {
        self.saturation = Saturation::new(self.gate.saturation, Some(busy));
        self
    }

    /// Takes the next tick.
    pub fn observe(&mut self, tick: &Tick) {
        self.watches.observe(&self.gate, tick, &self.calm);
        self.ticks += 1;
        self.new.merge(&tick.new);
        if self.concurrent
            && let Some(old) = &tick.baseline
        {
            add_if_calm(&mut self.calm, &old.latency, &self.old.latency);
            self.old.merge(old);
        }
        self.saturation.observe(tick.busy);
        if self.reasons.is_empty() {
            self.reasons = self.harm_found();
        }
    }

    /// What is to be done now; `is_over` once the deadline has passed. Before that, nothing is promoted: harm that
    /// comes with time is what the time is for.
    pub fn verdict(&self, is_over: bool) -> Verdict {
        if !self.reasons.is_empty() {
            return Verdict::RollBack(self.reasons.clone());
        }
        if !is_over {
            return Verdict::Continue;
        }
        if self.new.requests == 0 {
            return Verdict::Inconclusive(Doubt::NoTraffic);
        }
        let e_value = self.e_value();
        let needed = 1.0 / self.gate.alpha;
        if e_value >= SUSPICIOUS * needed
            && let Some(harm) = self.harms().into_iter().next()
        {
            let harm = Box::new(harm);
            return Verdict::Inconclusive(Doubt::Suspicion {
                e_value,
                needed,
                harm,
            });
        }
        let excess_high = self.excess_high();
        if self.gate.errors.is_some() && excess_high > self.gate.tolerance {
            return Verdict::Inconclusive(Doubt::TooFewRequests {
                requests: self.new.requests,
                excess_high,
                tolerance: self.gate.tolerance,
            });
        }
        Verdict::Promote
    }

    /// What is known now.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            ticks: self.ticks,
            concurrent: self.concurrent,
            new: ArmEvidence::of(&self.new, self.gate.alpha),
            old: ArmEvidence::of(&self.old, self.gate.alpha),
            signals: self.watches.evidence(&self.gate),
            e_value: self.e_value(),
            e_value_needed: 1.0 / self.gate.alpha,
            excess_high: self.excess_high(),
            tolerance: self.gate.tolerance,
            busy: self.saturation.busy(),
            busy_before: self.saturation.before(),
        }
    }

    fn e_value(&self) -> f64 {
        self.watches.e_value(&self.gate)
    }

    fn harms(&self) -> Vec<Harm> {
        self.watches.harms(&self.gate, &self.old.latency)
    }

    fn harm_found(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let needed = 1.0 / self.gate.alpha;
        if self.e_value() >= needed {
            let harms = self.harms();
            // What would not suffice by itself is a companion at best; the strongest is told in any case.
            let told = harms.into_iter().enumerate();
            let told = told.filter(|(index, harm)| *index == 0 || harm.e_value >= needed);
            reasons.extend(told.map(|(_, harm)| Reason::Share(harm)));
        }
        reasons.extend(self.saturation.reason());
        reasons
    }

    /// The greatest rise of the share of failures that is not excluded: each arm's interval errs on one side with
    /// half of α.
    fn excess_high(&self) -> f64 {
        let alpha = self.gate.alpha / 2.0;
        let dispersion = self.watches.dispersion_of_failures();
        let interval = |counts: &Counts| {
            let sample = Sample {
                requests: counts.requests.max(counts.failures) as f64,
                bad: counts.failures as f64,
            };
            confidence::proportion(Prior::RARE, sample.deflated(dispersion), alpha)
        };
        (interval(&self.new).high - interval(&self.old).low).max(0.0)
    }
}
