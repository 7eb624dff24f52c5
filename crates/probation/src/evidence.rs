//! What is known at a moment, for people and for JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    confidence::{self, Interval},
    counts::Counts,
    e_value::{Prior, Sample},
    signal::{Signal, Thresholds},
    verdict::{Share, duration, grouped, percent, short_e},
};

/// What is known at a moment of a probation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Ticks observed.
    pub ticks: u64,
    /// Whether the old generation serves at the same time; otherwise it did before.
    pub concurrent: bool,
    /// The new generation.
    pub new: ArmEvidence,
    /// The old one.
    pub old: ArmEvidence,
    /// Each signal that the gate looks at.
    pub signals: Vec<SignalEvidence>,
    /// The signals' e-values together (their weighted mean); at most 1e300.
    pub e_value: f64,
    /// From which on it is rolled back: 1/alpha.
    pub e_value_needed: f64,
    /// By how much the new generation's share of failures may exceed the old one's, as far as one knows.
    pub excess_high: f64,
    /// What `excess_high` must come down to before it is promoted.
    pub tolerance: f64,
    /// The busy share of the workers' time over the last second.
    pub busy: f64,
    /// The same before the swap, where it is known.
    pub busy_before: Option<f64>,
}

/// What is known of one generation. Intervals hold the truth at all times at once with the gate's confidence, if
/// requests are independent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmEvidence {
    /// How many ended.
    pub requests: u64,
    /// How many failed.
    pub failures: u64,
    /// How many were answered 4xx.
    pub rejections: u64,
    /// The share that failed.
    pub failure_share: Interval,
    /// The share answered 4xx.
    pub rejection_share: Interval,
    /// The median in seconds.
    pub p50: Option<Interval>,
    /// The 99th percentile in seconds.
    pub p99: Option<Interval>,
}

/// What is known of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalEvidence {
    /// Which.
    pub signal: Signal,
    /// The new generation's requests and bad ones.
    pub new: Share,
    /// The old one's.
    pub old: Share,
    /// For latencies, what counts as slow now.
    pub thresholds: Option<Thresholds>,
    /// By what counts were divided, 1 or more, because they vary more than independent requests would.
    pub dispersion: f64,
    /// How many times likelier this is if the new one is worse; at most 1e300.
    pub e_value: f64,
}

impl ArmEvidence {
    pub(crate) fn of(counts: &Counts, alpha: f64) -> Self {
        let share = |bad: u64| {
            let sample = Sample {
                requests: counts.requests.max(bad) as f64,
                bad: bad as f64,
            };
            confidence::proportion(Prior::RARE, sample, alpha)
        };
        Self {
            requests: counts.requests,
            failures: counts.failures,
            rejections: counts.rejections,
            failure_share: share(counts.failures),
            rejection_share: share(counts.rejections),
            p50: confidence::quantile(&counts.latency, 0.5, alpha),
            p99: confidence::quantile(&counts.latency, 0.99, alpha),
        }
    }
}

impl fmt::Display for Evidence {
    /// One line: `1,204 requests: 2.1 % failed (0.0 % before), p50 5.1 ms (5.0 ms), p99 121 ms (20 ms); e-value 3e5
    /// of 20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (new, old) = (&self.new, &self.old);
        let when = if self.concurrent {
            "of the others"
        } else {
            "before"
        };
        write!(
            f,
            "{} requests: {} failed",
            grouped(new.requests),
            percent(new.failure_share.estimate)
        )?;
        if old.requests > 0 {
            write!(f, " ({} {when})", percent(old.failure_share.estimate))?;
        }
        for (name, new, old) in [("p50", new.p50, old.p50), ("p99", new.p99, old.p99)] {
            if let Some(new) = new {
                write!(f, ", {name} {}", duration(new.estimate))?;
                if let Some(old) = old {
                    write!(f, " ({})", duration(old.estimate))?;
                }
            }
        }
        write!(
            f,
            "; e-value {} of {}",
            short_e(self.e_value),
            short_e(self.e_value_needed)
        )
    }
}
