//! What the learned policy knows of all endpoints together: what an endpoint is like that nothing is known of.

use std::time::Duration;

use super::line::{Fit, Line};
use super::trust::{self, Trust};
use crate::stamped::Stamped;
use crate::sums::Sums;
use crate::{Alba, Time};

/// What one report leaves of all before it.
const REPORTS_KEPT: f64 = 0.99;

/// What one outcome changes of the pool's share of failures.
const OUTCOME_SHARE: f64 = 0.01;

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
    /// Reported latency as a share of what the line says, and reports.
    reported: Sums,
    /// How far reports of some age can be trusted.
    reports: Trust,
    /// How far so many answers can be trusted to show an endpoint's slowness.
    slowness: Trust,
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
    reports: [f64; Trust::CLASSES],
    slowness: [f64; Trust::CLASSES],
}

impl Means {
    /// What part of a report's deviation from the mean to believe at this age.
    pub(super) fn trust_in_report(&self, age: Duration) -> f64 {
        self.reports[trust::class(age.as_secs_f64(), AGES_S)]
    }

    /// What part of an endpoint's deviating slowness to believe after so many answers.
    pub(super) fn trust_in_slowness(&self, answers: f64) -> f64 {
        self.slowness[trust::class(answers, ANSWERS)]
    }
}

impl PoolLearned {
    pub(crate) fn new() -> Self {
        Self {
            line: Line::default(),
            others: Sums::default(),
            failing: Stamped::new(),
            reported: Sums::default(),
            reports: Trust::new([0.9, 0.8, 0.6, 0.3, 0.1], 10.0),
            slowness: Trust::new([0.0, 0.2, 0.4, 0.6, 0.8], 10.0),
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

    /// A reported latency as a share of what the line says; returns it as a share of what other endpoints
    /// report, since what they call latency may be a median, or leave out the network.
    pub(super) fn reported(&self, ratio: f64) -> f64 {
        self.reported.add(REPORTS_KEPT, ratio, 1.0);
        let (sum, reports) = self.reported.load();
        ratio * reports / sum.max(f64::MIN_POSITIVE)
    }

    /// An endpoint that `answers` answers made out to be so slow took `ratio` times what the line says.
    pub(super) fn slowness(&self, slowness: f64, answers: f64, ratio: f64) {
        if answers > 0.0 {
            let class = trust::class(answers, ANSWERS);
            self.slowness.compare(class, slowness - 1.0, ratio - 1.0);
        }
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
            success: (1.0 - failing).max(1e-3),
            reports: if without.trust {
                whole
            } else {
                self.reports.all()
            },
            slowness: if without.speed {
                [0.0; Trust::CLASSES]
            } else {
                self.slowness.all()
            },
        }
    }
}
