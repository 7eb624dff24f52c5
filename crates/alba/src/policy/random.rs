//! Weighted random.

use super::Context;
use crate::Rng;

pub(super) fn draw(context: &Context<'_>, rng: &mut Rng) -> usize {
    context.candidates.draw(rng)
}
