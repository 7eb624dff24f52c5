//! Read buffers that are held only while there is something in them.
//!
//! A worker serves many connections of which few have bytes to work on at any moment, so an idle
//! connection owns no buffer: one is taken from the thread's stock when bytes arrive and given back
//! when the last is consumed. The stock is last-in-first-out, which keeps the same pages in cache.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use crate::transport::{Io, poll_read};

/// Room for a whole head of the default limit and for an efficient read of a large body.
const CAPACITY: usize = 64 * 1024;

/// Buffers that a thread keeps for reuse; more are freed.
const STOCK: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty vector of at least [`CAPACITY`], from the thread's stock if it has one.
pub(crate) fn take() -> Vec<u8> {
    SPARE
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(CAPACITY))
}

/// Gives a vector back to the thread's stock.
pub(crate) fn give(mut bytes: Vec<u8>) {
    // A vector that grew for one huge head, or that never was one of ours, is not worth keeping.
    if !(CAPACITY..=4 * CAPACITY).contains(&bytes.capacity()) {
        return;
    }
    bytes.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < STOCK {
            spare.push(bytes);
        }
    });
}

/// Bytes read from a peer and not yet consumed.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Bytes that have been read already.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }

    /// The unconsumed bytes.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether nothing is left to consume.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Drops the first `count` unconsumed bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(
            self.start <= self.bytes.len(),
            "consumed more than was read"
        );
        if self.is_empty() {
            self.release();
        }
    }

    /// Reads once; returns the number of bytes, 0 at the end of the stream.
    pub(crate) async fn fill(&mut self, io: &RefCell<Io>) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(io, cx)).await
    }

    /// See [`Self::fill`].
    pub(crate) fn poll_fill(
        &mut self,
        io: &RefCell<Io>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() == 0 {
            self.bytes = take();
        }
        if self.bytes.len() == self.bytes.capacity() {
            if self.start > 0 {
                self.bytes.drain(..self.start);
                self.start = 0;
            } else {
                self.bytes.reserve(CAPACITY);
            }
        }
        let read = poll_read(io, cx, &mut self.bytes);
        if read.is_pending() && self.is_empty() {
            self.release();
        }
        read
    }

    /// Takes all unconsumed bytes out.
    pub(crate) fn take_all(&mut self) -> Vec<u8> {
        let rest = self.filled().to_vec();
        self.release();
        rest
    }

    fn release(&mut self) {
        self.start = 0;
        if self.bytes.capacity() > 0 {
            give(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}
