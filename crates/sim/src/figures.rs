//! What is measured of a run.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies above a minute are recorded as one minute.
const LONGEST_US: u64 = 60_000_000;

/// What one run came to. Times in milliseconds, from a request's arrival at its dispatcher to its answer
/// there; shares between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests that came in the measured time.
    pub requests: u64,
    /// Median. Requests that missed their deadline count with the deadline; those that failed at once
    /// are left out, or failing fast would look good.
    pub p50_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// 99.9 %.
    pub p999_ms: f64,
    /// Mean of the same.
    pub mean_ms: f64,
    /// Share of requests without a good answer in time.
    pub error_rate: f64,
    /// Share of requests that missed the deadline; part of the errors.
    pub timeout_rate: f64,
    /// Good answers per second.
    pub goodput_per_s: f64,
    /// Jain's index over servers of work done as a share of what each could have done: 1 is even.
    pub jain: f64,
    /// Work of good answers, as a share of what all servers could have done.
    pub useful_share: f64,
    /// Jain's index over tenants of work of good answers, as a share of what weighted max-min fairness
    /// gives each of them; only with several tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jain_tenants: Option<f64>,
    /// Standard deviation over servers of requests in them, mean over time.
    pub in_flight_deviation: f64,
    /// Share of attempts that went to another zone.
    pub remote_share: f64,
    /// Attempts per request.
    pub attempts_per_request: f64,
    /// Probes sent per request.
    pub probes_per_request: f64,
    /// Bytes of reports and probes per request: 64 a report that rides on an answer or comes by itself,
    /// 300 a probe with its answer (both with the header lines they need).
    pub bytes_per_request: f64,
}

/// Bytes of a report on an answer.
pub(crate) const REPORT_BYTES: u64 = 64;

/// Bytes of a probe and its answer.
pub(crate) const PROBE_BYTES: u64 = 300;

/// Takes what happens.
#[derive(Debug)]
pub(crate) struct Recorder {
    latencies: Histogram<u64>,
    sum_ms: f64,
    pub(crate) requests: u64,
    pub(crate) successes: u64,
    pub(crate) timeouts: u64,
    pub(crate) attempts: u64,
    pub(crate) remote: u64,
    pub(crate) probes: u64,
    pub(crate) reports: u64,
    /// Work of good answers by tenant, in seconds of one core.
    good_s: Vec<f64>,
    /// Work offered by tenant.
    offered_s: Vec<f64>,
    deviation: f64,
    deviations: u64,
}

impl Recorder {
    pub(crate) fn new(tenants: usize) -> Self {
        Self {
            latencies: Histogram::new_with_bounds(1, LONGEST_US, 3)
                .expect("bounds and digits are in range"),
            sum_ms: 0.0,
            requests: 0,
            successes: 0,
            timeouts: 0,
            attempts: 0,
            remote: 0,
            probes: 0,
            reports: 0,
            good_s: vec![0.0; tenants.max(1)],
            offered_s: vec![0.0; tenants.max(1)],
            deviation: 0.0,
            deviations: 0,
        }
    }

    pub(crate) fn came(&mut self, tenant: u32, work_s: f64) {
        self.requests += 1;
        self.offered_s[tenant as usize] += work_s;
    }

    pub(crate) fn succeeded(&mut self, latency_ns: u64, tenant: u32, work_s: f64) {
        self.successes += 1;
        self.latency(latency_ns);
        self.good_s[tenant as usize] += work_s;
    }

    pub(crate) fn timed_out(&mut self, deadline_ns: u64) {
        self.timeouts += 1;
        self.latency(deadline_ns);
    }

    fn latency(&mut self, latency_ns: u64) {
        self.latencies
            .saturating_record((latency_ns / 1_000).clamp(1, LONGEST_US));
        self.sum_ms += latency_ns as f64 / 1e6;
    }

