//! Which endpoint a balancer picks.

use super::Balancer;
use crate::policy::{self, Context, alba};
use crate::pool::{Part, Pool};
use crate::{Locality, LocalityPolicy, Pick, PickRequest, Policy, Rng, Time};

/// Draws again this often when an endpoint comes up that was tried, before the rest is searched; Istio's
/// `host_selection_retry_max_attempts`.
const REDRAWS: usize = 5;

impl Balancer {
    /// The endpoint for one attempt, counted in flight from here on.
    ///
    /// `None` if there are no endpoints, or none is healthy and in service and `min_health_percent` does
    /// not ask for panic.
    pub fn pick(&self, now: Time, rng: &mut Rng, request: &PickRequest<'_>) -> Option<Pick> {
        let pool = self.pool();
        if !request.tried.is_empty() && (request.avoid_localities || pool.parts().len() > 1) {
            let tried = request.tried.iter().filter_map(|id| self.find(*id));
            let avoided: Vec<&Locality> = tried
                .filter(|_| request.avoid_localities)
                .map(|position| &self.endpoints[position as usize].locality)
                .collect();
            let context = self.part_again(&pool, &avoided, now, rng, request)?;
            return Some(self.pick_in(&context, rng));
        }
        let part = pool.part(|| policy::chance(&self.settings.policy, request.hash, rng))?;
        Some(self.pick_in(&self.context(part, &[], now, request), rng))
    }

    /// The part for a further attempt: one that has somebody who was not tried, if a few draws find one. So
    /// that it is in none of the `avoided` localities, any part will do, the most wanted first (Envoy's
    /// `previous_priorities`).
    #[cold]
    fn part_again<'a>(
        &'a self,
        pool: &'a Pool,
        avoided: &'a [&'a Locality],
        now: Time,
        rng: &mut Rng,
        request: &PickRequest<'a>,
    ) -> Option<Context<'a>> {
        // A key whose own part has nobody left goes anywhere.
        let mut draw = |step: usize| {
            let hash = request.hash.filter(|_| step == 0);
            pool.part(|| policy::chance(&self.settings.policy, hash, rng))
        };
        let wanted = |part, avoided| {
            let context = self.context(part, avoided, now, request);
            let len = context.candidates.len() as usize;
            (0..len)
                .any(|candidate| !context.avoids(context.candidates.position(candidate)))
                .then_some(context)
        };
        if !avoided.is_empty() {
            let drawn = (0..REDRAWS).find_map(|step| wanted(draw(step)?, avoided));
            let elsewhere =
                drawn.or_else(|| pool.parts().iter().find_map(|part| wanted(part, avoided)));
            if elsewhere.is_some() {
                return elsewhere;
            }
        }
        let drawn = (0..REDRAWS).find_map(|step| wanted(draw(step)?, &[]));
        drawn.or_else(|| Some(self.context(draw(0)?, &[], now, request)))
    }

    fn context<'a>(
        &'a self,
        part: &'a Part,
        avoided: &'a [&'a Locality],
        now: Time,
        request: &PickRequest<'a>,
    ) -> Context<'a> {
        let division = self.division.as_ref();
        Context {
            endpoints: &self.endpoints,
            slots: &self.slots,
            candidates: &part.candidates,
            cursor: division.map_or(&self.lineage.cursor, |division| {
                division.cursor(part.number)
            }),
            in_flight: &self.lineage.in_flight,
            request: *request,
            avoided,
            is_priced: matches!(self.settings.locality, LocalityPolicy::Prices),
            now,
            slow_start: self.settings.eases(),
        }
    }

    fn pick_in(&self, context: &Context<'_>, rng: &mut Rng) -> Pick {
        let now = context.now;
        if let Policy::Alba(parameters) = &self.settings.policy
            && let Some((position, queue)) = alba::draw(context, parameters, self.shared(), rng)
        {
            let state = &self.slots[position as usize].state;
            return Pick::begin(state, position, now, queue);
        }
        let candidates = context.candidates;
        let mut draw = || candidates.position(policy::draw(&self.settings.policy, context, rng));
        let mut position = draw();
        if !context.request.tried.is_empty() {
            for _ in 0..REDRAWS {
                if !context.avoids(position) {
                    break;
                }
                position = draw();
            }
            if context.avoids(position) {
                position = unavoided(context, rng).unwrap_or(position);
            }
        }
        let state = &self.slots[position as usize].state;
        let pick = Pick::begin(state, position, now, 0.0);
        if self.is_bounded() {
            pick.counted_in(&self.lineage.in_flight)
        } else {
            pick
        }
    }

    /// Whether the load is bounded, so that what is in flight has to be counted.
    fn is_bounded(&self) -> bool {
        matches!(
            self.settings.policy,
            Policy::RingHash { bound, .. } | Policy::Maglev { bound, .. } if bound.0.is_some()
        )
    }
}

/// Any candidate that is not to be avoided, from a random start so that the search favours none.
fn unavoided(context: &Context<'_>, rng: &mut Rng) -> Option<u32> {
    let candidates = context.candidates;
    let len = candidates.len() as usize;
    let start = rng.below(candidates.len()) as usize;
    (0..len)
        .map(|step| candidates.position((start + step) % len))
        .find(|position| !context.avoids(*position))
}
