//! Maglev: consistent hashing by look-up (Eisenbud and others 2016, "Maglev: a fast and reliable software
//! network load balancer", section 3.4), with weights as in Envoy's `MAGLEV`
//! (`source/extensions/load_balancing_policies/maglev`).
//!
//! Each endpoint has a permutation of all entries and takes, turn by turn, the first of them that is free.
//! Shares are within a turn of even and a look-up is one load; in exchange an endpoint that goes away moves
//! a few hashes of the others too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hashing::place;
use crate::pool::Slot;

/// Envoy's largest table.
const MAX_TABLE_SIZE: u32 = 5_000_011;

const FREE: u32 = u32::MAX;

/// The candidate of each entry.
#[derive(Debug)]
pub(crate) struct Lookup {
    entries: Box<[u32]>,
}

impl Lookup {
    /// A table of `table_size` entries. A size that is not prime is taken as the next prime, 5,000,011 at
    /// most: the permutations need one. With fewer entries than endpoints some get none; a hundred for each
    /// keep shares within a percent.
    pub(super) fn build(slots: &[Slot], candidates: &[u32], table_size: u32) -> Self {
        let size = prime_from(table_size.clamp(2, MAX_TABLE_SIZE));
        let mut entries = vec![FREE; size as usize].into_boxed_slice();
        // In order of id, so that the order of the list changes nothing.
        let mut order: Vec<u32> = (0..candidates.len() as u32).collect();
        let slot = |candidate: u32| &slots[candidates[candidate as usize] as usize];
        order.sort_unstable_by_key(|&candidate| slot(candidate).state.id);
        let weights: Vec<u32> = order.iter().map(|&c| slot(c).weight).collect();
        let mut walks: Vec<Walk> = order
            .iter()
            .map(|&candidate| Walk::new(slot(candidate), size))
            .collect();
        let turns = Turns::new(&weights);
        for member in turns.take(size as usize) {
            let entry = walks[member].take(&entries);
            entries[entry] = order[member];
        }
        Self { entries }
    }

    pub(super) fn owner(&self, hash: u64) -> usize {
        self.entries[(hash % self.entries.len() as u64) as usize] as usize
    }
}

/// An endpoint's way through its permutation of the entries.
struct Walk {
    next: u32,
    skip: u32,
}

impl Walk {
    fn new(slot: &Slot, size: u32) -> Self {
        let id = slot.state.id;
        Self {
            next: (place(id, 0) % u64::from(size)) as u32,
            skip: (place(id, 1) % u64::from(size - 1)) as u32 + 1,
        }
    }

    /// The next free entry; there must be one.
    fn take(&mut self, entries: &[u32]) -> usize {
        let size = entries.len() as u32;
        loop {
            let entry = self.next as usize;
            // Cannot overflow: both are below a size of at most 5,000,011.
            self.next += self.skip;
            if self.next >= size {
                self.next -= size;
            }
            if entries[entry] == FREE {
                return entry;
            }
        }
    }
}

/// Whose turn it is. The heaviest have one in every round, others in the rounds in which their weights add
/// up to another heaviest weight (Envoy's `target_weight`).
enum Turns<'a> {
    Even {
        members: usize,
        next: usize,
    },
    /// The next round of each member. Envoy looks at every member in every round, which takes long where
    /// one weight outweighs many.
    Weighted {
        rounds: BinaryHeap<Reverse<(u64, usize, u64)>>,
        weights: &'a [u32],
        heaviest: u64,
    },
}

impl<'a> Turns<'a> {
    fn new(weights: &'a [u32]) -> Self {
        let members = weights.len();
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Turns::Even { members, next: 0 };
        }
        Turns::Weighted {
            rounds: (0..members).map(|member| Reverse((1, member, 1))).collect(),
            weights,
            heaviest: weights.iter().copied().max().map_or(1, u64::from),
        }
    }
}

impl Iterator for Turns<'_> {
    type Item = usize;

    /// Ends at once if there are no members, else never.
    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Even { members: 0, .. } => None,
            Self::Even { members, next } => {
                let member = *next;
                *next = (member + 1) % *members;
                Some(member)
            }
            Self::Weighted {
                rounds,
                weights,
                heaviest,
            } => {
                let mut first = rounds.peek_mut()?;
                let Reverse((round, member, taken)) = *first;
                let reached = (taken * *heaviest).div_ceil(u64::from(weights[member]));
                *first = Reverse((reached.max(round + 1), member, taken + 1));
                Some(member)
            }
        }
    }
}

/// Whether [`Policy::Maglev`](crate::Policy::Maglev) takes this `table_size` as it is: a prime up to 5,000,011.
/// Others are taken as the next such prime, or as the largest, so that checks of documents can refuse or tell.
pub fn is_maglev_table_size(size: u64) -> bool {
    u32::try_from(size).is_ok_and(|size| size <= MAX_TABLE_SIZE && is_prime(size))
}

/// The smallest prime that is not below `least`, which must be at least 2.
fn prime_from(least: u32) -> u32 {
    (least..)
        .find(|size| is_prime(*size))
        .expect("there is a prime between any number and its double")
}

/// By trial, which for sizes up to Envoy's largest is some thousand divisions at most.
fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_made_prime() {
        assert_eq!(
            [2, 4, 65_537, 65_536, 5_000_000].map(prime_from),
            [2, 5, 65_537, 65_537, 5_000_011]
        );
    }

    #[test]
    fn primes_up_to_the_largest_are_sizes() {
        for size in [2, 3, 251, 65_537, 5_000_011] {
            assert!(is_maglev_table_size(size), "{size}");
        }
        // The last two: the next prime, and one whose lower half is 5.
        for size in [0, 1, 4, 65_536, 5_000_009, 5_000_077, (1 << 32) + 5] {
            assert!(!is_maglev_table_size(size), "{size}");
        }
    }

    #[test]
    fn turns_are_those_of_envoy() {
        // Envoy's rule, spelled out: a member has its turn in each round in which round × weight reaches its
        // target, which then grows by the heaviest weight.
        fn envoy(weights: &[u32], turns: usize) -> Vec<usize> {
            let heaviest = u64::from(*weights.iter().max().unwrap());
            let mut target = vec![0; weights.len()];
            let mut order = Vec::new();
            for round in 1.. {
                for (member, weight) in weights.iter().enumerate() {
                    if round * u64::from(*weight) < target[member] {
                        continue;
                    }
                    target[member] += heaviest;
                    order.push(member);
                    if order.len() == turns {
                        return order;
                    }
                }
            }
            order
        }
        for weights in [&[1, 1, 1][..], &[1, 2, 7], &[5, 3, 5, 1, 4], &[9]] {
            let turns: Vec<usize> = Turns::new(weights).take(200).collect();
            assert_eq!(turns, envoy(weights, 200), "{weights:?}");
        }
    }
}
