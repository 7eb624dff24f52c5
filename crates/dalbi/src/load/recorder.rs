//! What came of the requests, per endpoint.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer latencies are recorded as this.
const LONGEST_US: u64 = 120_000_000;

/// Takes results from the sender and hands them to whoever watches.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    results: Mutex<Results>,
}

#[derive(Debug, Default)]
struct Results {
    window: Window,
    total: Window,
}

/// Results of a stretch of time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// Every request.
    pub(crate) all: Tally,
    /// By the name that answers carry; failures without an answer are nobody's.
    pub(crate) endpoints: BTreeMap<String, Tally>,
    /// Why requests failed, and how many.
    pub(crate) failures: BTreeMap<String, u64>,
}

/// Counts and latencies.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Ended requests, failed ones too.
    pub(crate) requests: u64,
    /// Answered with 5xx or not at all.
    pub(crate) errors: u64,
    latency_us: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3)
            .expect("1 to 120 s with 3 digits is in range");
        Self {
            requests: 0,
            errors: 0,
            latency_us,
        }
    }
}

impl Tally {
    /// The latency that this share of successful requests did not exceed, in milliseconds; `None` without any.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.latency_us.is_empty())
            .then(|| self.latency_us.value_at_quantile(quantile) as f64 / 1e3)
    }

    fn answered(&mut self, latency: Duration) {
        self.requests += 1;
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.saturating_record(latency_us.max(1));
    }

    fn failed(&mut self) {
        self.requests += 1;
        self.errors += 1;
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.latency_us
            .add(&other.latency_us)
            .expect("all histograms have the same bounds");
    }
}

impl Recorder {
    /// A request got an answer below 500, this long after it was due.
    pub(crate) fn answered(&self, endpoint: Option<&str>, latency: Duration) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.window.all.answered(latency);
        if let Some(endpoint) = endpoint {
            results.window.endpoint(endpoint).answered(latency);
        }
    }

    /// A request failed.
    pub(crate) fn failed(&self, endpoint: Option<&str>, reason: &str) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.window.all.failed();
        if let Some(endpoint) = endpoint {
            results.window.endpoint(endpoint).failed();
        }
        *results
            .window
            .failures
            .entry(reason.to_owned())
            .or_default() += 1;
    }

    /// Results since the last call.
    pub(crate) fn take_window(&self) -> Window {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let window = mem::take(&mut results.window);
        results.total.add(&window);
        window
    }

    /// Results since the start.
    pub(crate) fn total(&self) -> Window {
        self.take_window();
        self.results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total
            .clone()
    }
}

impl Window {
    fn endpoint(&mut self, name: &str) -> &mut Tally {
        if !self.endpoints.contains_key(name) {
            self.endpoints.insert(name.to_owned(), Tally::default());
        }
        self.endpoints.get_mut(name).expect("inserted above")
    }

    /// Puts two stretches of time together.
    pub(crate) fn add(&mut self, other: &Self) {
        self.all.add(&other.all);
        for (name, tally) in &other.endpoints {
            self.endpoint(name).add(tally);
        }
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_add_up_to_the_total() {
        let recorder = Recorder::default();
        for ms in 1..=100 {
            recorder.answered(Some("a"), Duration::from_millis(ms));
        }
        assert_eq!(recorder.take_window().all.requests, 100);
        recorder.failed(Some("b"), "status 503");
        recorder.failed(None, "no answer in time");
        let window = recorder.take_window();
        assert_eq!((window.all.requests, window.all.errors), (2, 2));
        assert_eq!(recorder.take_window().all.requests, 0);

        let total = recorder.total();
        assert_eq!((total.all.requests, total.all.errors), (102, 2));
        assert_eq!(total.endpoints["a"].requests, 100);
        assert_eq!(total.endpoints["b"].errors, 1);
        assert_eq!(total.failures["status 503"], 1);
        let p99 = total.all.quantile_ms(0.99).unwrap();
        assert!((98.9..99.2).contains(&p99), "{p99}");
        assert_eq!(Tally::default().quantile_ms(0.5), None);
    }
}
