//! Reading and writing TCP sockets with bare system calls.
//!
//! The C library's `send` and `recv` are thread cancellation points, which in a process with several threads
//! takes two atomic operations a call: a tenth of what a small request costs us outside the kernel.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use rustix::buffer::spare_capacity;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Appends what one read returns to `bytes`, up to its capacity.
pub(super) fn poll_read(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let room = bytes.capacity() - bytes.len();
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let read = stream.try_io(Interest::READABLE, || {
            Ok(rustix::io::read(stream, spare_capacity(bytes))?)
        });
        match read {
            Ok(count) => {
                if (1..room).contains(&count) {
                    forget_readiness(stream);
                }
                return Poll::Ready(Ok(count));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// A short read has emptied the socket. The next wait then needs no system call to find that out.
fn forget_readiness(stream: &TcpStream) {
    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    stream.try_io(Interest::READABLE, nothing).ok();
}

/// Writes some of two pieces; the second may be empty.
pub(super) fn poll_write(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    pieces: [&[u8]; 2],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let written = stream.try_io(Interest::WRITABLE, || {
            Ok(if pieces[1].is_empty() {
                rustix::net::send(stream, pieces[0], SendFlags::NOSIGNAL)?
            } else {
                rustix::io::writev(stream, &pieces.map(IoSlice::new))?
            })
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}
