//! How an algorithm fared, over the whole demo or over the last second.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::Side;
use crate::load::{Tally, Window};

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(super) algorithm: &'static str,
    /// Requests that ended.
    pub(super) requests: u64,
    /// Answered with 5xx or not at all.
    pub(super) failed: u64,
    /// Of successful requests, from when they were due.
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// In the order of the servers.
    pub(super) endpoints: Vec<EndpointSummary>,
    /// Not part of the object: for people.
    #[serde(skip)]
    failures: Vec<(String, u64)>,
    #[serde(skip)]
    pub(super) duration: Duration,
}

#[derive(Debug, Serialize)]
pub(super) struct EndpointSummary {
    pub(super) name: String,
    pub(super) requests: u64,
    /// 0 to 1, of the requests that some endpoint answered.
    pub(super) share: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// Requests that the server failed since the start, also where another one answered in its place.
    pub(super) errors: u64,
}

impl Summary {
    /// Sums up what was recorded in a stretch of time of this length.
    pub(crate) fn new(side: &Side, window: &Window, duration: Duration) -> Self {
        let answered: u64 = window.endpoints.values().map(|tally| tally.requests).sum();
        let none = Tally::default();
        let endpoints = side.servers.iter().map(|server| {
            let tally = window.endpoints.get(&server.name).unwrap_or(&none);
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
            algorithm: side.algorithm.name(),
            requests: window.all.requests,
            failed: window.all.errors,
            p50_ms: window.all.quantile_ms(0.5),
            p99_ms: window.all.quantile_ms(0.99),
            endpoints: endpoints.collect(),
            failures: window
                .failures
                .iter()
                .map(|(reason, count)| (reason.clone(), *count))
                .collect(),
            duration,
        }
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
        self.write_failures("", out)
    }

    /// What clients saw of the servers' errors, each line after `prefix`; nothing if there were none.
    pub(super) fn write_failures(&self, prefix: &str, out: &mut impl Write) -> io::Result<()> {
        let errors: u64 = self.endpoints.iter().map(|endpoint| endpoint.errors).sum();
        if errors > self.failed {
            writeln!(
                out,
                "{prefix}{} of {errors} errors were made good by another try; clients saw none of them.",
                errors - self.failed
            )?;
        }
        for (reason, count) in &self.failures {
            writeln!(out, "{prefix}failed: {count} × {reason}")?;
        }
        Ok(())
    }
}

/// A latency as tables show it, in at most six characters.
pub(super) fn shown_ms(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms >= 9_999.95 => format!("{ms:.0}"),
        Some(ms) => format!("{ms:.1}"),
    }
}

/// As many `blocks` for half of the traffic or more, in steps of an eighth of a block.
pub(super) fn bar(share: f64, blocks: u32) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let most = f64::from(blocks) * 8.0;
    let eighths = (share * 2.0 * most).round().min(most) as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(0.0, 12), "");
        assert_eq!(bar(1.0 / 6.0, 12), "████");
        assert_eq!(bar(0.005, 12), "▏");
        assert_eq!(bar(1.0, 12).chars().count(), 12);
        assert_eq!(bar(0.25, 5), "██▌");
    }

    #[test]
    fn latencies_keep_within_their_column() {
        assert_eq!(shown_ms(None), "-");
        assert_eq!(shown_ms(Some(4.06)), "4.1");
        assert_eq!(shown_ms(Some(9_999.0)), "9999.0");
        assert_eq!(shown_ms(Some(10_000.4)), "10000");
    }
}
