//! Puts the signals together: one verdict from one stream of ticks.

use thiserror::Error;

use crate::{
    before::BeforeTest,
    canary::CanaryTest,
    confidence,
    counts::{Counts, Design, Tick},
    e_value::{Prior, Sample},
    evidence::{ArmEvidence, Evidence, SignalEvidence},
    gate::Gate,
    histogram::Histogram,
    saturation::Saturation,
    signal::{Signal, Thresholds, add_if_calm},
    verdict::{Doubt, Harm, Reason, Share, Verdict},
};

/// E-values are told up to here; beyond, nothing changes and JSON has no number.
const MOST_E_VALUE: f64 = 1e300;

/// From this part of the needed evidence on, a generation is not promoted but held and watched on.
const SUSPICIOUS: f64 = 0.5;

/// A generation on probation: takes ticks, gives verdicts.
#[derive(Clone, Debug)]
pub struct Probation {
    gate: Gate,
    tests: Vec<(Test, f64)>,
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

#[derive(Clone, Debug)]
enum Test {
    Canary(CanaryTest),
    Before(Box<BeforeTest>),
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
            tests,
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
        let nothing = Counts::default();
        let old = tick.baseline.as_ref().unwrap_or(&nothing);
        for (test, _) in &mut self.tests {
            match test {
                Test::Canary(test) => test.observe(&self.gate, &tick.new, old, &self.calm),
                Test::Before(test) => test.observe(&tick.new),
            }
        }
        self.ticks += 1;
        self.new.merge(&tick.new);
        if self.concurrent {
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
        let signals = self.tests.iter().map(|(test, _)| {
            let (old, new) = test.shares();
            SignalEvidence {
                signal: test.signal(),
                new,
                old,
                thresholds: test.thresholds(),
                dispersion: test.dispersion(),
                e_value: told(test.ln_e_value(&self.gate)),
            }
        });
        Evidence {
            ticks: self.ticks,
            concurrent: self.concurrent,
            new: ArmEvidence::of(&self.new, self.gate.alpha),
            old: ArmEvidence::of(&self.old, self.gate.alpha),
            signals: signals.collect(),
            e_value: self.e_value(),
            e_value_needed: 1.0 / self.gate.alpha,
            excess_high: self.excess_high(),
            tolerance: self.gate.tolerance,
            busy: self.saturation.busy(),
            busy_before: self.saturation.before(),
        }
    }

    /// The weighted mean of the signals' e-values: an e-value itself, however they depend on each other (Vovk and
    /// Wang, "E-values: calibration, combination and applications", 2021).
    fn e_value(&self) -> f64 {
        let sum: f64 = self
            .tests
            .iter()
            .map(|(test, weight)| weight * told(test.ln_e_value(&self.gate)))
            .sum();
        sum.min(MOST_E_VALUE)
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

    /// What each signal says, the one that adds most to the mean first.
    fn harms(&self) -> Vec<Harm> {
        let mut harms: Vec<(f64, Harm)> = self
            .tests
            .iter()
            .map(|(test, weight)| {
                let (old, new) = test.shares();
                let e_value = told(test.ln_e_value(&self.gate));
                let quantile = |q| {
                    let old = self.old.latency.quantile(q)?;
                    Some((old, self.new.latency.quantile(q)?))
                };
                let harm = Harm {
                    signal: test.signal(),
                    new,
                    old,
                    concurrent: self.concurrent,
                    e_value,
                    thresholds: test.thresholds(),
                    quantiles: test.signal().quantile().and_then(quantile),
                };
                (weight * e_value, harm)
            })
            .collect();
        harms.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        harms.into_iter().map(|(_, harm)| harm).collect()
    }

    /// The greatest rise of the share of failures that is not excluded: each arm's interval errs on one side with
    /// half of α.
    fn excess_high(&self) -> f64 {
        let alpha = self.gate.alpha / 2.0;
        let dispersion = self
            .tests
            .iter()
            .find(|(test, _)| test.signal() == Signal::Errors)
            .map_or(1.0, |(test, _)| test.dispersion());
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

impl Test {
    fn signal(&self) -> Signal {
        match self {
            Self::Canary(test) => test.signal(),
            Self::Before(test) => test.signal(),
        }
    }

    fn shares(&self) -> (Share, Share) {
        match self {
            Self::Canary(test) => test.shares(),
            Self::Before(test) => test.shares(),
        }
    }

    fn thresholds(&self) -> Option<Thresholds> {
        match self {
            Self::Canary(test) => test.thresholds(),
            Self::Before(test) => test.thresholds(),
        }
    }

    fn dispersion(&self) -> f64 {
        match self {
            Self::Canary(_) => 1.0,
            Self::Before(test) => test.dispersion(),
        }
    }

    fn ln_e_value(&self, gate: &Gate) -> f64 {
        match self {
            Self::Canary(test) => test.ln_e_value(gate),
            Self::Before(test) => test.ln_e_value(gate),
        }
    }
}

/// The e-value of its logarithm, within what is told.
fn told(ln_e_value: f64) -> f64 {
    ln_e_value.exp().min(MOST_E_VALUE)
}
