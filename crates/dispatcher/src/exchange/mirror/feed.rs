//! A request's body on its way to a copy of the request, never waited for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::Mirroring;
use crate::http::body::{BodyError, BodySource, Part, Trailers};

/// Bytes of one copy's body that wait for its endpoint, as Envoy buffers for a connection. A body that is faster by
/// more than that loses the copy.
const FEED_BYTES: usize = 1024 * 1024;

/// The same for all copies of a worker.
const WORKER_BYTES: usize = 32 * 1024 * 1024;

/// From here on a body's own way makes room for the copy's task once a part: without it a body that is there
/// already would overrun a copy whose endpoint is as fast.
const BEHIND_BYTES: usize = 64 * 1024;

/// Smaller pieces are put together, up to this: each piece has a cost of its own, and a client may send a byte at a
/// time.
const GATHERED_BYTES: usize = 16 * 1024;

/// What both ends see.
#[derive(Debug)]
struct Feed {
    pieces: RefCell<VecDeque<Bytes>>,
    /// Comes after them.
    gathered: RefCell<BytesMut>,
    bytes: Cell<usize>,
    end: RefCell<End>,
    reader: RefCell<Option<Waker>>,
    mirroring: Rc<Mirroring>,
}

#[derive(Debug, Clone)]
enum End {
    /// More may come.
    Open,
    /// That was all.
    Whole(Trailers),
    /// The rest will never come.
    Broken,
    /// Nobody takes it any more, or it came too fast.
    Dropped,
}

impl Feed {
    fn close(&self, end: End) {
        let mut state = self.end.borrow_mut();
        if matches!(*state, End::Open) {
            *state = end;
        }
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Puts bytes behind those that wait.
    fn append(&self, bytes: &Bytes) {
        let mut gathered = self.gathered.borrow_mut();
        let mut pieces = self.pieces.borrow_mut();
        let fits = gathered.len() + bytes.len() <= GATHERED_BYTES;
        if !fits && !gathered.is_empty() {
            pieces.push_back(std::mem::take(&mut *gathered).freeze());
        }
        // Large ones are shared by all copies.
        match bytes.len() < GATHERED_BYTES / 4 {
            true => gathered.extend_from_slice(bytes),
            false => {
                if !gathered.is_empty() {
                    pieces.push_back(std::mem::take(&mut *gathered).freeze());
                }
                pieces.push_back(bytes.clone());
            }
        }
    }

    /// Takes the next bytes that wait.
    fn take(&self) -> Option<Bytes> {
        let piece = self.pieces.borrow_mut().pop_front();
        let gathered = || std::mem::take(&mut *self.gathered.borrow_mut()).freeze();
        Some(piece.unwrap_or_else(gathered)).filter(|bytes| !bytes.is_empty())
    }

    fn count(&self, more: usize, less: usize) {
        self.bytes.set(self.bytes.get() + more - less);
        let total = &self.mirroring.bytes;
        total.set(total.get() + more - less);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.count(0, self.bytes.get());
    }
}

/// A new feed; `is_empty` is whole from the beginning.
pub(super) fn feed(mirroring: &Rc<Mirroring>, is_empty: bool) -> (Feeder, FeedSource) {
    let end = match is_empty {
        true => End::Whole(None),
        false => End::Open,
    };
    let feed = Rc::new(Feed {
        pieces: RefCell::default(),
        gathered: RefCell::default(),
        bytes: Cell::new(0),
        end: RefCell::new(end),
        reader: RefCell::default(),
        mirroring: mirroring.clone(),
    });
    let source = FeedSource {
        feed: feed.clone(),
        piece: Bytes::new(),
    };
    (Feeder(feed), source)
}

/// The end that the request's own body passes. Dropped before [`Self::finish`], the copy breaks off as well.
#[derive(Debug)]
pub(super) struct Feeder(Rc<Feed>);

impl Feeder {
    /// Whether bytes are still wanted.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.0.end.borrow(), End::Open)
    }

    /// Passes bytes on, or gives the copy up.
    pub(super) fn push(&self, bytes: &Bytes) {
        if !self.is_open() {
            return;
        }
        let feed = &self.0;
        let too_much = feed.bytes.get() + bytes.len() > FEED_BYTES
            || feed.mirroring.bytes.get() + bytes.len() > WORKER_BYTES;
        if too_much {
            return feed.close(End::Dropped);
        }
        feed.count(bytes.len(), 0);
        feed.append(bytes);
        if let Some(waker) = feed.reader.take() {
            waker.wake();
        }
    }

    /// Whether the copy's task should get a turn.
    pub(super) fn is_behind(&self) -> bool {
        self.is_open() && self.0.bytes.get() > BEHIND_BYTES
    }

    /// That was all.
    pub(super) fn finish(&self, trailers: &Trailers) {
        self.0.close(End::Whole(trailers.clone()));
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.close(End::Broken);
    }
}

/// The end that the copy's task reads.
#[derive(Debug)]
pub(super) struct FeedSource {
    feed: Rc<Feed>,
    /// Handed out last; it counts until the next is asked for.
    piece: Bytes,
}

impl FeedSource {
    /// What can be known of it while it is read.
    pub(super) fn state(&self) -> FeedState {
        FeedState(self.feed.clone())
    }

