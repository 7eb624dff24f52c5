//! What endpoints and other dispatchers say.

use std::time::Duration;

use crate::EndpointId;

/// What an endpoint says of its own load, with an answer or to a probe. Every field may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LoadReport {
    /// Requests it holds, from all clients, without the one whose answer carries the report.
    pub in_flight: Option<u32>,
    /// What a request lately took there at about this load (Prequal's latency signal).
    pub latency: Option<Duration>,
    /// Share of its capacity in use; above 1 is overload (ORCA's `application_utilization`, else
    /// `cpu_utilization`).
    pub utilization: Option<f32>,
    /// Requests it answers per second (ORCA's `rps_fractional`).
    pub requests_per_s: Option<f32>,
    /// Errors it answers per second (ORCA's `eps`).
    pub errors_per_s: Option<f32>,
    /// It asks for no further requests.
    pub draining: bool,
}

/// What dispatchers tell each other of one endpoint. What several saw is put together with
/// [`Observation::add`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Which endpoint.
    pub id: EndpointId,
    /// Picked and not completed.
    pub in_flight: u32,
    /// Successes since the last time of telling.
    pub successes: u64,
    /// Failures since the last time of telling.
    pub failures: u64,
    /// For how long requests have waited there without any answer coming, in seconds; infinite if none
    /// wait.
    pub silence_s: f64,
    /// Dispatchers that have put it aside.
    pub ejections: u32,
}

impl Observation {
    /// Nothing seen yet of `id`.
    pub const fn none(id: EndpointId) -> Self {
        Self {
            id,
            in_flight: 0,
            successes: 0,
            failures: 0,
            silence_s: f64::INFINITY,
            ejections: 0,
        }
    }

    /// Adds what another dispatcher saw of the same endpoint. An endpoint is as silent as for the one that
    /// heard of it last.
    pub fn add(&mut self, other: &Self) {
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.successes = self.successes.saturating_add(other.successes);
        self.failures = self.failures.saturating_add(other.failures);
        self.silence_s = self.silence_s.min(other.silence_s);
        self.ejections = self.ejections.saturating_add(other.ejections);
    }
}
