//! Ring hash: Ketama, as Envoy's `RING_HASH` (`source/extensions/load_balancing_policies/ring_hash`).
//!
//! Every endpoint has places on a circle of all 64-bit numbers, as many as it weighs; a hash belongs to the
//! first place at or after it. The places of an endpoint follow from its id alone, so an endpoint that goes
//! away gives its hashes to its neighbours on the circle and moves no others.

use super::hashing::place;
use crate::pool::Slot;

/// Envoy's default `maximum_ring_size` and the most that it allows.
const MAX_RING_SIZE: u32 = 8 << 20;

/// Places in order.
#[derive(Debug)]
pub(crate) struct Ring {
    places: Box<[u64]>,
    /// The candidate at each place.
    owners: Box<[u32]>,
}

impl Ring {
    /// Envoy's sizes: the lightest endpoint gets a whole number of places, and all together at least
    /// `minimum_ring_size` (1 to 8 Mi; more is taken as 8 Mi).
    ///
    /// The size follows from the whole list and not, as in Envoy, from who is well: an ejection then
    /// moves the hashes of the ejected endpoint only.
    pub(super) fn build(slots: &[Slot], candidates: &[u32], minimum_ring_size: u32) -> Self {
        let weight = |position: &u32| f64::from(slots[*position as usize].weight);
        let total: f64 = slots.iter().map(|slot| f64::from(slot.weight)).sum();
        let lightest = slots.iter().map(|slot| slot.weight).min().unwrap_or(1);
        let lightest = f64::from(lightest) / total;
        let minimum = f64::from(minimum_ring_size.clamp(1, MAX_RING_SIZE));
        let scale = ((lightest * minimum).ceil() / lightest).min(f64::from(MAX_RING_SIZE));
        let mut ring = Vec::new();
        for (owner, position) in (0_u32..).zip(candidates) {
            let id = slots[*position as usize].state.id;
            // At least one: with very unequal weights the largest ring has too few places.
            let replicas = (scale * weight(position) / total).round().max(1.0) as u64;
            ring.extend((0..replicas).map(|replica| (place(id, replica), id, owner)));
        }
        ring.sort_unstable();
        Self {
            places: ring.iter().map(|(place, ..)| *place).collect(),
            owners: ring.iter().map(|(.., owner)| *owner).collect(),
        }
    }

    pub(super) fn owner(&self, hash: u64) -> usize {
        self.owner_beyond(hash, 0)
    }

    /// The owner of the place that comes `step` places after the hash's own.
    pub(super) fn owner_beyond(&self, hash: u64, step: u32) -> usize {
        let own = self.places.partition_point(|place| *place < hash);
        self.owners[(own + step as usize) % self.owners.len()] as usize
    }
}
