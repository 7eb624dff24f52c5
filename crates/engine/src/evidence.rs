//! The dispatcher's running totals, cut into the ticks that a probation is judged by.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use dispatcher::{Dispatcher, Tally};
use probation::{Counts, Histogram};

/// How often the totals are read. Ten ticks see an error rate of 2 % at 25 requests a second, and a burst within one
/// counts as one.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// How many ticks are kept of what was served before a swap: a minute, the default probation.
const KEPT: usize = 300;

/// Reads the totals tick by tick.
pub(crate) struct Meter {
    totals: HashMap<String, Counts>,
    busy_s: f64,
    read_at: Instant,
    /// Of what was confirmed.
    confirmed: Ticks,
    /// Of what is being tried.
    tried: Ticks,
}

/// The last ticks of one generation, oldest first, each with the share of their time that workers were busy.
#[derive(Default)]
struct Ticks(VecDeque<(Counts, f64)>);

impl Ticks {
    fn push(&mut self, counts: Counts, busy: f64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((counts, busy));
    }
}

/// What happened since the reading before.
pub(crate) struct Reading {
    counts: HashMap<String, Counts>,
    /// The share of their time that workers were busy, 0 to 1.
    pub(crate) busy: f64,
}

impl Reading {
    /// Of one generation; nothing if it served nothing.
    pub(crate) fn of(&self, generation: &str) -> Counts {
        self.counts.get(generation).cloned().unwrap_or_else(nothing)
    }
}

impl Meter {
    pub(crate) fn new(dispatcher: &Dispatcher, now: Instant) -> Self {
        let mut meter = Self {
            totals: HashMap::new(),
            busy_s: 0.0,
            read_at: now,
            confirmed: Ticks::default(),
            tried: Ticks::default(),
        };
        meter.read(dispatcher, now);
        meter
    }

    /// What happened since the last call.
    pub(crate) fn read(&mut self, dispatcher: &Dispatcher, now: Instant) -> Reading {
        let tallies = dispatcher.tallies();
        let totals = tallies
            .iter()
            .map(|tally| (tally.generation.clone(), counts(tally)));
        let totals: HashMap<_, _> = totals.collect();
        let since = |(name, now): (&String, &Counts)| {
            let since = self
                .totals
                .get(name)
                .map_or_else(|| now.clone(), |before| now.since(before));
            (name.clone(), since)
        };
        let counts = totals.iter().map(since).collect();
        self.totals = totals;
        let elapsed = now.saturating_duration_since(self.read_at).as_secs_f64();
        let busy_s = dispatcher.busy();
        let available = elapsed * dispatcher.workers() as f64;
        let busy = (busy_s - self.busy_s) / available.max(f64::MIN_POSITIVE);
        (self.busy_s, self.read_at) = (busy_s, now);
        Reading {
            counts,
            busy: busy.clamp(0.0, 1.0),
        }
    }

    /// Keeps a tick of what was confirmed, for comparisons with what comes.
    pub(crate) fn keep(&mut self, reading: &Reading, generation: &str) {
        self.confirmed.push(reading.of(generation), reading.busy);
    }

    /// Keeps a tick of what is being tried, in case it is confirmed.
    pub(crate) fn keep_tried(&mut self, reading: &Reading, generation: &str) {
        self.tried.push(reading.of(generation), reading.busy);
    }

    /// What was being tried is confirmed, or is no more.
    pub(crate) fn settle(&mut self, confirmed: bool) {
        let tried = std::mem::take(&mut self.tried);
        if confirmed {
            for (counts, busy) in tried.0 {
                self.confirmed.push(counts, busy);
            }
        }
    }

    /// The ticks kept of what was confirmed, a minute at most, and the share of time that workers were busy in them, 0
    /// to 1. However short a probation is, what it is compared with is better known by more.
    pub(crate) fn before(&self) -> (Vec<Counts>, f64) {
        let (counts, busy): (Vec<_>, Vec<_>) = self.confirmed.0.iter().cloned().unzip();
        let mean = busy.iter().sum::<f64>() / (busy.len().max(1) as f64);
        (counts, mean)
    }
}

fn nothing() -> Counts {
    Counts {
        latency: Histogram::new(dispatcher::latency_bounds()),
        ..Counts::default()
    }
}

fn counts(tally: &Tally) -> Counts {
    Counts {
        requests: tally.requests,
        failures: tally.failures,
        rejections: tally.rejections,
        latency: Histogram::from_counts(dispatcher::latency_bounds(), &tally.latency),
    }
}
