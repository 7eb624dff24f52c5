//! The endpoints that were heard of last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Time;
use crate::stamped::{duration, elapsed_ticks, ticks};

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

/// An entry that can be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) position: u32,
    pub(super) age: Duration,
    index: usize,
    word: u64,
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
        let index = self.pushed.fetch_add(1, Ordering::Relaxed) as usize % LEN;
        let word = u64::from(position) << 32 | u64::from(ticks(now));
        self.entries[index].store(word, Ordering::Relaxed);
    }

    pub(super) fn entries(&self, now: Time) -> impl Iterator<Item = Entry> {
        let now = ticks(now);
        self.entries
            .iter()
            .enumerate()
            .filter_map(move |(index, entry)| {
                let word = entry.load(Ordering::Relaxed);
                (word != EMPTY).then(|| Entry {
                    position: (word >> 32) as u32,
                    age: duration(elapsed_ticks(word as u32, now)),
                    index,
                    word,
                })
            })
    }

    /// Uses an entry up, so that one report does not draw all requests to its endpoint.
    pub(super) fn take(&self, entry: &Entry) {
        // Lost only to a newer entry or another taker, which both are as good.
        let _taken = self.entries[entry.index].compare_exchange(
            entry.word,
            EMPTY,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}
