//! How the time of an answer grows with the queue it meets, learned over all endpoints.

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

/// A line through too few answers is worth nothing.
const ENOUGH: f64 = 30.0;

/// Least squares of time on queue, with forgetting. One line through the answers of all endpoints, each
/// divided by its endpoint's slowness: a line of its own for every endpoint would be fitted to noise, and the
/// luckiest of many would win.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Answers, and seconds.
    time: Sums,
    /// Queue, and its square.
    queue: Sums,
    /// Queue times seconds.
    product: Sums,
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
    pub(super) fn add(&self, queue: f64, time_s: f64) {
        self.time.add(KEPT, 1.0, time_s);
        self.queue.add(KEPT, queue, queue * queue);
        self.product.add(KEPT, queue * time_s, 0.0);
    }

    pub(super) fn fit(&self) -> Fit {
        let (answers, time_s) = self.time.load();
        if answers < 1.0 || time_s <= 0.0 {
            return FIRST;
        }
        let (queue, squares) = self.queue.load();
        let (product, _) = self.product.load();
        let (mean_s, mean_queue) = (time_s / answers, queue / answers);
        let variance = squares / answers - mean_queue * mean_queue;
        let covariance = product / answers - mean_queue * mean_s;
        // Until there is enough, and where queues hardly differ, the line through the mean that has the
        // first guess's shape.
        let guess = mean_s / (FIRST.base_s / FIRST.slope_s + mean_queue);
        let known = answers * variance;
        let slope_s = (covariance * answers + guess * ENOUGH) / (known + ENOUGH);
        let steepest = mean_s / (mean_queue + 1.0);
        let flattest = MIN_SLOPE * mean_s / (1.0 + MIN_SLOPE * mean_queue);
        let slope_s = slope_s.clamp(flattest, steepest);
        Fit {
            base_s: mean_s - slope_s * mean_queue,
            slope_s,
        }
    }
}
