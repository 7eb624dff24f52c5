//! The learned policy: the endpoint that will answer soonest.
//!
//! Candidates are a few uniform draws and the endpoints that were heard of last ([`ring`]). Each is scored by
//! the time that an answer would take there, learned from what answers took ([`learned`]) and from load
//! reports, weighed by how far reports of their age proved right ([`trust`]); the lowest score wins.
//!
//! ```text
//! q = own in-flight + others' in-flight       others: the mean + trust(age) × (reported − mean)
//! T = max(m (q + 2), silence)                 m: seconds per request waited for, one number an endpoint
//! S = (T + toll m q + retry (1 − p)) / (p w) + price
//! ```
//!
//! p is the chance of success against the pool's, w the weight, price that of crossing zones. `silence` is how
//! long the endpoint has not answered while requests wait there: a hung server shows at once.

pub(crate) mod learned;
pub(crate) mod pool;
pub(crate) mod probing;
pub(crate) mod ring;
mod trust;

use std::time::Duration;

use self::pool::PoolLearned;
use self::probing::Probing;
use self::ring::{Entry, Ring};
use super::Context;
use crate::endpoint::EndpointState;
use crate::{Alba, Completion, LoadReport, Locality, Outcome, PickRequest, Rng, Time};

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

/// One endpoint that may be picked.
#[derive(Clone, Copy)]
struct Candidate {
    position: u32,
    entry: Option<Entry>,
    fresh: bool,
}

/// The position of the best candidate, and how many requests an answer from there waits for, itself
/// included. The pool is not empty.
pub(crate) fn draw(
    context: Context<'_>,
    alba: &Alba,
    shared: Shared<'_>,
    request: &PickRequest<'_>,
    rng: &mut Rng,
) -> (u32, f32) {
    let now = context.now;
    let pool = context.pool;
    let mut candidates: [Option<Candidate>; MAX_DRAWS + ring::LEN] = [None; _];
    let mut found = 0;
    let mut fresh = 0;
    let mut consider = |position: u32, entry: Option<Entry>| {
        let known = &mut candidates[..found];
        if let Some(twin) = known
            .iter_mut()
            .flatten()
            .find(|twin| twin.position == position)
        {
            twin.entry = twin.entry.or(entry);
            return;
        }
        let state = &*context.slots[position as usize].state;
        if request.tried.contains(&state.id) {
            return;
        }
        let learned = &state.learned;
        let age = learned.report_age(now);
        let is_fresh = age.is_some_and(|age| age < alba.fresh);
        if entry.is_none() && age.is_none_or(|age| age > probing::STALE) {
            shared.probing.want(position);
        }
        candidates[found] = Some(Candidate {
            position,
            entry,
            fresh: is_fresh,
        });
        found += 1;
        fresh += usize::from(is_fresh);
    };
    let draws = (alba.draws.max(1) as usize).min(MAX_DRAWS);
    if pool.len() as usize <= draws {
        (0..pool.len()).for_each(|candidate| consider(pool.position(candidate as usize), None));
    } else {
        for _ in 0..draws {
            consider(pool.position(pool.draw(rng)), None);
        }
    }
    if !alba.without.ring {
        for entry in shared.ring.entries(now) {
            let known = context.slots.get(entry.position as usize);
            let usable = entry.age < alba.fresh
                && known.is_some_and(|slot| pool.is_panicking() || slot.state.is_available());
            if usable {
                consider(entry.position, Some(entry));
            }
        }
    }
    let only_fresh = fresh >= FRESH_ENOUGH;
    let mut best: Option<(f64, &Candidate)> = None;
    for candidate in candidates[..found].iter().flatten() {
        if only_fresh && !candidate.fresh {
            shared.probing.want(candidate.position);
            continue;
        }
        let score = score(context, alba, shared.pool, request, candidate.position);
        if best.is_none_or(|(lowest, _)| score < lowest) {
            best = Some((score, candidate));
        }
    }
    let position = match best {
        Some((_, best)) => {
            if let Some(entry) = &best.entry {
                shared.ring.take(entry);
            }
            best.position
        }
        // Every candidate was tried before.
        None => pool.position(pool.draw(rng)),
    };
    let state = &*context.slots[position as usize].state;
    let waiting = waiting(state, alba, shared.pool, context.now);
    (position, (waiting + 2.0) as f32)
}

