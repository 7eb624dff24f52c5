//! A server's own load, counted while it serves.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::LoadReport;
use crate::meter::{Begun, Meter, Outcome};

/// Counts one server's requests. Clones count together.
///
/// ```
/// use dalbi_load::{Format, HEADER, Load, Outcome};
///
/// let load = Load::new();
/// load.set_concurrency(8);
///
/// let request = load.begin();
/// // … the work …
/// let header = format!("{HEADER}: {}", request.report().to_header(Format::Text));
/// assert!(header.starts_with("endpoint-load-metrics: TEXT "));
/// request.end(Outcome::Success);
/// ```
#[derive(Clone)]
pub struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    meter: Mutex<Meter>,
    draining: AtomicBool,
    utilization: Mutex<Utilization>,
}

type Measure = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Where the utilization comes from.
#[derive(Clone)]
enum Utilization {
    Unknown,
    Concurrency(u32),
    Measured(Measure),
}

impl Load {
    /// A server that holds nothing yet, and whose utilization nobody knows.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                start: Instant::now(),
                meter: Mutex::default(),
                draining: AtomicBool::new(false),
                utilization: Mutex::new(Utilization::Unknown),
            }),
        }
    }

    /// Says that the server works on at most `requests` at once: its utilization is then the mean number in flight
    /// over a second, as a share of that. It is above 1 while requests queue. For a thread pool or a limit of
    /// connections.
    pub fn set_concurrency(&self, requests: u32) {
        *lock(&self.shared.utilization) = Utilization::Concurrency(requests.max(1));
    }

    /// Says how the server knows its own utilization: `measure` returns the share of its capacity in use, 0 or more,
    /// above 1 when it is overloaded. It is called for every report and should be quick.
    pub fn set_utilization(&self, measure: impl Fn() -> f64 + Send + Sync + 'static) {
        *lock(&self.shared.utilization) = Utilization::Measured(Arc::new(measure));
    }

    /// Says that the server is about to stop, or no longer is: with `true`, load balancers send no further requests
    /// as soon as they hear of it.
    pub fn set_draining(&self, draining: bool) {
        self.shared.draining.store(draining, Ordering::Relaxed);
    }

    /// Counts a request until the returned value is dropped, at the latest.
    pub fn begin(&self) -> InFlight {
        let begun = self.meter().begin(self.now());
        InFlight {
            load: self.clone(),
            begun: Some(begun),
        }
    }

    /// The load now, of all requests that are counted.
    pub fn report(&self) -> LoadReport {
        self.report_without(0)
    }

    fn report_without(&self, answered: u32) -> LoadReport {
        let reading = self.meter().read(self.now());
        // Not called under the lock: it is somebody else's code.
        let utilization = lock(&self.shared.utilization).clone();
        LoadReport {
            application_utilization: match utilization {
                Utilization::Unknown => None,
                Utilization::Concurrency(limit) => {
                    Some(rounded(reading.mean_in_flight / f64::from(limit)))
                }
                Utilization::Measured(measure) => Some(measure()),
            },
            rps_fractional: Some(rounded(reading.requests_per_s)),
            eps: Some(rounded(reading.errors_per_s)),
            in_flight: Some(reading.in_flight.saturating_sub(answered)),
            latency: reading.latency,
            draining: self.shared.draining.load(Ordering::Relaxed),
            ..LoadReport::default()
        }
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        lock(&self.shared.meter)
    }

    fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Load")
            .field("meter", &self.meter())
            .field("draining", &self.shared.draining)
            .finish_non_exhaustive()
    }
}

/// A request that is counted. Dropped without [`InFlight::end`], it counts as given up by its client.
#[derive(Debug)]
#[must_use = "a request is counted for as long as this is kept"]
pub struct InFlight {
    load: Load,
    begun: Option<Begun>,
}

impl InFlight {
    /// The load without this request, to go with its answer.
    pub fn report(&self) -> LoadReport {
        self.load.report_without(1)
    }

    /// Ends the request once its answer has left.
    pub fn end(mut self, outcome: Outcome) {
        self.finish(Some(outcome));
    }

    fn finish(&mut self, outcome: Option<Outcome>) {
        if let Some(begun) = self.begun.take() {
            self.load.meter().end(self.load.now(), begun, outcome);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.finish(None);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To six decimals: the rest is noise, and headers are short.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leaves_its_own_request_out() {
        let load = Load::new();
        let first = load.begin();
        let second = load.begin();
        assert_eq!(load.report().in_flight, Some(2));
        assert_eq!(second.report().in_flight, Some(1));
        second.end(Outcome::Success);
        assert!(load.report().latency.is_some());
        drop(first);
        assert_eq!(load.report().in_flight, Some(0));
    }

    #[test]
    fn utilization_is_what_the_server_says_it_is() {
        let load = Load::new();
        assert_eq!(load.report().application_utilization, None);
        load.set_utilization(|| 0.75);
        assert_eq!(load.report().application_utilization, Some(0.75));
        load.set_concurrency(4);
        assert_eq!(load.report().application_utilization, Some(0.0));
        assert!(!load.report().draining);
        load.set_draining(true);
        assert!(load.report().draining && load.begin().report().draining);
    }
}
