//! Whom to ask for a report, and how often.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::stamped::ticks_in;
use crate::{Alba, Time};

/// An endpoint whose report is older, in ticks, is worth a probe.
pub(super) const STALE: u32 = ticks_in(Duration::from_millis(250));

/// Probes that may be saved up.
const BANK: f64 = 10.0;

/// Endpoints that were drawn and not well known.
const WANTED: usize = 4;

/// A token in parts, so that a request can pay for a quarter of one.
const PARTS: f64 = 1024.0;

/// No endpoint.
const NONE: u32 = u32::MAX;

/// The budget, and who is next. Any thread may ask.
#[derive(Debug)]
pub(crate) struct Probing {
    wanted: [AtomicU32; WANTED],
    turn: AtomicU32,
    tokens: AtomicU64,
    /// When the rate allows the next probe, in nanoseconds (GCRA).
    allowed_at: AtomicU64,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            wanted: std::array::from_fn(|_| AtomicU32::new(NONE)),
            turn: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            allowed_at: AtomicU64::new(0),
        }
    }
}

impl Probing {
    /// `position` came up as a candidate and its report is old.
    pub(super) fn want(&self, position: u32) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        self.wanted[turn as usize % WANTED].store(position, Ordering::Relaxed);
    }

    /// Pays in for one request and, if there is enough for a probe and somebody wanted, pays out.
    pub(crate) fn next(&self, alba: &Alba, now: Time) -> Option<u32> {
        // Of two threads that pay in or out at once one may be lost: it is a budget, not an account.
        let pay = alba.probes_per_request.clamp(0.0, 1.0) * PARTS;
        let saved = self.tokens.load(Ordering::Relaxed) as f64 + pay;
        let saved = saved.min(BANK * PARTS);
        self.tokens.store(saved as u64, Ordering::Relaxed);
        if saved < PARTS || alba.probes_per_s <= 0.0 {
            return None;
        }
        let gap_ns = (1e9 / alba.probes_per_s) as u64;
        let slack_ns = gap_ns.saturating_mul(BANK as u64);
        let allowed_at = self.allowed_at.load(Ordering::Relaxed);
        let nanos = now.as_nanos();
        if allowed_at > nanos.saturating_add(slack_ns) {
            return None;
        }
        let position = self
            .wanted
            .iter()
            .map(|wanted| wanted.swap(NONE, Ordering::Relaxed))
            .find(|position| *position != NONE)?;
        self.allowed_at.store(
            allowed_at.max(nanos).saturating_add(gap_ns),
            Ordering::Relaxed,
        );
        self.tokens.store((saved - PARTS) as u64, Ordering::Relaxed);
        Some(position)
    }
}