/// Requests in flight at an endpoint, all dispatchers' together.
fn waiting(state: &EndpointState, alba: &Alba, pool: &PoolLearned, now: Time) -> f64 {
    let own = f64::from(state.in_flight());
    if alba.without.reports {
        own
    } else {
        own + state.learned.others(pool, !alba.without.trust, now)
    }
}

/// Expected cost of one more request there, in seconds.
fn score(
    context: Context<'_>,
    alba: &Alba,
    pool: &PoolLearned,
    request: &PickRequest<'_>,
    position: u32,
) -> f64 {
    let without = &alba.without;
    let slot = &context.slots[position as usize];
    let state = &*slot.state;
    let learned = &state.learned;
    let now = context.now;
    let waiting = waiting(state, alba, pool, now);
    let (mean_time, mean_waited) = pool.mean_answer();
    let speed = if without.speed {
        mean_time / mean_waited
    } else {
        learned.speed(pool, !without.shared)
    };
    let mut time = speed * (waiting + 2.0);
    if !without.silence {
        time = time.max(learned.silence_s(state.in_flight(), !without.shared, now));
    }
    if !without.toll {
        time += alba.toll * speed * waiting;
    }
    if !without.success {
        let success = learned.success(pool, !without.shared, now);
        time = (time + mean_time * (1.0 - success)) / success;
    }
    if learned.is_draining(now) {
        time += DRAINING_PRICE_S;
    }
    time /= f64::from(slot.weight);
    if !without.locality {
        time += match request.origin {
            None => slot.price_s,
            Some(origin) => price_s(alba, origin, &context.endpoints[position as usize].locality),
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

/// Whether `pattern`, whose empty fields match anything, matches `place`.
fn covers(pattern: &Locality, place: &Locality) -> bool {
    let matches = |pattern: &str, text: &str| pattern.is_empty() || pattern == text;
    matches(&pattern.region, &place.region)
        && matches(&pattern.zone, &place.zone)
        && matches(&pattern.sub_zone, &place.sub_zone)
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
    let learned = &state.learned;
    let (sent, waited_for) = (pick.0, f64::from(pick.1));
    if let Some(took) = done.connect {
        learned.connected(took);
    }
    if done.outcome == Outcome::Cancelled {
        return;
    }
    let success = !done.outcome.is_failure();
    learned.ended(success, done.at);
    shared.pool.ended(success, done.at);
    if !done.outcome.is_local_origin() {
        learned.heard(done.at);
    }
    if let Some(report) = &done.report
        && !alba.without.reports
    {
        let own = state.in_flight().saturating_sub(1);
        learned.reported(report, own, shared.pool, !alba.without.trust, done.at);
    }
    if !success {
        return;
    }
    let answered = done.first_byte.unwrap_or(done.at);
    let took = answered
        .since(sent)
        .saturating_sub(done.connect.unwrap_or_default());
    let time_s = learned.clipped(took.as_secs_f64(), waited_for, shared.pool);
    learned.answered(time_s, waited_for, 1.0, done.at);
    shared.pool.answered(time_s, waited_for);
    if let Some(position) = position {
        shared.ring.push(position, done.at);
    }
}

/// Takes a report that came by itself or to a probe.
pub(crate) fn reported(
    state: &EndpointState,
    position: u32,
    alba: &Alba,
    shared: Shared<'_>,
    report: &LoadReport,
    at: Time,
) {
    if alba.without.reports {
        return;
    }
    let own = state.in_flight();
    state
        .learned
        .reported(report, own, shared.pool, !alba.without.trust, at);
    if report.in_flight.is_some() {
        shared.ring.push(position, at);
    }
}
