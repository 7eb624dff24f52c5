//! How much an HTTP/2 peer may make us do without being of use.
//!
//! The h2 crate cuts off what breaks the protocol and some floods (CONTINUATION, empty DATA, resets of
//! streams that we have not yet taken, errors that we answer with a reset), but not frames that are legal
//! and cheap to send: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, frames of unknown types, requests that are
//! cancelled once we work on them. So frames are counted here, by their nine-byte headers, as the bytes
//! pass. A peer's credit shrinks with every such frame and grows with time, with bytes of body and with
//! requests that were answered: who does real work never runs out.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a connection begins with, and the most it can save up. A flood costs us at most so many of the
/// cheapest frames before it is cut off, well under 0.1 s of CPU; the busiest client that was seen sends a
/// few hundred at once.
const CREDIT: i32 = 5_000;

/// Credit regained per second: so many cheap frames cost us about 0.1 % of a core.
const REGAINED_PER_S: u64 = 1_000;

/// Bytes of body, in either direction, that regain one: window updates come one per few KiB of body.
const BYTES_PER_CREDIT: usize = 1_024;

/// Regained for every piece of body that we send: gRPC's estimate of the bandwidth answers each with a
/// PING and a WINDOW_UPDATE.
const DATA_SENT: i32 = 2;

/// Regained when a request has ended as it should. Its own HEADERS, WINDOW_UPDATE and PRIORITY cost less.
const REQUEST_DONE: i32 = 10;

/// What a request costs that its client cancels before any answer and within [`PREMATURE`]: 500 in a row
/// end the connection, as with Envoy's `premature_reset_total_stream_count`.
const REQUEST_CANCELLED: i32 = 10;

/// What a request costs that breaks the rules or the limits: its head may be as large as they allow, and
/// HTTP/1.1 closes the connection at the first. 100 in a row end it.
const REQUEST_REFUSED: i32 = 50;

/// A request that was cancelled later than this ran into its client's timeout rather than being a flood's.
const PREMATURE: Duration = Duration::from_secs(1);

/// A SETTINGS frame may make us touch every stream of the connection.
const SETTINGS_COST: i32 = 10;

/// What is left of a peer's credit, shared by all who see what it does.
#[derive(Debug)]
pub(crate) struct Credit {
    left: Cell<i32>,
    /// Until when time has been turned into credit.
    regained: Cell<Instant>,
    spent: Cell<bool>,
    /// Since when a head has been coming in, while it has begun and not ended.
    head_since: Cell<Option<Instant>>,
}

impl Credit {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: Cell::new(CREDIT),
            regained: Cell::new(now),
            spent: Cell::new(false),
            head_since: Cell::new(None),
        }
    }

    /// Whether the peer has to be cut off. Stays so.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Since when the peer has been sending one head.
    pub(crate) fn head_since(&self) -> Option<Instant> {
        self.head_since.get()
    }

    /// A request of the connection ended as it should.
    pub(crate) fn request_done(&self) {
        self.regain(REQUEST_DONE);
    }

    /// The client cancelled a request that began at `started` before it was answered.
    pub(crate) fn request_cancelled(&self, started: Instant, now: Instant) {
        if now.saturating_duration_since(started) < PREMATURE {
            self.charge(REQUEST_CANCELLED, || now);
        }
    }

    /// A request of the connection had to be refused.
    pub(crate) fn request_refused(&self, now: Instant) {
        self.charge(REQUEST_REFUSED, || now);
    }

    fn regain(&self, amount: i32) {
        self.left
            .set(self.left.get().saturating_add(amount).min(CREDIT));
    }

    /// Asks for the time only when all else is used up.
    fn charge(&self, cost: i32, now: impl FnOnce() -> Instant) {
        self.left.set(self.left.get() - cost);
        if self.left.get() >= 0 {
            return;
        }
        let now = now();
        let passed = now.saturating_duration_since(self.regained.replace(now));
        let amount = passed.as_millis().saturating_mul(REGAINED_PER_S.into()) / 1_000;
        self.regain(i32::try_from(amount).unwrap_or(CREDIT));
        if self.left.get() < 0 {
            self.spent.set(true);
        }
    }
}

