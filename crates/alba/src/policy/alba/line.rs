//! How the time of an answer grows with the queue it meets, learned over all endpoints.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::LearnedLine;
use crate::learned::{LARGEST, LONGEST_S, pair};
use crate::sums::Sums;

/// What one answer leaves of all before it: some thousand answers make the line.
const KEPT: f64 = 0.999;

/// The line before anything is learned: seconds without a queue, and seconds per request in it. It only has
/// to be the same for all endpoints.
const FIRST: Fit = Fit {
    base_s: 0.020,
    slope_s: 0.010,
};

/// A request ahead costs at least this share of an answer without a queue: where servers have cores to
/// spare the line is flat, and the shorter queue is still the better choice.
const MIN_SLOPE: f64 = 0.1;

/// The first answers each make the line anew, later ones only every so many: a thousandth of its evidence moves
/// it little.
const FITTED_EACH: u32 = 64;
const FITTED_OFTEN: u32 = 8;

/// A line through too few answers is worth nothing.
const ENOUGH: f64 = 30.0;

/// Least squares of time on queue, with forgetting. One line through the answers of all endpoints, each
/// divided by its endpoint's slowness: a line of its own for every endpoint would be fitted to noise, and the
/// luckiest of many would win.
#[derive(Debug)]
pub(crate) struct Line {
    /// Mean seconds, and mean of queue times seconds.
    time: Sums,
    /// Mean queue, and mean of its square.
    queue: Sums,
    answers: AtomicU32,
    /// Seconds without a queue, and per request in it: worked out now and then, since picks read it far more
    /// often.
    fit: Sums,
}

/// The line at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Seconds of an answer that meets no queue.
    pub(super) base_s: f64,
    /// Seconds that each request in the queue adds.
    pub(super) slope_s: f64,
}

impl Fit {
    /// Expected seconds of an answer that meets this queue, at an endpoint of ordinary speed.
    pub(super) fn time_s(&self, queue: f64) -> f64 {
        self.base_s + self.slope_s * queue
    }
}

impl Line {
    pub(super) fn new() -> Self {
        let line = Self {
            time: Sums::default(),
            queue: Sums::default(),
            answers: AtomicU32::new(0),
            fit: Sums::default(),
        };
        line.fit.store(FIRST.base_s, FIRST.slope_s);
        line
    }

    /// An answer that met this queue and would have taken so long at an endpoint of ordinary speed.
    pub(super) fn add(&self, queue: f64, time_s: f64) {
        let answers = match self.answers.load(Ordering::Relaxed) {
            // Enough to be past the beginning for good.
            u32::MAX => 1 << 20,
            answers => answers + 1,
        };
        self.answers.store(answers, Ordering::Relaxed);
        let new = (1.0 / f64::from(answers)).max(1.0 - KEPT);
        let keep = 1.0 - new;
        self.time.add(keep, time_s * new, queue * time_s * new);
        self.queue.add(keep, queue * new, queue * queue * new);
        if answers < FITTED_EACH || answers.is_multiple_of(FITTED_OFTEN) {
            self.refit(f64::from(answers).min(1.0 / (1.0 - KEPT)));
        }
    }

    pub(super) fn fit(&self) -> Fit {
        let (base_s, slope_s) = self.fit.load();
        Fit { base_s, slope_s }
    }

    pub(super) fn learned(&self) -> LearnedLine {
        LearnedLine {
            time: self.time.load().into(),
            queue: self.queue.load().into(),
            answers: self.answers.load(Ordering::Relaxed),
            fit: self.fit.load().into(),
        }
    }

    /// Takes a line that was learned before, whole or, where anything of it is absurd, not at all.
    pub(super) fn restore(&self, learned: &LearnedLine) {
        let sums = [learned.time, learned.queue, learned.fit].map(|sums| pair(sums, LARGEST));
        let [Some(time), Some(queue), Some(fit)] = sums else {
            return;
        };
        let possible = |seconds: f64| seconds > 0.0 && seconds <= LONGEST_S;
        if learned.answers == 0 || ![time.0, fit.0, fit.0 + fit.1].into_iter().all(possible) {
            return;
        }
        self.time.store(time.0, time.1);
        self.queue.store(queue.0, queue.1);
        self.answers.store(learned.answers, Ordering::Relaxed);
        self.fit.store(fit.0, fit.1);
    }

    fn refit(&self, answers: f64) {
        let ((mean_s, product), (mean_queue, squares)) = (self.time.load(), self.queue.load());
        if mean_s <= 0.0 {
            return;
        }
        // Rounding of large queues must not turn it around.
        let variance = (squares - mean_queue * mean_queue).max(0.0);
        let covariance = product - mean_queue * mean_s;
        // Until there is enough, and where queues hardly differ, the line through the mean that has the
        // first guess's shape.
        let guess = mean_s / (FIRST.base_s / FIRST.slope_s + mean_queue);
        let slope_s = (covariance * answers + guess * ENOUGH) / (variance * answers + ENOUGH);
        let steepest = mean_s / (mean_queue + 1.0);
        let flattest = MIN_SLOPE * mean_s / (1.0 + MIN_SLOPE * mean_queue);
        let slope_s = slope_s.clamp(flattest, steepest);
        self.fit.store(mean_s - slope_s * mean_queue, slope_s);
    }
}
