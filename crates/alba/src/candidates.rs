//! Endpoints that are picked among, packed.

use crate::policy::Table;
use crate::pool::Slot;
use crate::wheel::Wheel;
use crate::{Rng, Settings, SlowStart, Time};

/// Some positions of a balancer's list, as policies want them.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// In order.
    positions: Box<[u32]>,
    /// A bit for each position of the list: whether it is a candidate.
    members: Box<[u64]>,
    /// The candidates' weights.
    wheel: Wheel,
    total_weight: u64,
    /// Their share of the requests.
    load: f64,
    /// What consistent hashing looks candidates up in.
    table: Option<Table>,
}

impl Candidates {
    /// `positions` in `slots`, which must be in order, that get a share `load` (0 to 1) of the requests.
    pub(crate) fn pack(
        slots: &[Slot],
        positions: Vec<u32>,
        load: f64,
        settings: &Settings,
        now: Time,
    ) -> Self {
        let mut members = vec![0_u64; slots.len().div_ceil(64)];
        for &position in &positions {
            members[position as usize / 64] |= 1 << (position % 64);
        }
        let weights = positions
            .iter()
            .map(|&position| slots[position as usize].weight);
        let total_weight = weights.clone().map(u64::from).sum();
        let wheel = match settings.eases() {
            Some(slow_start) => eased(slots, &positions, slow_start, now),
            None => Wheel::new(weights),
        };
        // Where hardly anything goes, a table would cost more than it is worth.
        let table = (load > 0.0).then(|| Table::build(&settings.policy, slots, &positions));
        Self {
            positions: positions.into(),
            members: members.into(),
            wheel,
            total_weight,
            load,
            table: table.flatten(),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.positions.len() as u32
    }

    /// Whether the endpoint at `position` of the balancer's list is picked among.
    pub(crate) fn has(&self, position: u32) -> bool {
        let word = self.members.get(position as usize / 64);
        word.is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// The position in the balancer's list of the `candidate`-th one.
    pub(crate) fn position(&self, candidate: usize) -> u32 {
        self.positions[candidate]
    }

    pub(crate) fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    /// Sum of the candidates' weights.
    pub(crate) fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Their share of the requests, 0 to 1.
    pub(crate) fn load(&self) -> f64 {
        self.load
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
