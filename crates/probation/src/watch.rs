//! The signals' tests over a stretch of time, and when new stretches begin.

use crate::{
    before::BeforeTest,
    canary::CanaryTest,
    counts::{Counts, Tick},
    evidence::SignalEvidence,
    gate::Gate,
    histogram::Histogram,
    signal::{Signal, Thresholds},
    verdict::{Harm, Share},
};

/// E-values are told up to here; beyond, nothing changes and JSON has no number.
pub(crate) const MOST_E_VALUE: f64 = 1e300;

/// What the stretch since the swap has of α. With less, two failures would no longer do on a tenth of the requests.
const FIRST: f64 = 0.9;

/// Every so many ticks a stretch begins.
const TICKS_BETWEEN: u64 = 100;

/// So many later ones are kept. Leaving out an older one only lessens the evidence.
const LATER_KEPT: usize = 3;

/// Tests over all that happened since the swap, and since some later times: harm that begins late would take long to
/// show in the sum of all.
///
/// An e-value that is 1 until its stretch begins is one at all times. So is their weighted sum, whatever the weights,
/// if those of all stretches that will ever begin add up to 1 at most.
#[derive(Clone, Debug)]
pub(crate) struct Watches {
    /// As they are when a stretch begins.
    fresh: Vec<(Test, f64)>,
    first: Watch,
    later: Vec<Watch>,
    ticks: u64,
    /// The weights of stretches that are to begin yet.
    rest: f64,
}

#[derive(Clone, Debug)]
struct Watch {
    weight: f64,
    tests: Vec<(Test, f64)>,
    latency: Histogram,
}

/// A signal's test.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Canary(CanaryTest),
    Before(Box<BeforeTest>),
}

impl Watches {
    /// Begins the first; each test with its weight, which add up to 1.
    pub(crate) fn new(tests: Vec<(Test, f64)>) -> Self {
        Self {
            first: Watch::new(&tests, FIRST),
            fresh: tests,
            later: Vec::new(),
            ticks: 0,
            rest: 1.0 - FIRST,
        }
    }

    /// Takes a tick; `calm` has what thresholds are taken from.
    pub(crate) fn observe(&mut self, gate: &Gate, tick: &Tick, calm: &Histogram) {
        if self.ticks > 0 && self.ticks.is_multiple_of(TICKS_BETWEEN) {
            self.begin_another();
        }
        self.ticks += 1;
        self.first.observe(gate, tick, calm);
        for watch in &mut self.later {
            watch.observe(gate, tick, calm);
        }
    }

    /// Number j gets (1 - FIRST) / (j (j + 1)), the sum of which over all j is 1 - FIRST.
    fn begin_another(&mut self) {
        let number = (self.ticks / TICKS_BETWEEN) as f64;
        let weight = (1.0 - FIRST) / (number * (number + 1.0));
        self.rest = (self.rest - weight).max(0.0);
        if self.later.len() == LATER_KEPT {
            self.later.remove(0);
        }
        self.later.push(Watch::new(&self.fresh, weight));
    }

    /// The e-value of all stretches and signals together.
    pub(crate) fn e_value(&self, gate: &Gate) -> f64 {
        let sum: f64 = self
            .all()
            .map(|watch| watch.weight * watch.e_value(gate))
            .sum();
        (sum + self.rest).min(MOST_E_VALUE)
    }

    /// What each signal says in the stretch in which it says most, the one that adds most to the sum first. `old` has
    /// the old generation's latencies.
    pub(crate) fn harms(&self, gate: &Gate, old: &Histogram) -> Vec<Harm> {
        let mut harms: Vec<(f64, Harm)> = self
            .all()
            .flat_map(|watch| watch.harms(gate, old))
            .collect();
        harms.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut told: Vec<Harm> = Vec::new();
        for (_, harm) in harms {
            if told.iter().all(|other| other.signal != harm.signal) {
                told.push(harm);
            }
        }
        told
    }

    /// What each signal says since the swap.
    pub(crate) fn evidence(&self, gate: &Gate) -> Vec<SignalEvidence> {
        let evidence = |test: &Test| {
            let (old, new) = test.shares();
            SignalEvidence {
                signal: test.signal(),
                new,
                old,
                thresholds: test.thresholds(),
                dispersion: test.dispersion(),
                e_value: test.e_value(gate),
            }
        };
        self.first
            .tests
            .iter()
            .map(|(test, _)| evidence(test))
            .collect()
    }

    /// How much more failures vary than independent ones would, 1 or more.
    pub(crate) fn dispersion_of_failures(&self) -> f64 {
        let mut tests = self.first.tests.iter();
        let errors = tests.find(|(test, _)| test.signal() == Signal::Errors);
        errors.map_or(1.0, |(test, _)| test.dispersion())
    }

    fn all(&self) -> impl Iterator<Item = &Watch> {
        std::iter::once(&self.first).chain(&self.later)
    }
}

impl Watch {
    fn new(tests: &[(Test, f64)], weight: f64) -> Self {
        Self {
            weight,
            tests: tests.to_vec(),
            latency: Histogram::default(),
        }
    }

    fn observe(&mut self, gate: &Gate, tick: &Tick, calm: &Histogram) {
        let nothing = Counts::default();
        let old = tick.baseline.as_ref().unwrap_or(&nothing);
        for (test, _) in &mut self.tests {
            match test {
                Test::Canary(test) => test.observe(gate, &tick.new, old, calm),
                Test::Before(test) => test.observe(&tick.new),
            }
        }
        self.latency.merge(&tick.new.latency);
    }

    /// The weighted mean of the signals' e-values: an e-value itself, however they depend on each other (Vovk and
    /// Wang, "E-values: calibration, combination and applications", 2021).
    fn e_value(&self, gate: &Gate) -> f64 {
        let mean = self
            .tests
            .iter()
            .map(|(test, weight)| weight * test.e_value(gate));
        mean.sum::<f64>().min(MOST_E_VALUE)
    }

    /// Each signal's, with what it adds to the sum.
    fn harms(&self, gate: &Gate, old_latency: &Histogram) -> impl Iterator<Item = (f64, Harm)> {
        self.tests.iter().map(|(test, weight)| {
            let (old, new) = test.shares();
            let e_value = test.e_value(gate);
            let quantile = |q| Some((old_latency.quantile(q)?, self.latency.quantile(q)?));
            let harm = Harm {
                signal: test.signal(),
                new,
                old,
                concurrent: matches!(test, Test::Canary(_)),
                e_value,
                thresholds: test.thresholds(),
                quantiles: test.signal().quantile().and_then(quantile),
            };
            (self.weight * weight * e_value, harm)
        })
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

    /// Within what is told.
    fn e_value(&self, gate: &Gate) -> f64 {
        let ln_e_value = match self {
            Self::Canary(test) => test.ln_e_value(gate),
            Self::Before(test) => test.ln_e_value(gate),
        };
        ln_e_value.exp().min(MOST_E_VALUE)
    }
}
