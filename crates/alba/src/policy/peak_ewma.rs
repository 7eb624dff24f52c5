//! Peak-EWMA: two choices on latency times in-flight, as Linkerd does.
//!
//! Cost is `max(latency × (in_flight + 1) / weight, penalty)`, where latency is a peak-sensitive average of
//! the time to the first byte and penalty follows failures (`linkerd/load-biaser`); both decay towards zero
//! while nothing is heard, so that every endpoint is tried again. Division by weight is Finagle's and
//! tower's `Weighted` load. A failure is no latency sample: an endpoint that fails at once would look fast.

use std::time::Duration;

use super::{Context, choices};
use crate::endpoint::EndpointState;
use crate::{Rng, Time, ewma};

/// Linkerd's, for policies that keep the estimate only to show it.
pub(crate) const DEFAULT_DECAY: Duration = Duration::from_secs(10);

/// What one failure costs at first, in seconds; Linkerd's `penalty_secs`.
const FAILURE_PENALTY_S: f64 = 5.0;

pub(super) fn draw(
    context: &Context<'_>,
    decay: Duration,
    default_latency: Duration,
    rng: &mut Rng,
) -> usize {
    let now = context.now;
    choices::cheapest(context.candidates, 2, rng, |candidate| {
        let slot = context.slot(candidate);
        let state = &*slot.state;
        let latency = state.latency.at(now, decay).unwrap_or_else(|| {
            // An assumption ages like a measurement, or too high a one would keep an endpoint unused.
            default_latency.as_secs_f64() * ewma::decayed(now.since(state.since), decay)
        });
        let waiting = f64::from(state.in_flight()) + 1.0;
        let cost = latency * waiting / context.weight(candidate);
        cost.max(state.penalty.at(now, decay).unwrap_or(0.0))
    })
}

/// Remembers a failure.
pub(crate) fn record_failure(state: &EndpointState, at: Time, decay: Duration) {
    state.penalty.record(FAILURE_PENALTY_S, at, decay);
}
