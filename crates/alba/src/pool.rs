//! The endpoints that may be picked right now, packed.

use std::sync::Arc;

use crate::endpoint::EndpointState;
use crate::policy::Table;
use crate::subset::Ranking;
use crate::wheel::Wheel;
use crate::{Rng, Settings, SlowStart, Time};

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
    /// Positions in the balancer's list that are picked among, in order: the available ones, or all in
    /// panic; of these the dispatcher's subset.
    candidates: Box<[u32]>,
    /// A bit for each position of the list: whether it is a candidate.
    members: Box<[u64]>,
    /// The candidates' weights.
    wheel: Wheel,
    total_weight: u64,
    /// What consistent hashing looks candidates up in.
    table: Option<Table>,
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
        let mut candidates: Vec<u32> = Vec::with_capacity(slots.len());
        candidates
            .extend((0..len).filter(|&position| slots[position as usize].state.is_available()));
        let available = candidates.len() as u32;
        let min_health_percent = settings
            .outlier_detection
            .as_ref()
            .map_or(0, |outlier| outlier.min_health_percent);
        let panicking =
            u64::from(available) * 100 < u64::from(min_health_percent.min(100)) * u64::from(len);
        if panicking {
            candidates.clear();
            candidates.extend(0..len);
        }
        if let Some(ranking) = ranking {
            ranking.choose(&mut candidates);
        }
        let mut members = vec![0_u64; slots.len().div_ceil(64)];
        for &position in &candidates {
            members[position as usize / 64] |= 1 << (position % 64);
        }
        let weights = candidates
            .iter()
            .map(|&position| slots[position as usize].weight);
        let total_weight = weights.clone().map(u64::from).sum();
        let wheel = match settings.eases() {
            Some(slow_start) => eased(slots, &candidates, slow_start, now),
            None => Wheel::new(weights),
        };
        let table = Table::build(&settings.policy, slots, &candidates);
        Self {
            epoch,
            candidates: candidates.into(),
            members: members.into(),
            wheel,
            total_weight,
            table,
            available,
            panicking,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn len(&self) -> u32 {
        self.candidates.len() as u32
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Whether the endpoint at `position` of the balancer's list is picked among.
    pub(crate) fn has(&self, position: u32) -> bool {
        let word = self.members.get(position as usize / 64);
        word.is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// The position in the balancer's list of the `candidate`-th candidate.
    pub(crate) fn position(&self, candidate: usize) -> u32 {
        self.candidates[candidate]
    }

    /// Healthy and not ejected, whether or not in panic.
    pub(crate) fn available(&self) -> u32 {
        self.available
    }

    pub(crate) fn is_panicking(&self) -> bool {
        self.panicking
    }

    pub(crate) fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    /// Sum of the candidates' weights.
    pub(crate) fn total_weight(&self) -> u64 {
        self.total_weight
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// A candidate by weighted chance.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        match &self.wheel {
            Wheel::Even { .. } => rng.below(self.len()) as usize,
            weighted => weighted.owner(rng.below_u64(weighted.places())),
        }
    }

    /// A candidate other than `taken` by weighted chance; there must be another.
    pub(crate) fn draw_other(&self, taken: usize, rng: &mut Rng) -> usize {
        /// Enough for a miss to be rare unless one weight outweighs all others together.
        const REDRAWS: usize = 4;
        if let Wheel::Weighted { .. } = self.wheel {
            for _ in 0..REDRAWS {
                let other = self.draw(rng);
                if other != taken {
                    return other;
                }
            }
        }
        let other = rng.below(self.len() - 1) as usize;
        if other >= taken { other + 1 } else { other }
    }
}

/// The wheel of what slow start leaves of the weights.
fn eased(slots: &[Slot], candidates: &[u32], slow_start: &SlowStart, now: Time) -> Wheel {
    /// Fine enough for steps of a fiftieth.
    const FINEST: u32 = 256;
    let slots = || candidates.iter().map(|&position| &slots[position as usize]);
    if slots().all(|slot| slot.fraction(Some(slow_start), now) >= 1.0) {
        return Wheel::new(slots().map(|slot| slot.weight));
    }
    let heaviest = slots().map(|slot| slot.weight).max().unwrap_or(1);
    let scale = f64::from(FINEST.min(u32::MAX / heaviest));
    Wheel::new(slots().map(|slot| {
        let share = slot.fraction(Some(slow_start), now);
        ((f64::from(slot.weight) * scale * share).round() as u32).max(1)
    }))
}
