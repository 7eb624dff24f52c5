//! Gathers what the h2 crate writes, so that one system call carries many frames.
//!
//! The h2 crate writes and flushes after every DATA frame of some size. Answers of one moment would each
//! cost a system call, which is a fifth of the whole cost of a small request. So frames are kept here until
//! whoever drives the connection has let it do all it can, and then says [`Gather::poll_send`].

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer;
use crate::transport::Io;

/// What is kept at most: as much as a read of ours and the peer's default frame take together. Larger
/// frames go out from where they lie.
const GATHER_BYTES: usize = 32 * 1024;

/// A connection's socket with the frames that wait for it. Shared by the h2 crate and its driver.
#[derive(Debug)]
pub(crate) struct Gather {
    io: RefCell<Io>,
    pending: RefCell<Pending>,
    /// Whether a driver calls [`Self::poll_send`]; until then a flush is a flush.
    driven: Cell<bool>,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    sent: usize,
}

impl Gather {
    pub(crate) fn new(io: Io) -> Self {
        Self {
            io: RefCell::new(io),
            pending: RefCell::default(),
            driven: Cell::new(false),
        }
    }

    /// From now on the caller sends what is gathered, or (false) every flush does.
    pub(crate) fn set_driven(&self, driven: bool) {
        self.driven.set(driven);
    }

    /// Sends everything that waits.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pending = self.pending.borrow_mut();
        let pending = &mut *pending;
        let mut io = self.io.borrow_mut();
        while pending.sent < pending.bytes.len() {
            let rest = &pending.bytes[pending.sent..];
            match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => pending.sent += count,
            }
        }
        if pending.bytes.capacity() > 0 {
            buffer::give(std::mem::take(&mut pending.bytes));
            pending.sent = 0;
        }
        Pin::new(&mut *io).poll_flush(cx)
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, buf)
    }

    /// Takes pieces of a write; they may only be kept.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.pending.borrow().bytes.len() + total > GATHER_BYTES {
            ready!(self.poll_send(cx))?;
        }
        if total > GATHER_BYTES {
            return Pin::new(&mut *self.io.borrow_mut()).poll_write_vectored(cx, pieces);
        }
        let mut pending = self.pending.borrow_mut();
        if pending.bytes.capacity() == 0 {
            pending.bytes = buffer::take();
        }
        for piece in pieces {
            pending.bytes.extend_from_slice(piece);
        }
        Poll::Ready(Ok(total))
    }

    /// What the h2 crate calls a flush.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.driven.get() {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.pending.get_mut().bytes);
        if bytes.capacity() > 0 {
            buffer::give(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    async fn write(gather: &Gather, pieces: &[&[u8]]) -> usize {
        let pieces: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        poll_fn(|cx| gather.poll_write(cx, &pieces)).await.unwrap()
    }

    #[tokio::test]
    async fn nothing_leaves_before_the_driver_says_so_and_order_is_kept() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let gather = Gather::new(Io::Unix(near));
        gather.set_driven(true);
        assert_eq!(write(&gather, &[b"ab", b"c"]).await, 3);
        poll_fn(|cx| gather.poll_flush(cx)).await.unwrap();
        let mut byte = [0; 1];
        assert_eq!(
            far.try_read(&mut byte).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert_eq!(write(&gather, &[b"def"]).await, 3);
        poll_fn(|cx| gather.poll_send(cx)).await.unwrap();
        let mut six = [0; 6];
        far.read_exact(&mut six).await.unwrap();
        assert_eq!(&six, b"abcdef");
    }

    #[tokio::test]
    async fn large_frames_follow_what_waits() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let gather = Gather::new(Io::Unix(near));
        gather.set_driven(true);
        write(&gather, &[b"first"]).await;
        let large = vec![7; GATHER_BYTES + 1];
        let reading = async {
            let mut all = vec![0; 5 + large.len()];
            far.read_exact(&mut all).await.unwrap();
            all
        };
        let writing = async {
            let mut written = 0;
            while written < large.len() {
                written += write(&gather, &[&large[written..]]).await;
            }
            poll_fn(|cx| gather.poll_send(cx)).await.unwrap();
        };
        let (all, ()) = tokio::join!(reading, writing);
        assert_eq!(&all[..5], b"first");
        assert!(all[5..].iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn an_undriven_flush_sends() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let gather = Gather::new(Io::Unix(near));
        write(&gather, &[b"x"]).await;
        poll_fn(|cx| gather.poll_flush(cx)).await.unwrap();
        let mut one = [0; 1];
        far.read_exact(&mut one).await.unwrap();
        assert_eq!(&one, b"x");
    }
}
