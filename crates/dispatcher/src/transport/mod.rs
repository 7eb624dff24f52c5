//! Byte streams to clients and endpoints, whatever they run over.

pub(crate) mod connect;
pub(crate) mod hello;
mod tcp;
pub(crate) mod tls;

use std::cell::RefCell;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use tokio_util::io::poll_read_buf;

/// A connection. This is the seam behind which another transport would go.
#[derive(Debug)]
pub(crate) enum Io {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP, either side. Boxed: a TLS session is over a kilobyte.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! delegate {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Io::Tcp(io) => Pin::new(io).$method($($argument),*),
            Io::Unix(io) => Pin::new(io).$method($($argument),*),
            Io::Tls(io) => Pin::new(io.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.poll_shutdown(cx))
    }
}

impl Io {
    /// Whether bytes are encrypted on it.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether a pooled connection can be used again: nothing has arrived and it is not closed.
    /// Costs no system call unless the kernel has said that something happened.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0u8; 1];
        let read = match self {
            Self::Tcp(io) => io.try_read(&mut byte),
            Self::Unix(io) => io.try_read(&mut byte),
            Self::Tls(io) => {
                // Under TLS 1.3 session tickets may be waiting: let the session take them in.
                let mut cx = Context::from_waker(std::task::Waker::noop());
                let mut buf = ReadBuf::new(&mut byte);
                return Pin::new(io.as_mut())
                    .poll_read(&mut cx, &mut buf)
                    .is_pending();
            }
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Appends what one read returns to `bytes`, up to its capacity.
pub(crate) fn poll_read(
    io: &RefCell<Io>,
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    match &mut *io.borrow_mut() {
        Io::Tcp(stream) => tcp::poll_read(stream, cx, bytes),
        io => poll_read_buf(Pin::new(io), cx, bytes),
    }
}

/// Writes all of `first` and then of `second`, in as few system calls as the kernel allows.
pub(crate) async fn write_all(io: &RefCell<Io>, first: &[u8], second: &[u8]) -> io::Result<()> {
    let total = first.len() + second.len();
    let mut written = 0;
    std::future::poll_fn(|cx| {
        while written < total {
            let rest = match written.checked_sub(first.len()) {
                Some(written) => [&second[written..], &[]],
                None => [&first[written..], second],
            };
            match poll_write(io, cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // A TLS session may still hold the last record.
        match &mut *io.borrow_mut() {
            Io::Tls(io) => Pin::new(io.as_mut()).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    })
    .await
}

/// Writes some of two pieces; the second may be empty.
fn poll_write(
    io: &RefCell<Io>,
    cx: &mut Context<'_>,
    pieces: [&[u8]; 2],
) -> Poll<io::Result<usize>> {
    match &mut *io.borrow_mut() {
        Io::Tcp(stream) => tcp::poll_write(stream, cx, pieces),
        io if pieces[1].is_empty() => Pin::new(io).poll_write(cx, pieces[0]),
        io => Pin::new(io).poll_write_vectored(cx, &pieces.map(IoSlice::new)),
    }
}

/// Ends the sending direction.
pub(crate) async fn shutdown(io: &RefCell<Io>) -> io::Result<()> {
    std::future::poll_fn(|cx| Pin::new(&mut *io.borrow_mut()).poll_shutdown(cx)).await
}
