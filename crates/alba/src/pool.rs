//! The endpoints that may be picked right now, packed.

use std::sync::Arc;

use crate::candidates::Candidates;
use crate::endpoint::EndpointState;
use crate::subset::Ranking;
use crate::{Settings, SlowStart, Time};

/// One position of a balancer's list, as the hot path needs it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) state: Arc<EndpointState>,
    /// At least 1.
    pub(crate) weight: u32,
    /// What crossing to its zone costs from where the dispatcher runs, in seconds.
    pub(crate) price_s: f64,
}

impl Slot {
    /// The share of its weight, above 0 and at most 1, that slow start gives it at `now`.
    pub(crate) fn fraction(&self, slow_start: Option<&SlowStart>, now: Time) -> f64 {
        slow_start.map_or(1.0, |slow_start| {
            slow_start.fraction(&self.state.joined, now)
        })
    }
}

/// What health and ejection leave of a balancer's list, as of one epoch of its lineage.
///
/// Immutable: a change of health or ejection makes a new one, so that picks neither scan nor lock.
#[derive(Debug)]
pub(crate) struct Pool {
    epoch: u64,
    /// Who is picked among: the available ones, or all in panic; of these the dispatcher's subset.
    candidates: Candidates,
    available: u32,
    panicking: bool,
}

impl Pool {
    /// `epoch` must have been read before this is called, so that what changes meanwhile makes it stale.
    pub(crate) fn build(
        slots: &[Slot],
        ranking: Option<&Ranking>,
        settings: &Settings,
        epoch: u64,
        now: Time,
    ) -> Self {
        let len = slots.len() as u32;
        let mut positions: Vec<u32> = Vec::with_capacity(slots.len());
        positions
            .extend((0..len).filter(|&position| slots[position as usize].state.is_available()));
        let available = positions.len() as u32;
        let min_health_percent = settings
            .outlier_detection
            .as_ref()
            .map_or(0, |outlier| outlier.min_health_percent);
        let panicking =
            u64::from(available) * 100 < u64::from(min_health_percent.min(100)) * u64::from(len);
        if panicking {
            positions.clear();
            positions.extend(0..len);
        }
        if let Some(ranking) = ranking {
            ranking.choose(&mut positions);
        }
        Self {
            epoch,
            candidates: Candidates::pack(slots, positions, settings, now),
            available,
            panicking,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Whether the endpoint at `position` of the balancer's list is picked among.
    pub(crate) fn has(&self, position: u32) -> bool {
        self.candidates.has(position)
    }

    /// Healthy and not ejected, whether or not in panic.
    pub(crate) fn available(&self) -> u32 {
        self.available
    }

    pub(crate) fn is_panicking(&self) -> bool {
        self.panicking
    }
}
