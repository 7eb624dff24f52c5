//! What the learned policy knows of all endpoints together: what an endpoint is like that nothing is known of.

use std::time::Duration;

use super::line::{Fit, Line};
use super::trust::{self, Trust};
use crate::atomic_f32::AtomicF32;
use crate::learned::{LARGEST, LONGEST_S, pair, within};
use crate::stamped::ticks_in;
use crate::sums::Sums;
use crate::{LearnedPool, Parts};

/// What one report leaves of all before it.
const REPORTS_KEPT: f64 = 0.99;

/// What one answer leaves of all before it.
const ANSWERS_KEPT: f64 = 0.999;

/// A reported latency counts at most as this share of what the line says.
const MOST_REPORTED: f64 = 100.0;

/// No endpoint is taken to be faster than this.
const LEAST_SLOWNESS: f64 = 0.1;

/// What one outcome changes of the pool's share of failures.
const OUTCOME_SHARE: f64 = 0.01;

/// The share of answers that take less than what is called late, and how fast that is learned.
const LATE: f64 = 0.95;
const LATE_STEP: f64 = 0.05;

/// Bounds of the classes of a report's age, in ticks.
const AGES: [u32; Trust::CLASSES - 1] = [
    ticks_in(Duration::from_millis(30)),
    ticks_in(Duration::from_millis(100)),
    ticks_in(Duration::from_millis(300)),
    ticks_in(Duration::from_secs(1)),
];

/// Bounds of the classes of answers that speak for an endpoint's slowness.
const ANSWERS: [f64; Trust::CLASSES - 1] = [3.0, 10.0, 30.0, 100.0];

/// The pool's means. Written and read by all threads, and kept over changes of the list.
#[derive(Debug)]
pub(crate) struct PoolLearned {
    pub(super) line: Line,
    /// Others' requests in flight at an endpoint, and reports.
    others: Sums,
    /// Times of answers as shares of what the line says, and answers.
    ratios: Sums,
    /// Reported latencies as shares of what the line says, and reports.
    reported: Sums,
    /// Share of failures.
    failing: AtomicF32,
    /// How far reports of some age can be trusted.
    reports: Trust,
    /// How far so many answers can be trusted to show an endpoint's slowness.
    slowness: Trust,
    /// Time that few answers take longer than, in seconds; infinite before the first.
    late: AtomicF32,
}

/// The pool as one pick or completion sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    /// Time on queue.
    pub(super) line: Fit,
    /// Others' requests in flight at an endpoint; 0 without reports.
    pub(super) others: f64,
    /// Chance of success, above 0.
    pub(super) success: f64,
    /// Time that few answers take longer than, in seconds.
    pub(super) late_s: f64,
    /// Time of an answer as a share of what the line says: near 1.
    ratio: f64,
    pool: &'a PoolLearned,
    without: &'a Parts,
}

impl Means<'_> {
    /// What part of a report's deviation from the mean to believe at this age in ticks: more than is learned, because
    /// what is not believed is decided by the noise of all other terms.
    pub(super) fn trust_in_report(&self, age: u32) -> f64 {
        if self.without.trust {
            return 1.0;
        }
        let class = trust::class(age, AGES);
        self.pool.reports.part(class).sqrt()
    }

    /// How slow an endpoint is that so many answers make out to be so slow, as far as to be believed: 1 is
    /// what the line says.
    pub(super) fn believed_slowness(&self, slowness: f64, answers: f64) -> f64 {
        if self.without.speed {
            return 1.0;
        }
        let part = self.pool.slowness.part(trust::class(answers, ANSWERS));
        (1.0 + part * (slowness - self.ratio)).max(LEAST_SLOWNESS)
    }
}

impl PoolLearned {
    pub(crate) fn new() -> Self {
        Self {
            line: Line::new(),
            others: Sums::default(),
            ratios: Sums::default(),
            reported: Sums::default(),
            failing: AtomicF32::new(0.0),
            reports: Trust::new([0.9, 0.8, 0.6, 0.3, 0.1]),
            slowness: Trust::new([0.0, 0.2, 0.4, 0.6, 0.8]),
            late: AtomicF32::new(f64::INFINITY),
        }
    }

