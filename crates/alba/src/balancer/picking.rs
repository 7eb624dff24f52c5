//! Which endpoint a balancer picks.

use super::Balancer;
use crate::candidates::Candidates;
use crate::policy::{self, Context, alba};
use crate::{Pick, PickRequest, Policy, Rng, Time};

/// Draws again this often when an already tried endpoint comes up, before the rest is searched; Istio's
/// `host_selection_retry_max_attempts`.
const REDRAWS: usize = 5;

impl Balancer {
    /// The endpoint for one attempt, counted in flight from here on.
    ///
    /// `None` if there are no endpoints, or none is healthy and in service and `min_health_percent` does
    /// not ask for panic.
    pub fn pick(&self, now: Time, rng: &mut Rng, request: &PickRequest<'_>) -> Option<Pick> {
        let pool = self.pool();
        let candidates = pool.candidates();
        if candidates.len() == 0 {
            return None;
        }
        let context = Context {
            endpoints: &self.endpoints,
            slots: &self.slots,
            candidates,
            cursor: &self.lineage.cursor,
            in_flight: &self.lineage.in_flight,
            request: *request,
            now,
            slow_start: self.settings.eases(),
        };
        if let Policy::Alba(parameters) = &self.settings.policy
            && let Some((position, queue)) = alba::draw(context, parameters, self.shared(), rng)
        {
            let state = &self.slots[position as usize].state;
            return Some(Pick::begin(state, position, now, queue));
        }
        let mut draw = || candidates.position(policy::draw(&self.settings.policy, context, rng));
        let mut position = draw();
        if !request.tried.is_empty() {
            let was_tried = |position: u32| {
                request
                    .tried
                    .contains(&self.slots[position as usize].state.id)
            };
            for _ in 0..REDRAWS {
                if !was_tried(position) {
                    break;
                }
                position = draw();
            }
            if was_tried(position) {
                position = untried(candidates, was_tried, rng).unwrap_or(position);
            }
        }
        let state = &self.slots[position as usize].state;
        let pick = Pick::begin(state, position, now, 0.0);
        Some(if self.is_bounded() {
            pick.counted_in(&self.lineage.in_flight)
        } else {
            pick
        })
    }

    /// Whether the load is bounded, so that what is in flight has to be counted.
    fn is_bounded(&self) -> bool {
        matches!(
            self.settings.policy,
            Policy::RingHash { bound, .. } | Policy::Maglev { bound, .. } if bound.0.is_some()
        )
    }
}

/// Any candidate that was not tried, from a random start so that the search favours none.
fn untried(candidates: &Candidates, was_tried: impl Fn(u32) -> bool, rng: &mut Rng) -> Option<u32> {
    let len = candidates.len() as usize;
    let start = rng.below(candidates.len()) as usize;
    (0..len)
        .map(|step| candidates.position((start + step) % len))
        .find(|position| !was_tried(*position))
}