/// Bytes of body as credit.
fn body_credit(bytes: usize) -> i32 {
    i32::try_from(bytes / BYTES_PER_CREDIT).unwrap_or(CREDIT)
}

/// Length of a frame's header (RFC 9113 section 4.1).
const HEADER: usize = 9;

// Frame types and flags (RFC 9113 section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Settles the cost of the frames that pass.
#[derive(Debug)]
pub(crate) struct FrameGuard {
    received: Frames,
    sent: Frames,
    /// A header block has begun and its last frame has not.
    open_block: bool,
    /// The frame that is coming in is the last of a header block.
    last_of_block: bool,
}

impl FrameGuard {
    /// `preface`: how many bytes the peer sends before its first frame.
    pub(crate) fn new(preface: usize) -> Self {
        Self {
            received: Frames::after(preface),
            sent: Frames::after(0),
            open_block: false,
            last_of_block: false,
        }
    }

    /// Takes bytes that the peer sent, in whatever pieces they come. `now` is asked rarely.
    pub(crate) fn received(
        &mut self,
        mut bytes: &[u8],
        credit: &Credit,
        now: impl Fn() -> Instant,
    ) {
        while let Some(frame) = self.received.next(&mut bytes) {
            if matches!(frame.kind, HEADERS | CONTINUATION) {
                self.last_of_block = frame.flags & END_HEADERS != 0;
                self.open_block = !self.last_of_block;
            } else {
                self.last_of_block = false;
            }
            match frame.kind {
                DATA if frame.length > 0 || frame.flags & END_STREAM != 0 => {
                    credit.regain(body_credit(frame.length));
                }
                SETTINGS => credit.charge(SETTINGS_COST, &now),
                _ => credit.charge(1, &now),
            }
        }
        let in_head = self.open_block || (self.last_of_block && self.received.is_within());
        match credit.head_since.get() {
            Some(_) if !in_head => credit.head_since.set(None),
            None if in_head => credit.head_since.set(Some(now())),
            _ => {}
        }
    }

    /// Takes bytes that were sent to the peer.
    pub(crate) fn sent(&mut self, mut bytes: &[u8], credit: &Credit) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            if frame.kind == DATA && frame.length > 0 {
                credit.regain(DATA_SENT.saturating_add(body_credit(frame.length)));
            }
        }
    }
}

/// Finds the frames' headers in one direction of a connection.
#[derive(Debug)]
struct Frames {
    header: [u8; HEADER],
    /// Bytes of `header` that have come.
    have: usize,
    /// Bytes until the next header.
    skip: usize,
}

