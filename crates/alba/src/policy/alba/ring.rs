//! The endpoints that were heard of last.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Time;
use crate::stamped::{elapsed_ticks, ticks};

/// Endpoints kept.
pub(super) const LEN: usize = 8;

/// No entry.
const EMPTY: u64 = u64::MAX;

/// Positions in a balancer's list with the time they were heard of. Any thread may push and take.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: [AtomicU64; LEN],
    pushed: AtomicU64,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            entries: std::array::from_fn(|_| AtomicU64::new(EMPTY)),
            pushed: AtomicU64::new(0),
        }
    }
}

impl Ring {
    /// `position` was heard of; the oldest entry makes room.
    pub(super) fn push(&self, position: u32, now: Time) {
        // Two threads may share a place; then one report more is forgotten.
        let pushed = self.pushed.load(Ordering::Relaxed);
        self.pushed.store(pushed.wrapping_add(1), Ordering::Relaxed);
        let index = pushed as usize % LEN;
        let word = u64::from(position) << 32 | u64::from(ticks(now));
        self.entries[index].store(word, Ordering::Relaxed);
    }

    /// Positions and how long ago each was heard of, in ticks.
    pub(super) fn entries(&self, now: Time) -> impl Iterator<Item = (u32, u32)> {
        let now = ticks(now);
        self.entries.iter().filter_map(move |entry| {
            let word = entry.load(Ordering::Relaxed);
            let age = elapsed_ticks(word as u32, now);
            (word != EMPTY).then_some(((word >> 32) as u32, age))
        })
    }

    /// Uses up an entry of `position`, if there is one, so that one report does not draw all requests to its
    /// endpoint.
    pub(super) fn take(&self, position: u32) {
        for entry in &self.entries {
            let word = entry.load(Ordering::Relaxed);
            if (word >> 32) as u32 == position && word != EMPTY {
                // Lost only to a newer entry or another taker, which both are as good.
                let _taken =
                    entry.compare_exchange(word, EMPTY, Ordering::Relaxed, Ordering::Relaxed);
                return;
            }
        }
    }
}
