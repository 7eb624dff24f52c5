//! The endpoints that may be picked right now, packed.

use std::sync::Arc;

use crate::candidates::Candidates;
use crate::division::{Division, Portion, panics};
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
    /// One of them gets the request; levels are in order. None is empty.
    parts: Box<[Part]>,
    available: u32,
    panicking: bool,
}

/// A priority level, a locality, or all there is.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its number in the list's division.
    pub(crate) number: usize,
    /// Who is picked among: the available ones, or all in panic; of these the dispatcher's subset.
    pub(crate) candidates: Candidates,
    /// Its share of the requests and those of all parts before it.
    load_end: f64,
}

impl Pool {
    /// `epoch` must have been read before this is called, so that what changes meanwhile makes it stale.
    pub(crate) fn build(
        slots: &[Slot],
        division: Option<&Division>,
        ranking: Option<&Ranking>,
        settings: &Settings,
        epoch: u64,
        now: Time,
    ) -> Self {
        let min_health_percent = settings
            .outlier_detection
            .as_ref()
            .map_or(0, |outlier| outlier.min_health_percent);
        let available = slots.iter().filter(|slot| slot.state.is_available());
        let available = available.count() as u32;
        let (portions, panicking) = match division {
            Some(division) => division.portions(slots, min_health_percent),
            None => undivided(slots, available, min_health_percent),
        };
        let mut load_end = 0.0;
        let pack = |portion: Portion| {
            let mut positions = portion.positions;
            if let Some(ranking) = ranking {
                ranking.choose(&mut positions);
            }
            load_end += portion.load;
            Part {
                number: portion.part,
                candidates: Candidates::pack(slots, positions, portion.load, settings, now),
                load_end,
            }
        };
        Self {
            epoch,
            parts: portions.into_iter().map(pack).collect(),
            available,
            panicking,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The part that a request goes to, if there is any, by a `chance` of 0 to just below 1.
    pub(crate) fn part(&self, chance: impl FnOnce() -> f64) -> Option<&Part> {
        if let [only] = &*self.parts {
            return Some(only);
        }
        let chance = chance();
        let found = self.parts.partition_point(|part| part.load_end <= chance);
        // Rounded sums may end a little below 1.
        self.parts.get(found).or(self.parts.first())
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether the endpoint at `position` of the balancer's list is picked among.
    pub(crate) fn has(&self, position: u32) -> bool {
        let mut parts = self.parts.iter().map(|part| &part.candidates);
        parts.any(|candidates| candidates.load() > 0.0 && candidates.has(position))
    }

    /// Healthy and not ejected, whether or not in panic.
    pub(crate) fn available(&self) -> u32 {
        self.available
    }

    pub(crate) fn is_panicking(&self) -> bool {
        self.panicking
    }
}

/// All that are available, or all in panic, and whether there is.
fn undivided(slots: &[Slot], available: u32, min_health_percent: u32) -> (Vec<Portion>, bool) {
    let panicking = panics(available as usize, slots.len(), min_health_percent);
    let mut positions = Vec::with_capacity(slots.len());
    positions.extend(
        (0..slots.len() as u32)
            .filter(|&position| panicking || slots[position as usize].state.is_available()),
    );
    let whole = (!positions.is_empty()).then_some(Portion {
        part: 0,
        positions,
        load: 1.0,
    });
    (whole.into_iter().collect(), panicking)
}
