//! What the baselines' tests are made of.

use std::time::Duration;

use alba::{LoadReport, Locality, Outcome, Time};

use crate::policy::{Done, Request, Server};

pub(super) fn at(seconds: f64) -> Time {
    Time::ZERO + Duration::from_secs_f64(seconds)
}

/// Servers `0..count` of one place.
pub(super) fn servers(count: u32) -> Vec<(Server, Locality)> {
    (0..count)
        .map(|server| (server, Locality::default()))
        .collect()
}

pub(super) fn request(tried: &[Server]) -> Request<'_> {
    Request {
        attempt: 0,
        tried,
        class: 0,
        zone: 0,
        truth: &[],
    }
}

pub(super) fn completed(
    server: Server,
    sent: f64,
    outcome: Outcome,
    report: Option<LoadReport>,
) -> Done {
    Done {
        attempt: 0,
        server,
        class: 0,
        sent: at(sent),
        outcome,
        report,
    }
}

/// A report of requests in flight and latency.
pub(super) fn load(in_flight: u32, latency_ms: u64) -> LoadReport {
    LoadReport {
        in_flight: Some(in_flight),
        latency: Some(Duration::from_millis(latency_ms)),
        ..LoadReport::default()
    }
}
