//! What the learned policy knows of all endpoints together: what an endpoint is like that nothing is known of.

use std::sync::atomic::{AtomicU64, Ordering};

use super::trust::Trust;
use crate::Time;
use crate::sums::Sums;

/// What one answer leaves of all before it: a thousand answers speak for the pool.
const ANSWERS_KEPT: f64 = 0.999;

/// What one report leaves of all before it.
const REPORTS_KEPT: f64 = 0.99;

/// Outcomes of the pool are forgotten as fast as those of an endpoint, in nanoseconds.
const OUTCOME_DECAY_NS: f64 = 5e9;

/// Assumed until anything was measured: it only has to be the same for all endpoints.
const FIRST_ANSWER: (f64, f64) = (0.030, 2.0);

/// The pool's means. Written and read by all threads, and kept over changes of the list.
#[derive(Debug, Default)]
pub(crate) struct PoolLearned {
    /// Seconds, and answers.
    time: Sums,
    /// Requests waited for, and answers.
    waited: Sums,
    /// Others' requests in flight, and reports.
    others: Sums,
    /// Successes and failures.
    outcomes: Sums,
    outcomes_at: AtomicU64,
    pub(super) trust: Trust,
}

impl PoolLearned {
    pub(super) fn answered(&self, time_s: f64, waited_for: f64) {
        self.time.add(ANSWERS_KEPT, time_s, 1.0);
        self.waited.add(ANSWERS_KEPT, waited_for, 1.0);
    }

    pub(super) fn ended(&self, success: bool, now: Time) {
        let before = self
            .outcomes_at
            .fetch_max(now.as_nanos(), Ordering::Relaxed);
        let elapsed_ns = now.as_nanos().saturating_sub(before) as f64;
        let keep = (-elapsed_ns / OUTCOME_DECAY_NS).exp();
        let (good, bad) = if success { (1.0, 0.0) } else { (0.0, 1.0) };
        self.outcomes.add(keep, good, bad);
    }

    pub(super) fn others(&self, others: f64) {
        self.others.add(REPORTS_KEPT, others, 1.0);
    }

    /// Nothing has been answered yet.
    pub(super) fn is_new(&self) -> bool {
        self.time.load().1 == 0.0
    }

    /// Mean time of an answer in seconds, and mean number of requests it waited for.
    pub(super) fn mean_answer(&self) -> (f64, f64) {
        let ((time, answers), (waited, counted)) = (self.time.load(), self.waited.load());
        if answers == 0.0 || counted == 0.0 || time == 0.0 {
            return FIRST_ANSWER;
        }
        (time / answers, waited / counted)
    }

    /// Mean number of others' requests in flight at an endpoint; 0 without reports.
    pub(super) fn mean_others(&self) -> f64 {
        let (others, reports) = self.others.load();
        if reports == 0.0 {
            0.0
        } else {
            others / reports
        }
    }

    /// Chance of success, above 0.
    pub(super) fn success(&self) -> f64 {
        let (good, bad) = self.outcomes.load();
        (good + 1.0) / (good + bad + 1.0)
    }
}
