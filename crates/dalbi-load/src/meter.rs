//! What a server counts to know its own load. Time is an argument: the time since the server began to count.

use std::time::Duration;

/// Rates and means are over about this long: short enough to see a change, long enough to mean something at
/// ten requests a second.
const WINDOW: Duration = Duration::from_secs(1);

/// Latencies kept per level of load. The median of these is what one slow request cannot move.
const LATENCIES: usize = 16;

/// Latencies that are older than this count only where there is nothing younger.
const STALE: Duration = Duration::from_secs(10);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, whatever the answer, as far as the server is not to blame for it.
    Success,
    /// The server failed. Its time does not count: failures are often quick.
    Failure,
}

/// A request that began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    at: Duration,
    /// Requests in flight then, with itself.
    in_flight: u32,
}

/// Counts of one server.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    in_flight: u32,
    windows: Windows,
    latencies: Latencies,
}

/// What the counts say at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) in_flight: u32,
    /// Mean of the requests in flight over the last window.
    pub(crate) mean_in_flight: f64,
    /// Ended requests per second, failures included.
    pub(crate) requests_per_s: f64,
    pub(crate) errors_per_s: f64,
    /// Median of what requests took that arrived at about the present load; `None` before any ended.
    pub(crate) latency: Option<Duration>,
}

impl Meter {
    pub(crate) fn begin(&mut self, now: Duration) -> Begun {
        self.windows.advance(now, self.in_flight);
        self.in_flight += 1;
        Begun {
            at: now,
            in_flight: self.in_flight,
        }
    }

    /// Ends a request; without an outcome its client gave up, which says nothing about the server.
    pub(crate) fn end(&mut self, now: Duration, begun: Begun, outcome: Option<Outcome>) {
        self.windows.advance(now, self.in_flight);
        self.in_flight -= 1;
        let Some(outcome) = outcome else { return };
        self.windows.current.ended += 1.0;
        match outcome {
            Outcome::Success => {
                let latency = now.saturating_sub(begun.at);
                self.latencies.add(now, begun.in_flight, latency);
            }
            Outcome::Failure => self.windows.current.failed += 1.0,
        }
    }

    pub(crate) fn read(&mut self, now: Duration) -> Reading {
        self.windows.advance(now, self.in_flight);
        let recent = self.windows.recent();
        Reading {
            in_flight: self.in_flight,
            mean_in_flight: recent.busy_s,
            requests_per_s: recent.ended,
            errors_per_s: recent.failed,
            latency: self.latencies.at(now, self.in_flight),
        }
    }
}

/// What happened in a window.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    ended: f64,
    failed: f64,
    /// Seconds that requests were in flight, added up over requests.
    busy_s: f64,
}

/// A sliding window, as two that stand still: of the one before counts the share that the present one has not
/// replaced yet.
#[derive(Debug, Default)]
struct Windows {
    /// `None` until the first window is full.
    previous: Option<Window>,
    current: Window,
    begin: Duration,
    now: Duration,
}

impl Windows {
    /// Moves to `now`; `in_flight` requests were there since the last call.
    fn advance(&mut self, now: Duration, in_flight: u32) {
        // Clocks of two threads may be read in another order than they come here.
        let now = now.max(self.now);
        let in_flight = f64::from(in_flight);
        let windows = (now - self.begin).as_secs() / WINDOW.as_secs();
        if windows > 0 {
            let begin = self.begin + Duration::from_secs(windows * WINDOW.as_secs());
            self.previous = Some(if windows == 1 {
                self.current.busy_s += in_flight * (begin - self.now).as_secs_f64();
                self.current
            } else {
                // Nothing began or ended in the window just before this one.
                Window {
                    busy_s: in_flight * WINDOW.as_secs_f64(),
                    ..Window::default()
                }
            });
            self.current = Window::default();
            (self.begin, self.now) = (begin, begin);
        }
        self.current.busy_s += in_flight * (now - self.now).as_secs_f64();
        self.now = now;
    }

    /// Per second, over the last window or as long as there has been.
    fn recent(&self) -> Window {
        let elapsed_s = (self.now - self.begin).as_secs_f64();
        let window_s = WINDOW.as_secs_f64();
        let Window {
            ended,
            failed,
            busy_s,
        } = self.current;
        let (previous, share, span_s) = match self.previous {
            Some(previous) => (previous, 1.0 - elapsed_s / window_s, window_s),
            // A rate over less than a tenth of a window would mean nothing.
            None => (Window::default(), 0.0, elapsed_s.max(window_s / 10.0)),
        };
        Window {
            ended: (ended + share * previous.ended) / span_s,
            failed: (failed + share * previous.failed) / span_s,
            busy_s: (busy_s + share * previous.busy_s) / span_s,
        }
    }
}

/// Latencies by the load that requests met, as Prequal (NSDI 2024, section 4.1) keeps them: what a request takes
/// depends on how many are there, so only those that met about as many tell what the next one will take.
#[derive(Debug, Default)]
struct Latencies {
    /// Two levels for each doubling of the load.
    levels: Vec<Level>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    latencies_us: [u32; LATENCIES],
    /// Latencies seen so far; the newest is at `(seen - 1) % LATENCIES`.
    seen: usize,
    last_seen: Duration,
}

impl Latencies {
    fn add(&mut self, now: Duration, in_flight: u32, latency: Duration) {
        let index = level_of(in_flight);
        if self.levels.len() <= index {
            self.levels.resize(index + 1, Level::default());
        }
        let level = &mut self.levels[index];
        level.latencies_us[level.seen % LATENCIES] =
            u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        level.seen += 1;
        level.last_seen = now;
    }

    /// The median at the level that is nearest to a request which comes now.
    fn at(&self, now: Duration, in_flight: u32) -> Option<Duration> {
        let wanted = level_of(in_flight + 1);
        let levels = self.levels.iter().enumerate();
        let (_, nearest) =
            levels
                .filter(|(_, level)| level.seen > 0)
                .min_by_key(|(index, level)| {
                    let stale = now.saturating_sub(level.last_seen) > STALE;
                    (stale, index.abs_diff(wanted))
                })?;
        let mut latencies_us = nearest.latencies_us;
        let kept = &mut latencies_us[..nearest.seen.min(LATENCIES)];
        let middle = kept.len() / 2;
        let (_, &mut median_us, _) = kept.select_nth_unstable(middle);
        Some(Duration::from_micros(median_us.into()))
    }
}

/// 1, 2, 3, 4–5, 6–7, 8–11, 12–15, 16–23 and so on, counted from 0.
fn level_of(in_flight: u32) -> usize {
    let in_flight = in_flight.max(1);
    let doublings = in_flight.ilog2();
    let upper_half = if doublings == 0 {
        0
    } else {
        (in_flight >> (doublings - 1)) & 1
    };
    (2 * doublings + upper_half).saturating_sub(1) as usize
}

#[cfg(test)]
mod tests;
