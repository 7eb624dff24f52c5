//! The algorithms: which candidate of a pool comes next. One file each.

pub(crate) mod alba;
mod choices;
mod hashing;
mod least_request;
mod maglev;
mod peak_ewma;
mod random;
mod ring_hash;
mod round_robin;

use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::candidates::Candidates;
use crate::pool::Slot;
use crate::{Endpoint, Locality, PickRequest, Policy, Rng, SlowStart, Time};

pub(crate) use hashing::{Table, place};
pub use maglev::is_maglev_table_size;
pub(crate) use peak_ewma::DEFAULT_DECAY;
pub(crate) use peak_ewma::record_failure;

/// What an algorithm sees for one pick. There is a candidate.
pub(crate) struct Context<'a> {
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) slots: &'a [Slot],
    pub(crate) candidates: &'a Candidates,
    /// Whose turn it is, shared by all threads and snapshots.
    pub(crate) cursor: &'a AtomicU64,
    /// All that is in flight, counted only if hashing is to bound the load.
    pub(crate) in_flight: &'a AtomicU32,
    pub(crate) request: PickRequest<'a>,
    /// Localities to avoid, besides the endpoints that the request says were tried.
    pub(crate) avoided: &'a [&'a Locality],
    /// Crossings have their prices.
    pub(crate) is_priced: bool,
    pub(crate) now: Time,
    /// How endpoints are eased in.
    pub(crate) slow_start: Option<&'a SlowStart>,
}

impl<'a> Context<'a> {
    /// A candidate's effective weight, above 0.
    fn weight(&self, candidate: usize) -> f64 {
        let slot = self.slot(candidate);
        f64::from(slot.weight) * slot.fraction(self.slow_start, self.now)
    }

    /// Whether the endpoint at `position` of the list is only for when nothing else is left.
    #[inline]
    pub(crate) fn avoids(&self, position: u32) -> bool {
        // A first attempt, as nearly all are, must not pay for further ones.
        !self.request.tried.is_empty() && self.was_tried(position)
    }

    #[cold]
    fn was_tried(&self, position: u32) -> bool {
        let position = position as usize;
        self.request.tried.contains(&self.slots[position].state.id)
            || self.avoided.contains(&&self.endpoints[position].locality)
    }

    /// The slot of a candidate.
    fn slot(&self, candidate: usize) -> &'a Slot {
        &self.slots[self.candidates.position(candidate) as usize]
    }
}

/// A number from 0 to just below 1 that says which part of a divided list a request goes to: by its hash, where
/// the policy hashes (as Envoy), since the same key must find the same endpoint.
pub(crate) fn chance(policy: &Policy, hash: Option<u64>, rng: &mut Rng) -> f64 {
    match (policy, hash) {
        (Policy::RingHash { .. } | Policy::Maglev { .. }, Some(hash)) => hashing::chance(hash),
        _ => rng.unit(),
    }
}

/// One draw: one of the context's candidates.
pub(crate) fn draw(policy: &Policy, context: &Context<'_>, rng: &mut Rng) -> usize {
    match *policy {
        Policy::RoundRobin => round_robin::draw(context, rng),
        Policy::Random => random::draw(context, rng),
        Policy::LeastRequest { choices } => least_request::draw(context, choices, rng),
        Policy::PeakEwma {
            decay,
            default_latency,
        } => peak_ewma::draw(context, decay, default_latency, rng),
        // Its own candidates, from `alba::draw`, were all tried before.
        Policy::Alba(_) => random::draw(context, rng),
        Policy::RingHash { bound, .. } | Policy::Maglev { bound, .. } => {
            hashing::draw(context, bound, rng)
        }
    }
}
