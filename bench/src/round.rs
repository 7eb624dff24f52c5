//! One sample: warm up, load, and what the proxy used meanwhile.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::cores::Cores;
use crate::cpu::Reading;
use crate::load::Outcome;
use crate::peers::RunningPeer;

/// How long a sample takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Load whose figures are thrown away: connections, caches and branch predictors warm up.
    pub(crate) warm_up: Duration,
    /// Load that counts.
    pub(crate) measure: Duration,
}

/// What one sample says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// CPU time of the proxy's process per answered request, in microseconds.
    pub(crate) cpu_us: f64,
    /// Answers per second.
    pub(crate) rps: f64,
    /// Median latency in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99th percentile of latency in milliseconds.
    pub(crate) p99_ms: f64,
    /// Requests that were answered wrongly or not at all.
    pub(crate) failed: u64,
    /// Share of the proxy's core that others took, 0 to 1.
    pub(crate) others_share: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu_us,
            rps,
            p99_ms,
            failed,
            ..
        } = self;
        write!(out, "{cpu_us:7.1} µs {rps:8.0} rps  p99 {p99_ms:6.2} ms")?;
        if *failed > 0 {
            write!(out, "  {failed} FAILED")?;
        }
        if self.others_share > 0.1 {
            write!(
                out,
                "  (others took {:.0} % of its core)",
                self.others_share * 100.0
            )?;
        }
        Ok(())
    }
}

/// Takes one sample of `peer`; `load` loads it for as long as it is told.
pub(crate) fn measure(
    peer: &RunningPeer,
    cores: Cores,
    pace: Pace,
    load: impl Fn(Duration) -> Result<Outcome>,
) -> Result<Sample> {
    load(pace.warm_up)?;
    let before = Reading::now(peer.pid(), cores.proxy)?;
    let outcome = load(pace.measure)?;
    let used = Reading::now(peer.pid(), cores.proxy)?.since(&before);
    Ok(Sample {
        cpu_us: used.process_us / outcome.requests as f64,
        rps: outcome.rps,
        p50_ms: outcome.p50_ms,
        p99_ms: outcome.p99_ms,
        failed: outcome.failed,
        others_share: used.others_share,
    })
}
