//! Which part of a very large list a dispatcher uses.
//!
//! Rendezvous hashing (Thaler and Ravishankar 1998): each dispatcher puts all endpoints in an order of its
//! own, by a hash of its key and their ids, and uses the first that are available. So an endpoint that comes
//! or goes changes at most one member of any dispatcher's part, and over many dispatchers every endpoint is
//! in about equally many parts. (Google's deterministic subsetting is more even, but wants dispatchers
//! numbered from 0 without gaps.)

use crate::policy::place;
use crate::pool::Slot;
use crate::{Endpoint, Locality, Subset};

/// A list in a dispatcher's order.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// Positions, the most wanted first.
    order: Box<[u32]>,
    /// By position: in the dispatcher's own zone.
    local: Box<[bool]>,
    size: usize,
}

impl Ranking {
    pub(crate) fn new(
        subset: &Subset,
        origin: &Locality,
        endpoints: &[Endpoint],
        slots: &[Slot],
    ) -> Self {
        let mut order: Vec<u32> = (0..slots.len() as u32).collect();
        order.sort_by_cached_key(|&position| {
            let id = slots[position as usize].state.id;
            (place(id, subset.key), id)
        });
        let is_local = |endpoint: &Endpoint| {
            let place = &endpoint.locality;
            !origin.zone.is_empty() && place.zone == origin.zone && place.region == origin.region
        };
        Self {
            order: order.into(),
            local: endpoints.iter().map(is_local).collect(),
            size: subset.size.max(1) as usize,
        }
    }

    /// Leaves the dispatcher's part of `candidates`, which must be in order of position.
    pub(crate) fn choose(&self, candidates: &mut Vec<u32>) {
        if candidates.len() <= self.size {
            return;
        }
        let mut open = vec![false; self.order.len()];
        for &position in candidates.iter() {
            open[position as usize] = true;
        }
        candidates.clear();
        let mut take = |limit: usize, may: &dyn Fn(usize) -> bool| {
            for &position in &self.order {
                if candidates.len() == limit {
                    break;
                }
                if open[position as usize] && may(position as usize) {
                    open[position as usize] = false;
                    candidates.push(position);
                }
            }
        };
        take(self.size.div_ceil(2), &|position| self.local[position]);
        take(self.size, &|_| true);
        candidates.sort_unstable();
    }
}
