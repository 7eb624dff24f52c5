//! Samples to medians, and medians to JSON.

use serde::Serialize;

use crate::peers::Peer;
use crate::round::Sample;
use crate::workload::Workload;

/// One line of the result: a proxy under a workload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The traffic.
    pub(crate) workload: Workload,
    /// The proxy.
    pub(crate) peer: Peer,
    /// The proxy's version.
    pub(crate) version: String,
    /// Median CPU time per request in microseconds.
    pub(crate) cpu_us: f64,
    /// Median answers per second.
    pub(crate) rps: f64,
    /// Median of the rounds' median latencies, in milliseconds.
    pub(crate) p50_ms: f64,
    /// Median of the rounds' 99th percentiles, in milliseconds.
    pub(crate) p99_ms: f64,
    /// Samples that counted.
    pub(crate) rounds: usize,
    /// Requests that failed in all of them.
    pub(crate) failed: u64,
}

impl Row {
    /// The medians of `samples`; nothing when there are none.
    pub(crate) fn of(
        workload: Workload,
        peer: Peer,
        version: &str,
        samples: &[Sample],
    ) -> Option<Self> {
        Some(Self {
            workload,
            peer,
            version: version.to_owned(),
            cpu_us: median(samples.iter().map(|sample| sample.cpu_us))?,
            rps: median(samples.iter().map(|sample| sample.rps))?,
            p50_ms: median(samples.iter().map(|sample| sample.p50_ms))?,
            p99_ms: median(samples.iter().map(|sample| sample.p99_ms))?,
            rounds: samples.len(),
            failed: samples.iter().map(|sample| sample.failed).sum(),
        })
    }
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// CPU time of `row` over that of `reference` under the same workload.
pub(crate) fn ratio(rows: &[Row], row: &Row, reference: Peer) -> Option<f64> {
    rows.iter()
        .find(|other| other.workload == row.workload && other.peer == reference)
        .map(|other| row.cpu_us / other.cpu_us)
}

/// At most this much of a reference's CPU time is what dalbi sets itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Goal {
    /// Compared with whom.
    pub(crate) reference: Peer,
    /// The largest ratio that meets the goal.
    pub(crate) at_most: f64,
}

/// What dalbi sets itself under `workload`.
pub(crate) fn goals(workload: Workload) -> [Goal; 3] {
    let at_most = match workload {
        Workload::Small | Workload::Tls => 0.85,
        Workload::BrowserHeaders => 0.75,
        Workload::Large => 0.80,
        Workload::Close => 1.0,
        Workload::Http2 => 0.95,
    };
    [
        Goal {
            reference: Peer::Haproxy,
            at_most,
        },
        Goal {
            reference: Peer::Envoy,
            at_most: 0.35,
        },
        // What ALBA may cost.
        Goal {
            reference: Peer::DalbiRoundRobin,
            at_most: 1.03,
        },
    ]
}

#[derive(Serialize)]
struct Document<'a> {
    results: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    workload: &'a str,
    proxy: &'a str,
    version: &'a str,
    cpu_us: f64,
    rps: f64,
    p50_ms: f64,
    p99_ms: f64,
    rounds: usize,
}

/// `{"results": […]}`, one object a row.
pub(crate) fn json(rows: &[Row]) -> serde_json::Result<String> {
    let results = rows
        .iter()
        .map(|row| Entry {
            workload: row.workload.name(),
            proxy: row.peer.name(),
            version: &row.version,
            cpu_us: rounded(row.cpu_us, 2),
            rps: rounded(row.rps, 1),
            p50_ms: rounded(row.p50_ms, 3),
            p99_ms: rounded(row.p99_ms, 3),
            rounds: row.rounds,
        })
        .collect();
    serde_json::to_string_pretty(&Document { results }).map(|text| text + "\n")
}

/// `value` to so many decimals: more than those are noise.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (value * factor).round() / factor
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
