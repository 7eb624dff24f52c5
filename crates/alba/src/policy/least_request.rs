//! Least request: the power of choices on in-flight counts.
//!
//! With equal weights this is Envoy's `LEAST_REQUEST`. With unequal weights Envoy orders all endpoints in a
//! queue by `weight / (in_flight + 1)`, which takes a lock and looks at an endpoint's load only when its turn
//! comes. Here candidates are drawn by weight and compared by in-flight per weight (Wieder 2007, balanced
//! allocations with heterogeneous bins): an idle pool is used in proportion to weight, as in Envoy, and a
//! busy one evens out in-flight per weight.

use super::{Context, choices};
use crate::Rng;

pub(super) fn draw(context: &Context<'_>, choices: u32, rng: &mut Rng) -> usize {
    choices::cheapest(context.candidates, choices.max(2), rng, |candidate| {
        let slot = context.slot(candidate);
        f64::from(slot.state.in_flight()) / context.weight(candidate)
    })
}
