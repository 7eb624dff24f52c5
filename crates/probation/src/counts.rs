//! What the caller counts: one tick after another.

use crate::histogram::Histogram;

/// How many ticks make a second. The caller makes one every 200 ms.
pub const TICKS_PER_SECOND: u32 = 5;

/// What happened to requests during one tick, by the time they ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// How many ended.
    pub requests: u64,
    /// Of these, those without a good answer through no fault of the client: 5xx, no answer, refused by the proxy
    /// (no route, no endpoint, overload).
    pub failures: u64,
    /// Of these, those answered 4xx.
    pub rejections: u64,
    /// How long they took.
    pub latency: Histogram,
}

impl Counts {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
        self.rejections = self.rejections.saturating_add(other.rejections);
        self.latency.merge(&other.latency);
    }

    /// What was counted since `earlier`, an older state of the same running totals. All of it, if a total went down:
    /// their source then began anew.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = || {
            Some(Self {
                requests: self.requests.checked_sub(earlier.requests)?,
                failures: self.failures.checked_sub(earlier.failures)?,
                rejections: self.rejections.checked_sub(earlier.rejections)?,
                latency: self.latency.since(&earlier.latency),
            })
        };
        counts().unwrap_or_else(|| self.clone())
    }
}

/// What happened during one tick of a probation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tick {
    /// Requests served by the new generation.
    pub new: Counts,
    /// Requests served by the old one at the same time. Only [`Design::Canary`] looks at it; none counts as none.
    pub baseline: Option<Counts>,
    /// The share of the workers' time that they were busy, 0..=1.
    pub busy: f64,
}

/// What the new generation is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Design {
    /// Each request is served by the new generation with probability `share`, by lot, the others by the old one at
    /// the same time.
    Canary {
        /// The probability, above 0 and below 1.
        share: f64,
    },
    /// All requests go to the new generation; there is only what the old one did before.
    Before {
        /// The ticks before the swap, the oldest first; best as many as the probation is long. None is allowed.
        baseline: Vec<Counts>,
        /// The share of the workers' time that they were busy during these.
        busy: f64,
    },
}
