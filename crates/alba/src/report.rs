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

/// What dispatchers tell each other of one endpoint. All but `id` and `ejected` are sums, so that what
/// several saw is added up field by field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Which endpoint.
    pub id: EndpointId,
    /// Picked and not completed.
    pub in_flight: u32,
    /// Time that answers took lately, in seconds.
    pub time_s: f64,
    /// Requests that these answers waited for, with themselves.
    pub waited_for: f64,
    /// Successes lately.
    pub successes: f64,
    /// Failures lately.
    pub failures: f64,
    /// Dispatchers that have put it aside.
    pub ejections: u32,
}
