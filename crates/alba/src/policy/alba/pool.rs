//! What the learned policy knows of all endpoints together: what an endpoint is like that nothing is known of.

use std::time::Duration;

use super::line::{Fit, Line};
use super::trust::{self, Trust};
use crate::stamped::Stamped;
use crate::sums::Sums;
use crate::{Alba, Time};

/// What one report leaves of all before it.
const REPORTS_KEPT: f64 = 0.99;

/// What one answer leaves of all before it.
const ANSWERS_KEPT: f64 = 0.999;

/// What one outcome changes of the pool's share of failures.
const OUTCOME_SHARE: f64 = 0.01;

/// The share of answers that take less than what is called late, and how fast that is learned.
const LATE: f64 = 0.95;
const LATE_STEP: f64 = 0.05;

/// Bounds of the classes of a report's age, in seconds.
const AGES_S: [f64; Trust::CLASSES - 1] = [0.03, 0.1, 0.3, 1.0];

/// Bounds of the classes of answers that speak for an endpoint's slowness.
const ANSWERS: [f64; Trust::CLASSES - 1] = [3.0, 10.0, 30.0, 100.0];

/// The pool's means. Written and read by all threads, and kept over changes of the list.
#[derive(Debug)]
pub(crate) struct PoolLearned {
    pub(super) line: Line,
    /// Others' requests in flight, and reports.
    others: Sums,
    /// Share of failures.
    failing: Stamped,
    /// Time of an answer as a share of what the line says, and answers.
    ratios: Sums,
    /// How far reports of some age can be trusted.
    reports: Trust,
    /// How far so many answers can be trusted to show an endpoint's slowness.
    slowness: Trust,
    /// Time that few answers take longer than, in seconds.
    late: Stamped,
}

/// The means at one moment, read once for all candidates of a pick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
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
    reports: [f64; Trust::CLASSES],
    slowness: [f64; Trust::CLASSES],
}

impl Means {
    /// What part of a report's deviation from the mean to believe at this age.
    pub(super) fn trust_in_report(&self, age: Duration) -> f64 {
        self.reports[trust::class(age.as_secs_f64(), AGES_S)]
    }

    /// How slow an endpoint is that so many answers make out to be so slow, as far as to be believed: 1 is
    /// what the line says.
    pub(super) fn believed_slowness(&self, slowness: f64, answers: f64) -> f64 {
        1.0 + self.slowness[trust::class(answers, ANSWERS)] * (slowness - self.ratio)
    }
}

impl PoolLearned {
    pub(crate) fn new() -> Self {
        Self {
            line: Line::default(),
            others: Sums::default(),
            failing: Stamped::new(),
            ratios: Sums::default(),
            reports: Trust::new([0.9, 0.8, 0.6, 0.3, 0.1], 10.0),
            slowness: Trust::new([0.0, 0.2, 0.4, 0.6, 0.8], 10.0),
            late: Stamped::new(),
        }
    }

    pub(super) fn ended(&self, success: bool, now: Time) {
        let before = self.failing.load().map_or(0.0, |(share, _)| share);
        if success && before < 1e-6 {
            // As good as always: the cache line stays shared.
            return;
        }
        let outcome = if success { 0.0 } else { OUTCOME_SHARE };
        // An update lost to another thread is one outcome out of a hundred.
        self.failing
            .store(before * (1.0 - OUTCOME_SHARE) + outcome, now);
    }

    /// A report of so many others, and the report before it from the same endpoint with its age.
    pub(super) fn others(&self, others: f64, before: Option<(f64, Duration)>) {
        if let Some((before, age)) = before {
            let mean = self.mean_others();
            let class = trust::class(age.as_secs_f64(), AGES_S);
            self.reports.compare(class, before - mean, others - mean);
        }
        self.others.add(REPORTS_KEPT, others, 1.0);
    }

    /// An endpoint that `answers` answers made out to be so slow took `ratio` times what the line says.
    pub(super) fn slowness(&self, slowness: f64, answers: f64, ratio: f64) {
        let mean = self.mean_ratio();
        if answers > 0.0 {
            let class = trust::class(answers, ANSWERS);
            self.slowness.compare(class, slowness - mean, ratio - mean);
        }
        self.ratios.add(ANSWERS_KEPT, ratio, 1.0);
    }

    fn mean_ratio(&self) -> f64 {
        let (ratios, answers) = self.ratios.load();
        if answers == 0.0 {
            1.0
        } else {
            ratios / answers
        }
    }

    /// Learns what late is: a quantile, by steps up for each answer that took longer and smaller steps down
    /// for all others.
    pub(super) fn took(&self, time_s: f64, now: Time) {
        let late_s = self.late.load().map_or(time_s, |(late_s, _)| late_s);
        let late_s = if time_s > late_s {
            late_s + LATE_STEP * time_s.min(10.0 * late_s) * LATE
        } else {
            late_s * (1.0 - LATE_STEP * (1.0 - LATE))
        };
        self.late.store(late_s.max(1e-6), now);
    }

    fn mean_others(&self) -> f64 {
        let (others, reports) = self.others.load();
        if reports == 0.0 {
            0.0
        } else {
            others / reports
        }
    }

    pub(super) fn means(&self, alba: &Alba) -> Means {
        let whole = [1.0; Trust::CLASSES];
        let without = &alba.without;
        let failing = self.failing.load().map_or(0.0, |(share, _)| share);
        Means {
            line: self.line.fit(),
            others: self.mean_others(),
            ratio: self.mean_ratio(),
            success: (1.0 - failing).max(1e-3),
            late_s: self.late.load().map_or(f64::INFINITY, |(late_s, _)| late_s),
            reports: if without.trust {
                whole
            } else {
                self.reports.all().map(f64::sqrt)
            },
            slowness: if without.speed {
                [0.0; Trust::CLASSES]
            } else {
                self.slowness.all()
            },
        }
    }
}
