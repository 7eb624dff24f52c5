//! What the learned policy knows of all endpoints together: what an endpoint is like that nothing is known of.

use super::trust::Trust;
use crate::stamped::Stamped;
use crate::sums::Sums;
use crate::{Alba, Time};

/// What one answer changes of the pool's means: some hundred answers speak for the pool.
const ANSWER_SHARE: f64 = 0.01;

/// What one report leaves of all before it.
const REPORTS_KEPT: f64 = 0.99;

/// What one outcome changes of the pool's share of failures.
const OUTCOME_SHARE: f64 = 0.01;

/// Assumed until anything was measured: it only has to be the same for all endpoints.
const FIRST_ANSWER: (f64, f64) = (0.030, 2.0);

/// The pool's means. Written and read by all threads, and kept over changes of the list.
#[derive(Debug)]
pub(crate) struct PoolLearned {
    /// Mean time of an answer in seconds, and mean number of requests it waited for.
    answer: Sums,
    /// Others' requests in flight, and reports.
    others: Sums,
    /// Share of failures.
    failing: Stamped,
    pub(super) trust: Trust,
}

/// The means at one moment, read once for all candidates of a pick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Time of an answer, in seconds.
    pub(super) time_s: f64,
    /// Requests that an answer waits for.
    pub(super) waited_for: f64,
    /// Others' requests in flight at an endpoint; 0 without reports.
    pub(super) others: f64,
    /// Chance of success, above 0.
    pub(super) success: f64,
    /// Trust by class of age.
    pub(super) trust: [f64; Trust::CLASSES],
}

impl PoolLearned {
    pub(crate) fn new() -> Self {
        Self {
            answer: Sums::default(),
            others: Sums::default(),
            failing: Stamped::new(),
            trust: Trust::default(),
        }
    }

    pub(super) fn answered(&self, time_s: f64, waited_for: f64) {
        if self.is_new() {
            self.answer.store(time_s, waited_for);
        } else {
            let share = ANSWER_SHARE;
            self.answer
                .add(1.0 - share, time_s * share, waited_for * share);
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

    pub(super) fn others(&self, others: f64) {
        self.others.add(REPORTS_KEPT, others, 1.0);
    }

    /// Nothing has been answered yet.
    pub(super) fn is_new(&self) -> bool {
        self.answer.load().1 == 0.0
    }

    pub(super) fn mean_others(&self) -> f64 {
        let (others, reports) = self.others.load();
        if reports == 0.0 {
            0.0
        } else {
            others / reports
        }
    }

    pub(super) fn means(&self, alba: &Alba) -> Means {
        let (time_s, waited_for) = match self.answer.load() {
            (time_s, waited_for) if time_s > 0.0 && waited_for > 0.0 => (time_s, waited_for),
            _ => FIRST_ANSWER,
        };
        let trust = if alba.without.trust {
            [1.0; Trust::CLASSES]
        } else {
            self.trust.all()
        };
        let failing = self.failing.load().map_or(0.0, |(share, _)| share);
        Means {
            time_s,
            waited_for,
            others: self.mean_others(),
            success: (1.0 - failing).max(1e-3),
            trust,
        }
    }
}
