//! What was done to requests on purpose: counted per worker, as everything is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::Lines;

/// A count that only one worker writes, so counting costs a plain addition.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn add(&self) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// One worker's counts.
#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    pub(crate) delays: Count,
    pub(crate) aborts: Count,
}

/// Appends the counts of all workers.
pub(super) fn write(all: &[Arc<TrafficCounters>], out: &mut Lines<'_>) {
    let sum = |count: fn(&TrafficCounters) -> &Count| -> u64 {
        let counts = all.iter().map(|counters| &count(counters).0);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    };
    out.line("# HELP dalbi_faults_injected_total Requests held up or failed on purpose.");
    out.line("# TYPE dalbi_faults_injected_total counter");
    for (kind, count) in [
        ("delay", sum(|all| &all.delays)),
        ("abort", sum(|all| &all.aborts)),
    ] {
        out.line(&format!(
            "dalbi_faults_injected_total{{kind=\"{kind}\"}} {count}"
        ));
    }
}
