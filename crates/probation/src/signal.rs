//! The kinds of harm that are looked for, and how much of the allowed chance of error each has.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    counts::Counts,
    e_value::Prior,
    gate::{Gate, Slack},
    histogram::Histogram,
};

/// A kind of harm that is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// More failures.
    Errors,
    /// More answers 4xx.
    Rejections,
    /// A longer median.
    P50,
    /// A longer 90th percentile.
    P90,
    /// A longer 95th percentile.
    P95,
    /// A longer 99th percentile.
    P99,
    /// A longer 99.9th percentile: what hardly any request of the old generation reached. A few requests that do are
    /// soon telling.
    P999,
}

impl Signal {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Errors,
        Self::Rejections,
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::P999,
    ];

    /// Its part of the mean of e-values, before those that are off are left out. Failures have the most, so that two
    /// suffice on a tenth of the requests when the others have none (an e-value of 56); then long tails, which are
    /// where slowness shows first.
    fn weight(self) -> f64 {
        match self {
            Self::Errors => 0.4,
            Self::P99 | Self::P999 => 0.2,
            Self::Rejections | Self::P50 | Self::P90 | Self::P95 => 0.05,
        }
    }

    /// The signals that a gate looks at, with weights that add up to 1.
    pub(crate) fn weighted(gate: &Gate) -> Vec<(Self, f64)> {
        let on: Vec<Self> = Self::ALL
            .into_iter()
            .filter(|signal| signal.is_on(gate))
            .collect();
        let sum: f64 = on.iter().map(|signal| signal.weight()).sum();
        on.into_iter()
            .map(|signal| (signal, signal.weight() / sum))
            .collect()
    }

    fn is_on(self, gate: &Gate) -> bool {
        match self {
            Self::Errors => gate.errors.is_some(),
            Self::Rejections => gate.rejections.is_some(),
            Self::P50 | Self::P90 | Self::P95 | Self::P99 | Self::P999 => {
                self.slack(gate).is_some()
            }
        }
    }

    /// For latencies, the quantile.
    pub(crate) fn quantile(self) -> Option<f64> {
        match self {
            Self::Errors | Self::Rejections => None,
            Self::P50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
        }
    }

    fn slack(self, gate: &Gate) -> Option<Slack> {
        match self {
            Self::Errors | Self::Rejections => None,
            Self::P50 => gate.p50,
            Self::P90 => gate.p90,
            Self::P95 => gate.p95,
            Self::P99 | Self::P999 => gate.p99,
        }
    }

    /// By how much the share of one tick's bad ones may exceed the usual share and still count in full. What all of a
    /// tick's requests have in common, like a machine that stops, then weighs little more than harm to some of them.
    pub(crate) fn headroom(self) -> f64 {
        match self {
            Self::P99 | Self::P999 => 0.05,
            Self::P95 => 0.1,
            Self::Errors | Self::Rejections | Self::P50 | Self::P90 => 0.25,
        }
    }

    /// The least rise of the share of bad ones that counts. Latencies have theirs in their thresholds.
    pub(crate) fn least_rise(self, gate: &Gate) -> f64 {
        match self {
            Self::Errors => gate.errors.unwrap_or(0.0),
            Self::Rejections => gate.rejections.unwrap_or(0.0),
            Self::P50 | Self::P90 | Self::P95 | Self::P99 | Self::P999 => 0.0,
        }
    }

    /// What is expected of the share of bad ones.
    pub(crate) fn prior(self) -> Prior {
        match self {
            Self::Errors | Self::Rejections | Self::P95 | Self::P99 | Self::P999 => Prior::RARE,
            Self::P90 => Prior { a: 0.5, b: 2.0 },
            Self::P50 => Prior { a: 1.0, b: 1.0 },
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Errors => "errors",
            Self::Rejections => "rejections",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
        })
    }
}

/// What makes a request a slow one: longer than `old` for the old generation, longer than `new` for the new one.
///
/// `new` is `old` and the gate's slack. If no request became slower by more than the slack, whoever is slow by
/// `new` under the new generation would have been slow by `old` under the old one: the share of slow ones can't
/// rise, and the tests' null holds exactly for all harm below the slack.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Seconds, for the old generation: its quantile, up to the next bucket's bound.
    pub old: f64,
    /// Seconds, for the new generation.
    pub new: f64,
}

impl Thresholds {
    /// Those at the signal's quantile of what the old generation did; None where the buckets don't tell it.
    pub(crate) fn at(signal: Signal, gate: &Gate, old: &Histogram) -> Option<Self> {
        let (quantile, slack) = (signal.quantile()?, signal.slack(gate)?);
        let total = old.total() as f64;
        // With fewer, the quantile is no more than the longest of them; for the rarest, that will do.
        if total < Self::least_requests(quantile) {
            return None;
        }
        let bound = *old.bounds().get(old.bucket_of_rank(quantile * total)?)?;
        let longest = slack.of(bound);
        let new = old.bounds()[old.bounds().partition_point(|&it| it < longest)..].first()?;
        Some(Self {
            old: bound,
            new: *new,
        })
    }

    fn least_requests(quantile: f64) -> f64 {
        (2.0 / (1.0 - quantile)).clamp(20.0, 200.0)
    }
}

/// Adds a tick's latencies to those that thresholds are taken from, unless the machine stood still: then a long
/// quantile is that of the pauses, and hides what takes less long. `usual` is what was seen so far, or all of it.
///
/// Any choice of thresholds keeps the tests exact that doesn't look at what is then counted; this makes them sharp.
pub(crate) fn add_if_calm(calm: &mut Histogram, tick: &Histogram, usual: &Histogram) {
    const PAUSED_SHARE: f64 = 0.2;
    const LEAST_PAUSED: u64 = 5;
    let paused = usual.quantile(0.99).is_some_and(|longest| {
        let slow = tick.above_seconds(longest);
        slow >= LEAST_PAUSED && slow as f64 > PAUSED_SHARE * tick.total() as f64
    });
    if !paused {
        calm.merge(tick);
    }
}

/// How many of one arm's requests were bad in the sense of a signal.
#[derive(Clone, Copy)]
pub(crate) enum Arm {
    Old,
    New,
}

/// The requests and bad ones of `counts`; None where a latency has no thresholds yet.
pub(crate) fn bad(
    signal: Signal,
    thresholds: Option<Thresholds>,
    arm: Arm,
    counts: &Counts,
) -> Option<(u64, u64)> {
    Some(match signal {
        Signal::Errors => (counts.requests.max(counts.failures), counts.failures),
        Signal::Rejections => (counts.requests.max(counts.rejections), counts.rejections),
        Signal::P50 | Signal::P90 | Signal::P95 | Signal::P99 | Signal::P999 => {
            let thresholds = thresholds?;
            let threshold = match arm {
                Arm::Old => thresholds.old,
                Arm::New => thresholds.new,
            };
            (
                counts.latency.total(),
                counts.latency.above_seconds(threshold),
            )
        }
    })
}