    /// Whether it came too fast.
    pub(super) fn is_dropped(&self) -> bool {
        matches!(*self.feed.end.borrow(), End::Dropped)
    }
}

/// Whether a feed goes on.
pub(super) struct FeedState(Rc<Feed>);

impl FeedState {
    /// Whether more may come.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.0.end.borrow(), End::Open)
    }
}

impl Drop for FeedSource {
    fn drop(&mut self) {
        self.feed.close(End::Dropped);
    }
}

impl BodySource for FeedSource {
    async fn next(&mut self) -> Result<Part<'_>, BodyError> {
        let feed = &self.feed;
        feed.count(0, std::mem::take(&mut self.piece).len());
        let next = poll_fn(|cx| {
            if matches!(*feed.end.borrow(), End::Dropped | End::Broken) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe));
            }
            if let Some(piece) = feed.take() {
                return Poll::Ready(Ok(Ok(piece)));
            }
            if let End::Whole(trailers) = &*feed.end.borrow() {
                return Poll::Ready(Ok(Err(trailers.clone())));
            }
            feed.reader.replace(Some(cx.waker().clone()));
            Poll::Pending
        });
        match next.await.map_err(io::Error::from)? {
            Ok(piece) => {
                self.piece = piece;
                Ok(Part::Data(&self.piece))
            }
            Err(trailers) => Ok(Part::End(trailers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    /// The next part if it is there: its length, or the end.
    fn next(source: &mut FeedSource) -> Option<Result<Option<usize>, BodyError>> {
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(source.next()).poll(&mut cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(Part::Data(bytes))) => Some(Ok(Some(bytes.len()))),
            Poll::Ready(Ok(Part::End(_))) => Some(Ok(None)),
            Poll::Ready(Err(error)) => Some(Err(error)),
        }
    }

    #[test]
    fn what_is_pushed_comes_in_order_and_is_counted_while_it_waits() {
        let mirroring = Rc::new(Mirroring::default());
        let (feeder, mut source) = feed(&mirroring, false);
        assert!(next(&mut source).is_none());
        feeder.push(&Bytes::from_static(b"abc"));
        feeder.push(&Bytes::from_static(b"de"));
        assert_eq!(mirroring.bytes.get(), 5);
        assert!(matches!(next(&mut source), Some(Ok(Some(5)))));
        assert_eq!(mirroring.bytes.get(), 5);
        feeder.push(&Bytes::from_static(b"f"));
        feeder.push(&Bytes::from(vec![0; GATHERED_BYTES / 4]));
        feeder.push(&Bytes::from_static(b"gh"));
        for length in [1, GATHERED_BYTES / 4, 2] {
            assert!(matches!(next(&mut source), Some(Ok(Some(n))) if n == length));
        }
        assert_eq!(mirroring.bytes.get(), 2);
        feeder.finish(&None);
        drop(feeder);
        assert!(matches!(next(&mut source), Some(Ok(None))));
        assert_eq!(mirroring.bytes.get(), 0);
    }

    #[test]
    fn a_body_that_breaks_off_breaks_the_copy_off() {
        let mirroring = Rc::new(Mirroring::default());
        let (feeder, mut source) = feed(&mirroring, false);
        feeder.push(&Bytes::from_static(b"half"));
        drop(feeder);
        assert!(matches!(next(&mut source), Some(Err(_))));
        drop(source);
        assert_eq!(mirroring.bytes.get(), 0);
    }

    #[test]
    fn a_copy_that_can_not_keep_up_is_given_up() {
        let mirroring = Rc::new(Mirroring::default());
        let (feeder, mut source) = feed(&mirroring, false);
        let piece = Bytes::from(vec![0; FEED_BYTES / 4]);
        for _ in 0..4 {
            feeder.push(&piece);
        }
        assert!(feeder.is_open() && feeder.is_behind());
        feeder.push(&Bytes::from_static(b"x"));
        assert!(!feeder.is_open() && source.is_dropped());
        assert!(matches!(next(&mut source), Some(Err(_))));
        drop((feeder, source));
        assert_eq!(mirroring.bytes.get(), 0);
    }

    #[test]
    fn a_byte_at_a_time_takes_no_more_room() {
        let mirroring = Rc::new(Mirroring::default());
        let (feeder, source) = feed(&mirroring, false);
        for _ in 0..FEED_BYTES {
            feeder.push(&Bytes::from_static(b"x"));
        }
        assert!(feeder.is_open());
        let pieces = source.feed.pieces.borrow().len();
        assert!(pieces <= FEED_BYTES / GATHERED_BYTES, "{pieces}");
        assert!(source.feed.gathered.borrow().capacity() <= 2 * GATHERED_BYTES);
    }

    #[test]
    fn all_copies_together_have_a_limit_too() {
        let mirroring = Rc::new(Mirroring::default());
        let piece = Bytes::from(vec![0; FEED_BYTES]);
        let feeds: Vec<_> = (0..WORKER_BYTES / FEED_BYTES + 1)
            .map(|_| feed(&mirroring, false))
            .collect();
        for (feeder, _) in &feeds {
            feeder.push(&piece);
        }
        let open = feeds.iter().filter(|(feeder, _)| feeder.is_open()).count();
        assert_eq!(open, feeds.len() - 1);
    }
}
