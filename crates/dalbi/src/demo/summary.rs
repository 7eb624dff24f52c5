//! What came of the whole demo.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::Servers;
use crate::load::{Tally, Window};

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Requests that ended.
    requests: u64,
    /// Answered with 5xx or not at all.
    failed: u64,
    /// Of successful requests, from when they were due.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    endpoints: Vec<EndpointSummary>,
    /// Not part of the object: for people.
    #[serde(skip)]
    failures: Vec<(String, u64)>,
    #[serde(skip)]
    duration: Duration,
}

#[derive(Debug, Serialize)]
struct EndpointSummary {
    name: String,
    requests: u64,
    /// 0 to 1, of the requests that some endpoint answered.
    share: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Requests that the server failed, also where another one answered in its place.
    errors: u64,
}

impl Summary {
    /// Sums up what was recorded since the start.
    pub(crate) fn new(servers: &Servers, total: &Window, duration: Duration) -> Self {
        let answered: u64 = total.endpoints.values().map(|tally| tally.requests).sum();
        let none = Tally::default();
        let endpoints = servers.iter().map(|server| {
            let tally = total.endpoints.get(&server.name).unwrap_or(&none);
            EndpointSummary {
                name: server.name.clone(),
                requests: tally.requests,
                share: tally.requests as f64 / answered.max(1) as f64,
                p50_ms: tally.quantile_ms(0.5),
                p99_ms: tally.quantile_ms(0.99),
                errors: server.failed(),
            }
        });
        Self {
            requests: total.all.requests,
            failed: total.all.errors,
            p50_ms: total.all.quantile_ms(0.5),
            p99_ms: total.all.quantile_ms(0.99),
            endpoints: endpoints.collect(),
            failures: total
                .failures
                .iter()
                .map(|(reason, count)| (reason.clone(), *count))
                .collect(),
            duration,
        }
    }

    /// One object on standard output's terms.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    /// A table and a line for each kind of failure.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let seconds = self.duration.as_secs_f64();
        writeln!(
            out,
            "In {seconds:.1} s: {} requests, {} failed.",
            self.requests, self.failed
        )?;
        writeln!(
            out,
            "{:<8} {:>9} {:>7} {:>9} {:>9} {:>7}",
            "server", "requests", "share", "p50 ms", "p99 ms", "errors"
        )?;
        for endpoint in &self.endpoints {
            writeln!(
                out,
                "{:<8} {:>9} {:>6.1}% {:>9} {:>9} {:>7}",
                endpoint.name,
                endpoint.requests,
                endpoint.share * 100.0,
                shown_ms(endpoint.p50_ms),
                shown_ms(endpoint.p99_ms),
                endpoint.errors,
            )?;
        }
        let (p50, p99) = (shown_ms(self.p50_ms), shown_ms(self.p99_ms));
        writeln!(
            out,
            "{:<8} {:>9} {:>7} {p50:>9} {p99:>9} {:>7}",
            "all", self.requests, "", self.failed
        )?;
        let errors: u64 = self.endpoints.iter().map(|endpoint| endpoint.errors).sum();
        if errors > self.failed {
            writeln!(
                out,
                "{} of {errors} errors were made good by another try; clients saw none of them.",
                errors - self.failed
            )?;
        }
        for (reason, count) in &self.failures {
            writeln!(out, "failed: {count} × {reason}")?;
        }
        Ok(())
    }
}

/// A latency as tables show it.
pub(super) fn shown_ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"))
}
