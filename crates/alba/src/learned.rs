//! What a balancer has learned, as a value that outlives its process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stamped::Stamped;
use crate::{EndpointId, Time};

/// No time that is learned is longer, in seconds.
pub(crate) const LONGEST_S: f64 = 86_400.0;

/// No other number that is learned is larger.
pub(crate) const LARGEST: f64 = 1e12;

/// What a restart would have to learn again: [`Balancer::learned`](crate::Balancer::learned) tells it,
/// [`Balancer::restore`](crate::Balancer::restore) takes it. Numbers are the balancer's own and may change their
/// meaning from release to release; what is absurd in them is ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Learned {
    /// Of all endpoints together.
    pub pool: LearnedPool,
    /// Of each.
    pub endpoints: Vec<LearnedEndpoint>,
    /// Round robin's turn.
    pub cursor: u64,
}

/// What the learned policy knows of all endpoints together. Pairs are sums that forget at the same rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LearnedPool {
    /// Time on queue.
    pub line: LearnedLine,
    /// Others' requests in flight at an endpoint, and reports.
    pub others: [f64; 2],
    /// Times of answers as shares of what the line says, and answers.
    pub ratios: [f64; 2],
    /// The same of reported latencies.
    pub reported: [f64; 2],
    /// Share of failures, 0 to 1.
    pub failing: f64,
    /// Time that few answers take longer than, in seconds; `None` before the first.
    pub late_s: Option<f64>,
    /// Products and squares of deviations of reports, by class of age.
    pub reports: [[f64; 2]; 5],
    /// The same of slowness, by class of evidence.
    pub slowness: [[f64; 2]; 5],
}

/// The line of time on queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LearnedLine {
    /// Mean seconds, and mean of queue times seconds.
    pub time: [f64; 2],
    /// Mean queue, and mean of its square.
    pub queue: [f64; 2],
    /// Answers that it was made of.
    pub answers: u32,
    /// Seconds without a queue, and per request in it.
    pub fit: [f64; 2],
}

/// What is known of one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LearnedEndpoint {
    /// Its [`EndpointId`].
    pub id: u64,
    /// What active checks said.
    pub healthy: bool,
    /// Moving average of answers' times, in seconds.
    pub latency: Option<Aged>,
    /// The same with failures.
    pub penalty: Option<Aged>,
    /// Requests of others that were in flight there.
    pub others: Option<Aged>,
    /// Times of its answers as shares of what the pool's line says, and answers.
    pub ratios: [f64; 2],
    /// Successes and failures.
    pub outcomes: [f64; 2],
    /// For how long it is taken to be draining still, in seconds; 0 if it is not.
    pub draining_for_s: f64,
    /// How long ago it came, in seconds; `None` if it has been there since ever.
    pub joined_ago_s: Option<f64>,
    /// For how long it is put aside still, in seconds; `None` while it is in service.
    pub ejected_for_s: Option<f64>,
    /// Ejections in a row.
    pub ejections_in_row: u32,
}

impl Default for LearnedEndpoint {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            id: 0,
            healthy: true,
            latency: None,
            penalty: None,
            others: None,
            ratios: [0.0; 2],
            outcomes: [0.0; 2],
            draining_for_s: 0.0,
            joined_ago_s: None,
            ejected_for_s: None,
            ejections_in_row: 0,
        }
    }
}

impl LearnedEndpoint {
    pub(crate) fn of(id: EndpointId) -> Self {
        Self {
            id: id.0,
            ..Self::default()
        }
    }
}

/// A value and how old it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Aged {
    /// The value.
    pub value: f64,
    /// Seconds since it was taken.
    pub age_s: f64,
}

impl Aged {
    pub(crate) fn of(stamped: &Stamped, now: Time) -> Option<Self> {
        let (value, ticks) = stamped.age(now)?;
        let age_s = crate::stamped::duration(ticks).as_secs_f64();
        Some(Self { value, age_s })
    }

    /// Leaves `stamped` alone if the value or its age is absurd.
    pub(crate) fn restore(learned: Option<Self>, stamped: &Stamped, most: f64, now: Time) {
        if let Some(Self { value, age_s }) = learned
            && let (Some(value), Some(age)) = (within(value, most), seconds(age_s))
        {
            stamped.store_aged(value, age, now);
        }
    }
}

/// `value`, if it is a number from 0 to `most`.
pub(crate) fn within(value: f64, most: f64) -> Option<f64> {
    // Neither is so of a NaN.
    (value >= 0.0 && value <= most).then_some(value)
}

/// Both, if they are numbers from 0 to `most`.
pub(crate) fn pair([first, second]: [f64; 2], most: f64) -> Option<(f64, f64)> {
    within(first, most).zip(within(second, most))
}

/// A time, if it is one that may have been learned.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    within(seconds, LONGEST_S).map(Duration::from_secs_f64)
}
