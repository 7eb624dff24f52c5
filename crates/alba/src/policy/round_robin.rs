//! Smooth weighted round robin.
//!
//! Envoy orders endpoints by an earliest-deadline-first queue per worker and nginx scans running weights on
//! every turn; one needs a lock and the other a scan. Here the round is laid out beforehand ([`crate::wheel`])
//! and one counter, which all threads share, says whose turn it is. With equal weights this is plain round
//! robin in the order of the list.

use std::sync::atomic::Ordering;

use super::Context;
use crate::Rng;

pub(super) fn draw(context: &Context<'_>, rng: &mut Rng) -> usize {
    let mut turn = context.cursor.fetch_add(1, Ordering::Relaxed);
    if turn == 0 {
        // Dispatchers that start together must not all start with the same endpoint (as in Envoy, which
        // seeds its position too). Half the range is left to count in.
        turn = (rng.u64() >> 1).max(1);
        context.cursor.store(turn + 1, Ordering::Relaxed);
    }
    context.candidates.wheel().turn(turn)
}
