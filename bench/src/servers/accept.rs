//! Listening sockets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

/// Listens on `address` and announces it on standard output, port 0 resolved.
pub(crate) fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    let listener =
        std::net::TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    println!(
        "listening on {}",
        listener.local_addr().context("reading the own address")?
    );
    Ok(listener)
}

/// Has the event queue report connections under `token`.
pub(super) fn watch(
    registry: &Registry,
    listener: std::net::TcpListener,
    token: usize,
) -> Result<TcpListener> {
    listener
        .set_nonblocking(true)
        .context("making a listener non-blocking")?;
    let mut listener = TcpListener::from_std(listener);
    registry
        .register(&mut listener, Token(token), Interest::READABLE)
        .context("watching a listener")?;
    Ok(listener)
}

/// The next waiting connection, if there is one.
pub(super) fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                return Ok(Some(stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            // The client gave up while it waited in the queue.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}
