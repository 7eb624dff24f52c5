//! What lies between a socket and the h2 crate.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::h2_gather::Gather;
use super::h2_guard::{Credit, FrameGuard};

/// The client's side of HTTP/2 opens with this (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose peer is watched for floods. Once its credit is spent nothing more is read: whoever
/// polls the connection has to look at the credit and end it.
#[derive(Debug)]
pub(crate) struct H2Transport {
    gather: Rc<Gather>,
    /// Bytes that were read before, and how many of them have been handed on.
    read: Vec<u8>,
    given: usize,
    guard: FrameGuard,
    credit: Rc<Credit>,
}

impl H2Transport {
    /// A client's connection, beginning with bytes that were already read.
    pub(crate) fn from_client(gather: Rc<Gather>, read: Vec<u8>, credit: Rc<Credit>) -> Self {
        let guard = FrameGuard::new(PREFACE.len());
        Self {
            gather,
            read,
            given: 0,
            guard,
            credit,
        }
    }

    /// A connection to an endpoint.
    pub(crate) fn to_endpoint(gather: Rc<Gather>, credit: Rc<Credit>) -> Self {
        let guard = FrameGuard::new(0);
        Self {
            gather,
            read: Vec::new(),
            given: 0,
            guard,
            credit,
        }
    }
}

impl AsyncRead for H2Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.credit.is_spent() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if this.given < this.read.len() {
            let count = buf.remaining().min(this.read.len() - this.given);
            buf.put_slice(&this.read[this.given..this.given + count]);
            this.given += count;
            if this.given == this.read.len() {
                this.read = Vec::new();
                this.given = 0;
            }
        } else {
            ready!(this.gather.poll_read(cx, buf))?;
        }
        this.guard
            .received(&buf.filled()[before..], &this.credit, Instant::now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(this.gather.poll_write(cx, &[IoSlice::new(buf)]))?;
        this.guard.sent(&buf[..count], &this.credit);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(this.gather.poll_write(cx, bufs))?;
        let mut left = count;
        for buf in bufs {
            let written = left.min(buf.len());
            this.guard.sent(&buf[..written], &this.credit);
            left -= written;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gather.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gather.poll_shutdown(cx)
    }
}
