//! The power of choices: the cheapest of a few random candidates (Mitzenmacher 2001).

use crate::Rng;
use crate::candidates::Candidates;

/// The cheapest of `choices` candidates, drawn by weight and each different from the cheapest before it.
///
/// On a tie the earlier draw stays, so that an idle pool is used by weight alone. Envoy draws with
/// replacement; with few endpoints that wastes many comparisons on an endpoint against itself (half of
/// them with two), so here draws differ, and `choices` at or above their number compares all.
pub(super) fn cheapest(
    candidates: &Candidates,
    choices: u32,
    rng: &mut Rng,
    cost: impl Fn(usize) -> f64,
) -> usize {
    let len = candidates.len() as usize;
    let first = candidates.draw(rng);
    if len == 1 {
        return first;
    }
    let (mut best, mut best_cost) = (first, cost(first));
    let all = len <= choices as usize;
    let others = if all { len } else { choices as usize };
    for step in 1..others {
        let other = if all {
            (first + step) % len
        } else {
            candidates.draw_other(best, rng)
        };
        let other_cost = cost(other);
        if other_cost < best_cost {
            (best, best_cost) = (other, other_cost);
        }
    }
    best
}
