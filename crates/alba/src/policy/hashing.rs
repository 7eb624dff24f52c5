//! Consistent hashing: the same hash finds the same endpoint, as far as endpoints stay.
//!
//! What ring and table have in common: bounded load, and where a further try goes. Both are made when the
//! pool is packed, so that a change of health costs a table (milliseconds at 65,537 entries) once, on the
//! thread that notices it first.

use std::sync::atomic::Ordering;

use twox_hash::XxHash3_64;

use super::maglev::Lookup;
use super::ring_hash::Ring;
use super::{Context, random};
use crate::pool::Slot;
use crate::{EndpointId, LoadBound, Policy, Rng};

/// Places looked at for a further try, before any endpoint will do.
const MAX_STEPS: u32 = 1024;

/// Random places looked at for an endpoint with room, before all are compared. With a bound of 1.25 about
/// every fifth endpoint has room, so this is hardly ever reached.
const MAX_PROBES: u64 = 64;

/// Which candidate a hash belongs to.
#[derive(Debug)]
pub(crate) enum Table {
    /// Ketama.
    Ring(Ring),
    /// Maglev.
    Maglev(Lookup),
}

impl Table {
    /// The table that `policy` wants for `candidates` (positions in `slots`); `None` for other policies.
    pub(crate) fn build(policy: &Policy, slots: &[Slot], candidates: &[u32]) -> Option<Self> {
        match *policy {
            Policy::RingHash {
                minimum_ring_size, ..
            } => Some(Self::Ring(Ring::build(
                slots,
                candidates,
                minimum_ring_size,
            ))),
            Policy::Maglev { table_size, .. } => {
                Some(Self::Maglev(Lookup::build(slots, candidates, table_size)))
            }
            _ => None,
        }
    }

    fn home(&self, hash: u64) -> usize {
        match self {
            Self::Ring(ring) => ring.owner(hash),
            Self::Maglev(lookup) => lookup.owner(hash),
        }
    }

    /// Where the `step`-th further try goes: on along the ring, where the hash would belong without the
    /// endpoints before; in a table to the place of another hash (both as Envoy).
    fn beyond(&self, hash: u64, step: u32) -> usize {
        match self {
            Self::Ring(ring) => ring.owner_beyond(hash, step),
            Self::Maglev(lookup) => lookup.owner(rehash(hash, u64::from(step))),
        }
    }
}

/// The endpoint of the request's hash, or a random one without a hash.
pub(super) fn draw(context: &Context<'_>, bound: LoadBound, rng: &mut Rng) -> usize {
    let (Some(hash), Some(table)) = (context.request.hash, context.candidates.table()) else {
        return random::draw(context, rng);
    };
    let tried = |candidate: usize| context.avoids(context.candidates.position(candidate));
    let mut home = table.home(hash);
    if tried(home) {
        home = (1..MAX_STEPS)
            .map(|step| table.beyond(hash, step))
            .find(|candidate| !tried(*candidate))
            .unwrap_or(home);
    }
    let Some(factor) = bound.0 else {
        return home;
    };
    let room = Room::new(context, factor);
    if room.fullness(home) < 1.0 {
        return home;
    }
    // Going on to the next place would pile the overflow of one endpoint onto its neighbours; random places
    // spread it, and the same hash still sees the same ones (Envoy; Chen and others 2021, "Revisiting
    // consistent hashing with bounded loads").
    (1..=MAX_PROBES)
        .map(|probe| table.home(rehash(hash, probe)))
        .find(|candidate| !tried(*candidate) && room.fullness(*candidate) < 1.0)
        .or_else(|| {
            let untried =
                (0..context.candidates.len() as usize).filter(|candidate| !tried(*candidate));
            untried.min_by(|a, b| room.fullness(*a).total_cmp(&room.fullness(*b)))
        })
        .unwrap_or(home)
}

/// How much each endpoint may hold: `⌈factor × (all in flight + 1) × its share of the weight⌉`, where the list is
/// divided of what is in flight as much as its part has of the requests.
struct Room<'a> {
    context: &'a Context<'a>,
    per_weight: f64,
}

impl<'a> Room<'a> {
    fn new(context: &'a Context<'a>, factor: f64) -> Self {
        let in_flight = f64::from(context.in_flight.load(Ordering::Relaxed)) + 1.0;
        let in_flight = in_flight * context.candidates.load();
        // `max` also takes the other side of a NaN.
        let allowed = factor.max(1.0) * in_flight;
        Self {
            context,
            per_weight: allowed / context.candidates.total_weight() as f64,
        }
    }

    /// In flight against what is allowed; below 1 there is room for one more.
    fn fullness(&self, candidate: usize) -> f64 {
        let slot = self.context.slot(candidate);
        let allowed = (self.per_weight * f64::from(slot.weight)).ceil().max(1.0);
        f64::from(slot.state.in_flight()) / allowed
    }
}

/// The place of an endpoint's `replica`.
pub(crate) fn place(id: EndpointId, replica: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(replica, &id.0.to_le_bytes())
}

/// A number from 0 to just below 1 that follows from the hash and is independent of the place that it finds.
pub(super) fn chance(hash: u64) -> f64 {
    const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
    (rehash(hash, u64::MAX) >> 11) as f64 * UNIT
}

/// Another hash for the same request.
fn rehash(hash: u64, step: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(step, &hash.to_le_bytes())
}
