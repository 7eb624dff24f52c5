//! The learned policy: the endpoint that will answer soonest.
//!
//! Candidates are a few uniform draws and the endpoints that were heard of last ([`ring`]). Each is scored by
//! the time that an answer would take there, learned from what answers took ([`learned`]) and from load
//! reports, weighed by how far reports of their age proved right ([`trust`]); the lowest score wins.
//!
//! ```text
//! q = own in-flight + others' in-flight       others: the mean + trust(age) × (reported − mean)
//! T = max(m (a + b q), silence)               a, b: of the whole pool ([`line`]); m: an endpoint's slowness
//! S = (T + toll m b q + retry (1 − p)) / (p w) + price
//! ```
//!
//! p is the chance of success against the pool's, w the weight, price that of crossing zones. `silence` is how
//! long the endpoint has not answered while requests wait there: a hung server shows at once.

pub(crate) mod learned;
mod line;
pub(crate) mod pool;
pub(crate) mod probing;
pub(crate) mod ring;
mod trust;

use std::time::Duration;

use smallvec::SmallVec;

use self::pool::{Means, PoolLearned};
use self::probing::Probing;
use self::ring::{Entry, Ring};
use super::Context;
use crate::endpoint::EndpointState;
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

/// A later candidate must be this much better than an earlier one: among equals, estimates differ by their
/// noise, and always taking the least would send all requests to one of them.
const CLEARLY: f64 = 0.99;

/// A request of our own counts as this many: others who see the same endpoint as free decide as we do, and their
/// requests are not yet in any report (C3's concurrency compensation, Suresh and others 2015, counts one per
/// dispatcher; in simulation 3 to 10 are alike).
const OWN: f64 = 3.0;

/// What an endpoint costs that fails always; Linkerd's `penalty_secs`. The square of the chance of failure is
/// charged: one that fails now and then costs little, one that mostly fails is shut out.
const FAILURE_PRICE_S: f64 = 5.0;

/// One endpoint that may be picked.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    position: u32,
    state: &'a EndpointState,
    /// Its report: others' requests in flight, and how old.
    report: Option<(f64, Duration)>,
    /// What is used up if it is picked.
    entry: Option<Entry>,
}

/// The position of the best candidate, and how many requests are in flight there; `None` if every candidate was tried before.
pub(crate) fn draw(
    context: Context<'_>,
    alba: &Alba,
    shared: Shared<'_>,
    rng: &mut Rng,
) -> Option<(u32, f32)> {
    let mut candidates = SmallVec::<[Candidate<'_>; MAX_DRAWS + ring::LEN]>::new();
    gather(context, alba, shared.ring, rng, &mut candidates);
    let is_fresh =
        |candidate: &Candidate<'_>| candidate.report.is_some_and(|(_, age)| age < alba.fresh);
    let fresh = candidates
        .iter()
        .filter(|candidate| is_fresh(candidate))
        .count();
    let means = shared.pool.means(alba);
    let mut best: Option<(f64, f64, &Candidate<'_>)> = None;
    for candidate in &candidates {
        if candidate.report.is_none_or(|(_, age)| age > probing::STALE) {
            shared.probing.want(candidate.position);
        }
        if fresh >= FRESH_ENOUGH && !is_fresh(candidate) {
            continue;
        }
        let waiting = waiting(candidate, &means);
        let score = score(context, alba, &means, candidate, waiting);
        if best.is_none_or(|(lowest, ..)| score < lowest * CLEARLY) {
            best = Some((score, waiting, candidate));
        }
    }
    let (_, waiting, best) = best?;
    if let Some(entry) = &best.entry {
        shared.ring.take(entry);
    }
    Some((best.position, waiting as f32))
}

/// Uniform draws, and endpoints that were heard of last.
fn gather<'a>(
    context: Context<'a>,
    alba: &Alba,
    ring: &Ring,
    rng: &mut Rng,
    candidates: &mut SmallVec<[Candidate<'a>; MAX_DRAWS + ring::LEN]>,
) {
    let (now, pool) = (context.now, context.pool);
    let mut consider = |position: u32, entry: Option<Entry>| {
        if let Some(twin) = candidates.iter_mut().find(|twin| twin.position == position) {
            twin.entry = twin.entry.or(entry);
            return;
        }
        let state = &*context.slots[position as usize].state;
        if context.request.tried.contains(&state.id) {
            return;
        }
        let report = state.learned.report(now);
        candidates.push(Candidate {
            position,
            state,
            report,
            entry,
        });
    };
    let draws = (alba.draws.max(1) as usize).min(MAX_DRAWS);
    let len = pool.len() as usize;
    if len <= draws {
        // From a random start: on a tie the first candidate wins.
        let start = pool.draw(rng);
        (start..start + len).for_each(|candidate| consider(pool.position(candidate % len), None));
    } else {
        for _ in 0..draws {
            consider(pool.position(pool.draw(rng)), None);
        }
    }
    if !alba.without.ring {
        for entry in ring.entries(now) {
            // The pool also knows what is in the dispatcher's subset.
            if entry.age < alba.fresh && pool.has(entry.position) {
                consider(entry.position, Some(entry));
            }
        }
    }
}

/// Requests in flight at an endpoint, all dispatchers' together, as far as can be told.
fn waiting(candidate: &Candidate<'_>, means: &Means) -> f64 {
    let own = f64::from(candidate.state.in_flight());
    let others = match candidate.report {
        None => means.others,
        Some((others, age)) => means.others + means.trust_in_report(age) * (others - means.others),
    };
    OWN * own + others
}

/// Expected cost of one more request there, in seconds.
fn score(
    context: Context<'_>,
    alba: &Alba,
    means: &Means,
    candidate: &Candidate<'_>,
    waiting: f64,
) -> f64 {
    let without = &alba.without;
    let slot = &context.slots[candidate.position as usize];
    let state = candidate.state;
    let learned = &state.learned;
    let now = context.now;
    let slowness = learned.slowness(means, now);
    let mut time = means.line.time_s(waiting) * slowness;
    if !without.silence {
        let silence_s = learned.silence_s(state.in_flight(), !without.shared, now);
        if silence_s > means.late_s {
            time = time.max(silence_s);
        }
    }
    if !without.toll {
        time += alba.toll * means.line.slope_s * slowness * waiting;
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
            None => slot.price_s,
            Some(origin) => price_s(
                alba,
                origin,
                &context.endpoints[candidate.position as usize].locality,
            ),
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
    let (sent, queue) = (pick.0, f64::from(pick.1));
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
    let means = shared.pool.means(alba);
    if let Some(report) = &done.report
        && !alba.without.reports
    {
        let own = state.in_flight().saturating_sub(1);
        learned.reported(report, own, shared.pool, done.at);
    }
    if !success {
        return;
    }
    let answered = done.first_byte.unwrap_or(done.at);
    let took = answered
        .since(sent)
        .saturating_sub(done.connect.unwrap_or_default());
    let time_s = took.as_secs_f64();
    shared.pool.took(time_s, done.at);
    learned.answered(time_s, queue, &means, shared.pool, done.at);
    if let Some(position) = position {
        shared.ring.push(position, done.at);
    }
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
        state.learned.reported(report, own, shared.pool, at);
        shared.ring.push(position, at);
    } else {
        state.learned.drains(report.draining, at);
    }
}