/// What a header says.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    length: usize,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self {
            header: [0; HEADER],
            have: 0,
            skip,
        }
    }

    /// Whether payload is still to come.
    fn is_within(&self) -> bool {
        self.skip > 0
    }

    /// The next frame whose header is complete; takes the bytes up to there.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let rest = &bytes[skipped..];
        let taken = (HEADER - self.have).min(rest.len());
        self.header[self.have..self.have + taken].copy_from_slice(&rest[..taken]);
        self.have += taken;
        *bytes = &rest[taken..];
        if self.have < HEADER {
            return None;
        }
        self.have = 0;
        let [high, middle, low, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
        Some(Frame {
            kind,
            flags,
            length: self.skip,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + payload, 0xff);
        bytes
    }

    const PING: u8 = 0x6;
    const RST_STREAM: u8 = 0x3;

    /// How many such frames pass at one instant before the peer is cut off; `None` if a million do.
    fn passes(frames: &[Vec<u8>]) -> Option<usize> {
        let start = Instant::now();
        let credit = Credit::new(start);
        let mut guard = FrameGuard::new(0);
        for passed in 0..1_000_000 {
            guard.received(&frames[passed % frames.len()], &credit, || start);
            if credit.is_spent() {
                return Some(passed);
            }
        }
        None
    }

    #[test]
    fn floods_are_cut_off_and_work_is_not() {
        for kind in [PING, RST_STREAM, 0x2, 0x8, CONTINUATION, 0xbe] {
            assert_eq!(passes(&[frame(kind, 0, 8)]), Some(5_000), "type {kind}");
        }
        assert_eq!(passes(&[frame(SETTINGS, 0, 6)]), Some(500));
        assert_eq!(passes(&[frame(DATA, 0, 0)]), Some(5_000));
        assert_eq!(passes(&[frame(DATA, 0, 100)]), None);
        assert_eq!(passes(&[frame(DATA, 0, 4_096), frame(0x8, 0, 4)]), None);
        assert_eq!(
            passes(&[frame(DATA, 0, 100), frame(PING, 0, 8)]),
            Some(10_001)
        );
    }

    #[test]
    fn time_body_and_answers_give_credit_back() {
        let start = Instant::now();
        let credit = Credit::new(start);
        let mut guard = FrameGuard::new(0);
        let mut pings = |count: usize, now: Instant| {
            guard.received(&frame(PING, 0, 8).repeat(count), &credit, || now);
            credit.is_spent()
        };
        assert!(!pings(5_000, start));
        assert!(!pings(2_000, start + Duration::from_secs(2)));
        FrameGuard::new(0).sent(&frame(DATA, 0, 100 * 1_024), &credit);
        credit.request_done();
        assert!(!pings(112, start + Duration::from_secs(2)));
        assert!(pings(1, start + Duration::from_secs(2)));
    }

    #[test]
    fn a_hundred_refusals_are_enough() {
        let start = Instant::now();
        let credit = Credit::new(start);
        for refused in 0..=100 {
            assert!(!credit.is_spent(), "after {refused}");
            credit.request_refused(start);
        }
        assert!(credit.is_spent());
    }

    #[test]
    fn only_early_cancellations_count() {
        let start = Instant::now();
        let credit = Credit::new(start);
        for _ in 0..10_000 {
            credit.request_cancelled(start, start + PREMATURE);
        }
        for _ in 0..500 {
            credit.request_cancelled(start, start);
        }
        assert!(!credit.is_spent());
        credit.request_cancelled(start, start);
        assert!(credit.is_spent());
    }

    #[test]
    fn any_split_of_the_bytes_counts_the_same() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut bytes = preface.to_vec();
        for payload in [0, 1, 8, 300] {
            bytes.extend(frame(PING, 0, payload));
            bytes.extend(frame(HEADERS, END_HEADERS, payload));
        }
        let now = Instant::now();
        for size in 1..bytes.len() {
            let credit = Credit::new(now);
            let mut guard = FrameGuard::new(preface.len());
            for piece in bytes.chunks(size) {
                guard.received(piece, &credit, || now);
            }
            assert_eq!(credit.left.get(), CREDIT - 8, "pieces of {size}");
            assert_eq!(credit.head_since(), None, "pieces of {size}");
        }
    }

    #[test]
    fn a_head_is_timed_from_its_beginning_to_its_end() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let credit = Credit::new(start);
        let mut guard = FrameGuard::new(0);
        let head = frame(HEADERS, END_HEADERS, 20);
        guard.received(&head[..HEADER], &credit, || start);
        guard.received(&head[HEADER..20], &credit, || later);
        assert_eq!(credit.head_since(), Some(start));
        guard.received(&head[20..], &credit, || later);
        assert_eq!(credit.head_since(), None);
        guard.received(&frame(HEADERS, 0, 20), &credit, || start);
        guard.received(&frame(CONTINUATION, 0, 20), &credit, || later);
        assert_eq!(credit.head_since(), Some(start));
        guard.received(&frame(CONTINUATION, END_HEADERS, 0), &credit, || later);
        assert_eq!(credit.head_since(), None);
        guard.received(&frame(DATA, 0, 20)[..10], &credit, || later);
        assert_eq!(credit.head_since(), None);
    }
}
