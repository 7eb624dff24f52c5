//! The learned policy: the endpoint that will answer soonest.
//!
//! Candidates are a few uniform draws and the endpoints that were heard of last ([`ring`]). Each is scored by
//! the time that an answer would take there, learned from what answers took ([`learned`]) and from load
//! reports, weighed by how far reports of their age proved right ([`trust`]); the lowest score wins.
//!
//! ```text
//! q = 3 × own in-flight + others'             others: the mean + trust(age) × (reported − mean)
//! T = max(m (a + b q), silence)               a, b: of the whole pool ([`line`]); m: an endpoint's slowness
//! S = ((T + toll m b q) / p + 5 s (1 − p)²) / w + price
//! ```
//!
//! p is the chance of success against the pool's, w the weight, price that of crossing zones. `silence` is how
//! long the endpoint has not begun an answer while requests wait for one: a hung server shows as soon as it is
//! later than nearly all answers are.

pub(crate) mod learned;
mod line;
pub(crate) mod pool;
pub(crate) mod probing;
pub(crate) mod ring;
mod trust;

use std::time::Duration;

use self::pool::{Means, PoolLearned};
use self::probing::Probing;
use self::ring::Ring;
use super::Context;
use crate::division::covers;
use crate::endpoint::EndpointState;
use crate::stamped::{duration, ticks_in};
use crate::{Alba, Completion, LoadReport, Locality, Outcome, Rng, Time};

/// Most uniform draws.
const MAX_DRAWS: usize = 16;

/// With this many candidates that were heard of lately, the others are left out.
const FRESH_ENOUGH: usize = 3;

/// What the learned policy shares between threads beside what endpoints hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) pool: &'a PoolLearned,
    pub(crate) ring: &'a Ring,
    pub(crate) probing: &'a Probing,
}

/// A later candidate must be better than an earlier one by this share of an idle endpoint's time: among equals,
/// estimates differ by their noise, and always taking the least would send all requests to one of them.
const HARDLY: f64 = 0.01;

/// A request of our own counts as this many: others who see the same endpoint as free decide as we do, and their
/// requests are not yet in any report (C3's concurrency compensation, Suresh and others 2015, counts one per
/// dispatcher; in simulation 3 to 10 are alike).
const OWN: f64 = 3.0;

/// What an endpoint costs that fails always; Linkerd's `penalty_secs`. The square of the chance of failure is
/// charged: one that fails now and then costs little, one that mostly fails is shut out.
const FAILURE_PRICE_S: f64 = 5.0;

/// One endpoint that may be picked.
#[derive(Clone, Copy)]
struct Candidate {
    position: u32,
    /// Requests in flight there, as far as can be told.
    waiting: f64,
    /// Expected cost of one more request there, in seconds.
    score: f64,
}

/// The best of those considered so far.
#[derive(Default)]
struct Search {
    considered: [u32; MAX_DRAWS + ring::LEN],
    count: usize,
    best: Option<Candidate>,
    best_fresh: Option<Candidate>,
    fresh: usize,
}

/// The position of the best candidate, and how many requests are in flight there; `None` if every candidate was tried before.
pub(crate) fn draw(
    context: &Context<'_>,
    alba: &Alba,
    shared: Shared<'_>,
    rng: &mut Rng,
) -> Option<(u32, f32)> {
    let means = shared.pool.means(&alba.without);
    let fresh_ticks = ticks_in(alba.fresh);
    let mut search = Search::default();
    let candidates = context.candidates;
    let mut consider = |position: u32| {
        search.consider(context, alba, shared.probing, &means, fresh_ticks, position);
    };
    let draws = (alba.draws.max(1) as usize).min(MAX_DRAWS);
    let len = candidates.len() as usize;
    if len <= draws {
        // From a random start: on a tie the first candidate wins.
        let start = candidates.draw(rng);
        (start..start + len).for_each(|candidate| consider(candidates.position(candidate % len)));
    } else {
        for _ in 0..draws {
            consider(candidates.position(candidates.draw(rng)));
        }
    }
    if !alba.without.ring {
        for (position, age) in shared.ring.entries(context.now) {
            // They also know what is in the dispatcher's subset.
            if age < fresh_ticks && candidates.has(position) {
                consider(position);
            }
        }
    }
    let best = if search.fresh >= FRESH_ENOUGH {
        search.best_fresh?
    } else {
        search.best?
    };
    shared.ring.take(best.position);
    Some((best.position, best.waiting as f32))
}

impl Search {
    fn consider(
        &mut self,
        context: &Context<'_>,
        alba: &Alba,
        probing: &Probing,
        means: &Means<'_>,
        fresh_ticks: u32,
        position: u32,
    ) {
        if self.considered[..self.count].contains(&position) {
            return;
        }
        if context.avoids(position) {
            return;
        }
        let state = &*context.slots[position as usize].state;
        self.considered[self.count] = position;
        self.count += 1;
        let report = state.learned.report(context.now);
        let others = match report {
            None => means.others,
            Some((others, age)) => {
                means.others + means.trust_in_report(age) * (others - means.others)
            }
        };
        let waiting = OWN * f64::from(state.in_flight()) + others;
        let slowness = state.learned.slowness(means, context.now);
        let time_s = means.line.time_s(waiting) * slowness;
        let toll_s = alba.toll * means.line.slope_s * slowness * waiting;
        let candidate = Candidate {
            position,
            waiting,
            score: score(context, alba, means, position, (time_s, toll_s)),
        };
        let hardly = HARDLY * means.line.base_s;
        keep_better(&mut self.best, candidate, hardly);
        let age = report.map_or(u32::MAX, |(_, age)| age);
        if age < fresh_ticks {
            keep_better(&mut self.best_fresh, candidate, hardly);
            self.fresh += 1;
        }
        if age > probing::STALE {
            probing.want(position);
        }
    }
}