    /// Takes how many requests each serving server has.
    pub(crate) fn in_flight(&mut self, counts: impl Iterator<Item = u32>) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for count in counts {
            let count = f64::from(count);
            n += 1.0;
            sum += count;
            squares += count * count;
        }
        if n > 0.0 {
            let mean = sum / n;
            self.deviation += (squares / n - mean * mean).max(0.0).sqrt();
            self.deviations += 1;
        }
    }

    /// `work`: what each server did and could have done; `weights`: by tenant.
    pub(crate) fn figures(&self, measured_s: f64, work: &[(f64, f64)], weights: &[f64]) -> Figures {
        let shares: Vec<f64> = work
            .iter()
            .map(|&(done, possible)| done / possible)
            .collect();
        let possible_s: f64 = work.iter().map(|&(_, possible)| possible).sum();
        let quantile = |at: f64| self.latencies.value_at_quantile(at) as f64 / 1e3;
        let per_request = |count: u64| count as f64 / self.requests.max(1) as f64;
        let fair = max_min(&self.offered_s, weights, possible_s);
        let tenants: Vec<f64> = self
            .good_s
            .iter()
            .zip(&fair)
            .map(|(good_s, fair_s)| good_s / fair_s)
            .collect();
        Figures {
            requests: self.requests,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            mean_ms: self.sum_ms / (self.successes + self.timeouts).max(1) as f64,
            error_rate: per_request(self.requests - self.successes),
            timeout_rate: per_request(self.timeouts),
            goodput_per_s: self.successes as f64 / measured_s,
            jain: jain(&shares),
            useful_share: self.good_s.iter().sum::<f64>() / possible_s,
            jain_tenants: (weights.len() > 1).then(|| jain(&tenants)),
            in_flight_deviation: self.deviation / self.deviations.max(1) as f64,
            remote_share: self.remote as f64 / self.attempts.max(1) as f64,
            attempts_per_request: per_request(self.attempts),
            probes_per_request: per_request(self.probes),
            bytes_per_request: per_request(self.reports * REPORT_BYTES + self.probes * PROBE_BYTES),
        }
    }
}

/// Weighted max-min fair shares of `capacity`: nobody gets more than he wants, and what he leaves goes to
/// the others by weight.
fn max_min(wants: &[f64], weights: &[f64], capacity: f64) -> Vec<f64> {
    let mut shares = wants.to_vec();
    let mut order: Vec<usize> = (0..wants.len().min(weights.len())).collect();
    order.sort_by(|&a, &b| (wants[a] / weights[a]).total_cmp(&(wants[b] / weights[b])));
    let mut left = capacity;
    let mut weight_left: f64 = weights.iter().sum();
    for index in order {
        shares[index] = wants[index].min(left * weights[index] / weight_left);
        left -= shares[index];
        weight_left -= weights[index];
    }
    shares
}

/// Jain's fairness index (1984): 1 if all are equal, 1/n if one has everything.
pub fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (values.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jain_spans_one_to_one_nth() {
        assert!((jain(&[3.0, 3.0, 3.0]) - 1.0).abs() < 1e-12);
        assert!((jain(&[5.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
        assert!((jain(&[]) - 1.0).abs() < 1e-12);
        assert!((jain(&[1.0, 2.0, 3.0]) - 36.0 / 42.0).abs() < 1e-12);
    }

    #[test]
    fn failing_fast_does_not_look_fast() {
        let mut recorder = Recorder::new(1);
        recorder.requests = 4;
        recorder.succeeded(10_000_000, 0, 0.01);
        recorder.succeeded(20_000_000, 0, 0.01);
        recorder.timed_out(5_000_000_000);
        let figures = recorder.figures(1.0, &[(1.0, 1.0)], &[1.0]);
        assert!((figures.p50_ms - 20.0).abs() < 0.1, "{figures:?}");
        assert!((figures.p99_ms - 5000.0).abs() < 5.0, "{figures:?}");
        assert!((figures.mean_ms - 5030.0 / 3.0).abs() < 1.0, "{figures:?}");
        assert!((figures.error_rate - 0.5).abs() < 1e-12);
        assert!((figures.timeout_rate - 0.25).abs() < 1e-12);
    }

    #[test]
    fn max_min_gives_to_each_what_he_wants_or_his_part_of_the_rest() {
        let near = |got: Vec<f64>, expected: [f64; 3]| {
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-12, "{got} {expected}");
            }
        };
        near(
            max_min(&[1.0, 8.0, 8.0], &[1.0, 1.0, 1.0], 9.0),
            [1.0, 4.0, 4.0],
        );
        near(
            max_min(&[8.0, 1.0, 8.0], &[3.0, 1.0, 1.0], 9.0),
            [6.0, 1.0, 2.0],
        );
        near(
            max_min(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0], 9.0),
            [1.0, 2.0, 3.0],
        );
    }

    #[test]
    fn deviation_is_over_servers() {
        let mut recorder = Recorder::new(1);
        recorder.in_flight([2, 4, 4, 4, 5, 5, 7, 9].into_iter());
        recorder.in_flight([3, 3].into_iter());
        let figures = recorder.figures(1.0, &[(1.0, 1.0)], &[1.0]);
        assert!((figures.in_flight_deviation - 1.0).abs() < 1e-9);
    }
}
