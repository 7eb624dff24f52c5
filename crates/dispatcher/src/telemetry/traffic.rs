//! What was done to requests on purpose: counted per worker, as everything is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::Lines;
use crate::exchange::mirror::Dropped;

/// A count that only one worker writes, so counting costs a plain addition.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn add(&self) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The count so far.
    pub(super) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One worker's counts.
#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    pub(crate) delays: Count,
    pub(crate) aborts: Count,
    pub(crate) mirrors_answered: Count,
    pub(crate) mirrors_failed: Count,
    mirrors_dropped: [Count; Dropped::ALL.len()],
}

impl TrafficCounters {
    /// Copies that were not sent, or not whole.
    pub(crate) fn mirror_dropped(&self, reason: Dropped) -> &Count {
        &self.mirrors_dropped[reason as usize]
    }
}

/// Appends the counts of all workers.
pub(super) fn write(all: &[Arc<TrafficCounters>], out: &mut Lines<'_>) {
    let sum = |count: &dyn Fn(&TrafficCounters) -> &Count| -> u64 {
        all.iter().map(|counters| count(counters).load()).sum()
    };
    let mut family = |name: &str, help: &str, label: &str, values: &[(&str, u64)]| {
        out.line(&format!("# HELP {name} {help}"));
        out.line(&format!("# TYPE {name} counter"));
        for (value, count) in values {
            out.line(&format!("{name}{{{label}=\"{value}\"}} {count}"));
        }
    };
    family(
        "dalbi_faults_injected_total",
        "Requests held up or failed on purpose.",
        "kind",
        &[
            ("delay", sum(&|all| &all.delays)),
            ("abort", sum(&|all| &all.aborts)),
        ],
    );
    family(
        "dalbi_mirror_requests_total",
        "Copies of requests that were sent whole, or failed on the way.",
        "result",
        &[
            ("answered", sum(&|all| &all.mirrors_answered)),
            ("failed", sum(&|all| &all.mirrors_failed)),
        ],
    );
    let dropped = Dropped::ALL.map(|reason| {
        let count = sum(&|all| all.mirror_dropped(reason));
        (reason.name(), count)
    });
    family(
        "dalbi_mirror_dropped_total",
        "Copies of requests that were not sent, or not whole, so as not to hold anything up.",
        "reason",
        &dropped,
    );
}
