//! A row as tests of tables and charts need it.

use super::Row;
use crate::peers::Peer;
use crate::round::Sample;
use crate::workload::Workload;

/// A row of one sample in which only this figure says anything.
pub(crate) fn row(workload: Workload, peer: Peer, cpu_us: f64) -> Row {
    let sample = Sample {
        cpu_us,
        rps: 1.0,
        p50_ms: 1.0,
        p99_ms: 2.0,
        failed: 0,
        others_share: 0.0,
    };
    Row::of(workload, peer, "1", &[sample]).unwrap()
}