fn keep_better(best: &mut Option<Candidate>, candidate: Candidate, hardly: f64) {
    if best.is_none_or(|best| candidate.score + hardly < best.score) {
        *best = Some(candidate);
    }
}

/// Expected cost of one more request there, in seconds, given its expected time and the toll.
fn score(
    context: &Context<'_>,
    alba: &Alba,
    means: &Means<'_>,
    position: u32,
    (mut time, toll_s): (f64, f64),
) -> f64 {
    let without = &alba.without;
    let slot = &context.slots[position as usize];
    let state = &*slot.state;
    let learned = &state.learned;
    let now = context.now;
    if !without.silence {
        let silence_s = learned.silence_s(state.awaited(), !without.shared, now);
        if silence_s > means.late_s {
            time = time.max(silence_s);
        }
    }
    if !without.toll {
        time += toll_s;
    }
    if !without.success {
        let success = learned.success(means, !without.shared, now);
        if success < 1.0 {
            time = time / success.max(0.1) + FAILURE_PRICE_S * (1.0 - success).powi(2);
        }
    }
    if learned.is_draining(now) {
        time += DRAINING_PRICE_S;
    }
    if slot.weight != 1 || context.slow_start.is_some() {
        time /= f64::from(slot.weight) * slot.fraction(context.slow_start, now);
    }
    if !without.locality {
        time += match context.request.origin {
            Some(origin) if context.is_priced => {
                price_s(alba, origin, &context.endpoints[position as usize].locality)
            }
            _ => slot.price_s,
        };
    }
    time
}

/// A draining endpoint is picked only if nothing else is left.
const DRAINING_PRICE_S: f64 = 1e6;

/// What it costs to go from `from` to `to`, in seconds. Places that are not said are taken to be the same.
pub(crate) fn price_s(alba: &Alba, from: &Locality, to: &Locality) -> f64 {
    let listed = alba
        .prices
        .iter()
        .find(|price| covers(&price.from, from) && covers(&price.to, to));
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
    let price = match listed {
        Some(price) => price.price,
        None if differ(&from.region, &to.region) => alba.region_price,
        None if differ(&from.zone, &to.zone) => alba.zone_price,
        None => Duration::ZERO,
    };
    price.as_secs_f64()
}

/// Learns from how an attempt ended. `position` is where the endpoint stands in the balancer that owns
/// `shared`, if it does. The attempt itself is still counted in flight.
pub(crate) fn complete(
    state: &EndpointState,
    position: Option<u32>,
    alba: &Alba,
    shared: Shared<'_>,
    pick: (Time, f32),
    done: &Completion,
) {
    if done.outcome == Outcome::Cancelled {
        return;
    }
    let learned = &state.learned;
    let success = !done.outcome.is_failure();
    shared.pool.ended(success);
    let (sent, queue) = pick;
    // What came with the answer is as old as its beginning, however long its end took.
    let answered = done.first_byte.unwrap_or(done.at);
    if !done.outcome.is_local_origin() {
        learned.heard(answered);
    }
    let means = shared.pool.means(&alba.without);
    if let Some(report) = &done.report
        && !alba.without.reports
    {
        let own = state.in_flight().saturating_sub(1);
        learned.reported(report, own, &means, shared.pool, answered);
    }
    let time_s = answered.since(sent).as_secs_f64();
    let answer = success.then(|| (time_s, f64::from(queue)));
    learned.ended(answer, &means, shared.pool, done.at);
    if !success {
        return;
    }
    shared.pool.took(time_s);
    if let Some(position) = position {
        shared.ring.push(position, answered);
    }
}

/// An endpoint's slowness as believed, and the age of its report, for people.
pub(crate) fn view(
    state: &EndpointState,
    alba: &Alba,
    pool: &PoolLearned,
    now: Time,
) -> (f64, Option<Duration>) {
    let slowness = state.learned.slowness(&pool.means(&alba.without), now);
    let report = state.learned.report(now);
    (slowness, report.map(|(_, age)| duration(age)))
}

/// Takes a report that came to a probe (`asked`) or by itself. One that came by itself reached all dispatchers
/// at once: if they all went by its count, they would crowd the same endpoints, so only the rest is taken.
pub(crate) fn reported(
    state: &EndpointState,
    position: u32,
    alba: &Alba,
    shared: Shared<'_>,
    report: &LoadReport,
    asked: bool,
    at: Time,
) {
    if alba.without.reports {
        return;
    }
    if asked {
        let own = state.in_flight();
        let means = shared.pool.means(&alba.without);
        state.learned.reported(report, own, &means, shared.pool, at);
        shared.ring.push(position, at);
    } else {
        state.learned.drains(report.draining, at);
    }
}