    pub(crate) fn learned(&self) -> LearnedPool {
        let late_s = self.late.load();
        LearnedPool {
            line: self.line.learned(),
            others: self.others.load().into(),
            ratios: self.ratios.load().into(),
            reported: self.reported.load().into(),
            failing: self.failing.load(),
            late_s: late_s.is_finite().then_some(late_s),
            reports: self.reports.slopes(),
            slowness: self.slowness.slopes(),
        }
    }

    /// Takes what was learned before; what is absurd is ignored.
    pub(crate) fn restore(&self, learned: &LearnedPool) {
        self.line.restore(&learned.line);
        for (sums, learned) in [
            (&self.others, learned.others),
            (&self.ratios, learned.ratios),
            (&self.reported, learned.reported),
        ] {
            if let Some((first, second)) = pair(learned, LARGEST) {
                sums.store(first, second);
            }
        }
        if let Some(failing) = within(learned.failing, 1.0) {
            self.failing.store(failing);
        }
        if let Some(late_s) = learned.late_s.and_then(|late_s| within(late_s, LONGEST_S)) {
            self.late.store(late_s.max(1e-6));
        }
        self.reports.restore(&learned.reports);
        self.slowness.restore(&learned.slowness);
    }

    pub(super) fn ended(&self, success: bool) {
        let before = self.failing.load();
        if success && before < 1e-6 {
            // As good as always: the cache line stays shared.
            return;
        }
        let outcome = if success { 0.0 } else { OUTCOME_SHARE };
        // An update lost to another thread is one outcome out of a hundred.
        self.failing.store(before * (1.0 - OUTCOME_SHARE) + outcome);
    }

    /// A report of so many others, and the report before it from the same endpoint with its age in
    /// ticks.
    pub(super) fn others(&self, others: f64, before: Option<(f64, u32)>) {
        if let Some((before, age)) = before {
            let mean = self.others.ratio_or(0.0);
            let class = trust::class(age, AGES);
            self.reports.compare(class, before - mean, others - mean);
        }
        self.others.add(REPORTS_KEPT, others, 1.0);
    }

    /// A reported latency as a share of what the line says; returns it as a share of what other endpoints
    /// report, since what they call latency may be a median, or leave out the network.
    pub(super) fn reported(&self, ratio: f64) -> f64 {
        self.reported
            .add(REPORTS_KEPT, ratio.min(MOST_REPORTED), 1.0);
        let mean = self.reported.ratio_or(1.0).max(f64::MIN_POSITIVE);
        self.ratios.ratio_or(1.0) * ratio / mean
    }

    /// An endpoint that `answers` answers made out to be so slow took `ratio` times what the line says.
    pub(super) fn slowness(&self, slowness: f64, answers: f64, ratio: f64) {
        if answers > 0.0 {
            let mean = self.ratios.ratio_or(1.0);
            let class = trust::class(answers, ANSWERS);
            self.slowness.compare(class, slowness - mean, ratio - mean);
        }
        self.ratios.add(ANSWERS_KEPT, ratio, 1.0);
    }

    /// Learns what late is: a quantile, by steps up for each answer that took longer and smaller steps down
    /// for all others.
    pub(super) fn took(&self, time_s: f64) {
        let late_s = match self.late.load() {
            f64::INFINITY => time_s,
            late_s => late_s,
        };
        let late_s = if time_s > late_s {
            late_s + LATE_STEP * time_s.min(10.0 * late_s) * LATE
        } else {
            late_s * (1.0 - LATE_STEP * (1.0 - LATE))
        };
        self.late.store(late_s.max(1e-6));
    }

    pub(super) fn means<'a>(&'a self, without: &'a Parts) -> Means<'a> {
        Means {
            line: self.line.fit(),
            others: self.others.ratio_or(0.0),
            ratio: self.ratios.ratio_or(1.0),
            success: (1.0 - self.failing.load()).max(1e-3),
            late_s: self.late.load(),
            pool: self,
            without,
        }
    }
}
