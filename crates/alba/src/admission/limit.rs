//! How many requests a dispatcher lets through at a time.
//!
//! Overload shows in answers that take longer than they may: a share of what each request has left until its
//! deadline. While they do, the limit moves as FAST TCP's window does (Jin, Wei and Low 2004):
//! `limit ← limit × allowed / taken + α`, over windows of answers. All dispatchers see the same servers and
//! go by the same deadlines, so all settle where answers take what they may, and α makes them settle at
//! equal limits.
//!
//! Going by what answers take without load instead would keep less waiting in the servers. But it has to be
//! learned, every dispatcher learns it a little differently, and the one that learned the highest takes what
//! the others leave: in simulation a fifth of the dispatchers never limited themselves.

use std::collections::BTreeMap;

use crate::Time;

/// "No limit".
pub(super) const OPEN: u32 = u32::MAX;

/// Answers in a window: the mean of so many exponential times is right within a quarter. With a limit, a
/// window also lasts as long as its answers took, or the limit would move again before what it did can be
/// seen.
const WINDOW: u32 = 16;

/// Beyond this many classes all others are one: a peer may control their number.
const MAX_CLASSES: usize = 256;

/// The class of all others.
const OTHERS: u32 = u32::MAX;

/// Latencies are clipped at this many times what is allowed, so that a single hung server is not overload.
const CLIP: f64 = 8.0;

/// Share of the newest window in the mean that says whether there is overload: five windows above, or one
/// far above.
const SMOOTHING: f64 = 0.2;

/// Times the root of the limit (as Netflix's gradient limit adds) is added each window: it makes limits
/// equal, since large ones gain the smaller share.
const ALPHA: f64 = 0.5;

/// Most that is added, as a share of the limit: answers take that much longer than they may.
const MOST_ALPHA: f64 = 0.25;

/// Share of the way that the limit goes in one window: the servers' answer to it comes a window later.
const GAIN: f64 = 0.5;

/// A limit that nobody waits for is at most this much above what is in flight.
const SPARE: f64 = 2.0;

/// Windows with a limit that nobody needs, until there is none again.
const CALM_WINDOWS: u32 = 16;

/// Share of the newest answer in what a class costs.
const COST_SHARE: f64 = 0.02;

#[derive(Debug)]
pub(super) struct Limit {
    /// `None` without overload.
    limit: Option<f64>,
    window: Window,
    /// When the window began.
    looked: Time,
    /// What answers take of what they may, lately.
    smooth: f64,
    /// Windows in a row that had no need of the limit.
    calm: u32,
    /// What a request of each class costs, in seconds.
    costs_s: BTreeMap<u32, f64>,
}

/// What happened since the last look.
#[derive(Debug, Default)]
struct Window {
    answers: u32,
    taken_s: f64,
    allowed_s: f64,
    most_in_flight: u32,
    waited: bool,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) class: u32,
    pub(super) taken_s: f64,
    /// Infinite if it had all the time.
    pub(super) allowed_s: f64,
    pub(super) cost_s: Option<f64>,
    /// With this one.
    pub(super) in_flight: u32,
    /// Whether others wait for it to end.
    pub(super) waited: bool,
}

impl Limit {
    pub(super) const fn new() -> Self {
        Self {
            limit: None,
            window: Window {
                answers: 0,
                taken_s: 0.0,
                allowed_s: 0.0,
                most_in_flight: 0,
                waited: false,
            },
            looked: Time::ZERO,
            smooth: 0.0,
            calm: 0,
            costs_s: BTreeMap::new(),
        }
    }

    /// What a request of `class` is expected to cost, in seconds: as those beyond [`MAX_CLASSES`] or as the
    /// mean class if nothing is known of it, and 1 if nothing is known at all. Only the relation between
    /// classes matters, and overload stretches all of them alike.
    pub(super) fn cost_s(&self, class: u32) -> f64 {
        let known = self.costs_s.get(&class);
        if let Some(&cost_s) = known.or_else(|| self.costs_s.get(&OTHERS)) {
            return cost_s;
        }
        match self.costs_s.len() {
            0 => 1.0,
            classes => self.costs_s.values().sum::<f64>() / classes as f64,
        }
    }

    /// Takes an answer and returns the limit.
    pub(super) fn record(&mut self, answer: Answer, now: Time) -> u32 {
        let class = if self.costs_s.len() < MAX_CLASSES || self.costs_s.contains_key(&answer.class)
        {
            answer.class
        } else {
            OTHERS
        };
        let cost_s = answer.cost_s.unwrap_or(answer.taken_s).max(1e-9);
        let known = self.costs_s.entry(class).or_insert(cost_s);
        *known += (cost_s - *known) * COST_SHARE;
        if answer.allowed_s.is_finite() {
            let allowed_s = answer.allowed_s.max(1e-6);
            self.window.answers += 1;
            self.window.taken_s += answer.taken_s.min(allowed_s * CLIP);
            self.window.allowed_s += allowed_s;
            self.window.most_in_flight = self.window.most_in_flight.max(answer.in_flight);
            self.window.waited |= answer.waited;
        }
        if self.window.answers >= WINDOW {
            let mean_s = self.window.taken_s / f64::from(self.window.answers);
            if self.limit.is_none() || now.since(self.looked).as_secs_f64() >= mean_s {
                self.looked = now;
                self.look();
            }
        }
        self.limit
            .map_or(OPEN, |limit| limit.round().min(1e9) as u32)
    }

    fn look(&mut self) {
        let window = std::mem::take(&mut self.window);
        let taken = window.taken_s / window.allowed_s;
        self.smooth += SMOOTHING * (taken - self.smooth);
        let most = f64::from(window.most_in_flight);
        let Some(limit) = self.limit else {
            if self.smooth > 1.0 {
                self.limit = Some((most / taken.max(1.0)).max(1.0));
                self.calm = 0;
            }
            return;
        };
        if most > limit * 1.25 + 1.0 && taken > 1.0 {
            // These answers are of requests that went before the limit was as it is. If even they come soon
            // enough, the limit is too low.
            return;
        }
        let needed = window.waited || taken > 0.5;
        self.calm = if needed { 0 } else { self.calm + 1 };
        if self.calm >= CALM_WINDOWS {
            (self.limit, self.smooth) = (None, 0.0);
            return;
        }
        let wanted = (limit / taken.max(1e-6) + (ALPHA * limit.sqrt()).min(MOST_ALPHA * limit))
            .clamp(limit * 0.5, limit * 2.0);
        // A limit that is not reached holds nobody back, and would not do so for long after it is needed.
        let wanted = if window.waited {
            wanted
        } else {
            wanted.min(most + SPARE)
        };
        self.limit = Some((limit + GAIN * (wanted - limit)).max(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(class: u32, taken_s: f64) -> Answer {
        Answer {
            class,
            taken_s,
            allowed_s: f64::INFINITY,
            cost_s: None,
            in_flight: 1,
            waited: false,
        }
    }

    #[test]
    fn an_unknown_class_costs_what_others_do() {
        let mut limit = Limit::new();
        assert!((limit.cost_s(1) - 1.0).abs() < 1e-12);
        limit.record(answer(1, 0.01), Time::ZERO);
        limit.record(answer(2, 0.03), Time::ZERO);
        assert!((limit.cost_s(3) - 0.02).abs() < 1e-12);
        for class in 3..300 {
            limit.record(answer(class, 0.05), Time::ZERO);
        }
        assert!((limit.cost_s(299) - 0.05).abs() < 1e-12);
        assert!((limit.cost_s(1_000) - 0.05).abs() < 1e-12);
    }
}
