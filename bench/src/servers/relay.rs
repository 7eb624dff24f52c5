//! A bare TCP relay: bytes in, bytes out, no protocol. What it costs, every proxy has to pay.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use super::accept::{accept, watch};
use super::slots::Slots;

const LISTENER: usize = 0;

/// Relays until killed.
pub(crate) fn serve(socket: TcpListener, targets: &[SocketAddr]) -> Result<()> {
    let mut poll = Poll::new().context("creating the event queue")?;
    let listener = watch(poll.registry(), socket, LISTENER)?;
    let mut relay = Relay {
        sides: Slots::new(),
        buffer: vec![0; 64 * 1024],
    };
    let mut events = Events::with_capacity(1024);
    let mut turns = targets.iter().cycle();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.context("waiting for events")?,
        }
        for event in &events {
            if event.token().0 == LISTENER {
                while let Some(client) = accept(&listener).context("accepting a connection")? {
                    let &target = turns.next().context("no target given")?;
                    relay.open(poll.registry(), client, target)?;
                }
            } else {
                relay.handle(event);
            }
        }
        relay.sides.end_of_batch();
    }
}

/// One of the two connections that are joined.
#[derive(Debug)]
struct Side {
    stream: TcpStream,
    peer: usize,
    /// What came from the peer and has not gone out.
    unsent: Vec<u8>,
    /// The peer has bytes waiting that are not read until `unsent` is empty.
    peer_waits: bool,
    /// The peer has ended: close once `unsent` is empty.
    last: bool,
}

#[derive(Debug)]
struct Relay {
    sides: Slots<Side>,
    buffer: Vec<u8>,
}

impl Relay {
    fn open(&mut self, registry: &Registry, client: TcpStream, target: SocketAddr) -> Result<()> {
        let upstream =
            TcpStream::connect(target).with_context(|| format!("connecting to {target}"))?;
        upstream.set_nodelay(true).context("setting TCP_NODELAY")?;
        let client = self.add(registry, client)?;
        let upstream = self.add(registry, upstream)?;
        for (place, peer) in [(client, upstream), (upstream, client)] {
            if let Some(side) = self.sides.at(place) {
                side.peer = peer;
            }
        }
        Ok(())
    }

    fn add(&mut self, registry: &Registry, mut stream: TcpStream) -> Result<usize> {
        let token = Token(LISTENER + 1 + self.sides.next());
        registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .context("watching a connection")?;
        Ok(self.sides.insert(Side {
            stream,
            peer: 0,
            unsent: Vec::new(),
            peer_waits: false,
            last: false,
        }))
    }

    fn handle(&mut self, event: &Event) {
        let place = event.token().0 - LISTENER - 1;
        let Some(side) = self.sides.at(place) else {
            return;
        };
        let peer = side.peer;
        let mut open = !event.is_error();
        if open && event.is_writable() && !side.unsent.is_empty() {
            open = side.flush();
            if open && side.unsent.is_empty() && std::mem::take(&mut side.peer_waits) {
                open = self.pump(peer, place, true);
            }
        }
        if open && (event.is_readable() || event.is_read_closed()) {
            open = self.pump(place, peer, event.is_read_closed());
        }
        if !open {
            self.sides.remove(place);
            self.sides.remove(peer);
        }
    }

    /// Moves bytes until there are none or they no longer go out; false when the pair is done.
    fn pump(&mut self, from: usize, to: usize, until_empty: bool) -> bool {
        loop {
            let Some(target) = self.sides.at(to) else {
                return false;
            };
            if !target.unsent.is_empty() {
                target.peer_waits = true;
                return true;
            }
            let Some(source) = self.sides.at(from) else {
                return false;
            };
            let count = match source.stream.read(&mut self.buffer) {
                Ok(0) => return self.end(to),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A connection still being made is not readable, and that is no fault.
                Err(error) if error.kind() == ErrorKind::NotConnected => return true,
                Err(_) => return false,
            };
            let Some(target) = self.sides.at(to) else {
                return false;
            };
            if !target.send(&self.buffer[..count]) {
                return false;
            }
            if count < self.buffer.len() && !until_empty {
                return true;
            }
        }
    }

    /// The peer of `to` has ended; whether bytes for `to` are still under way.
    fn end(&mut self, to: usize) -> bool {
        self.sides.at(to).is_some_and(|side| {
            side.last = true;
            !side.unsent.is_empty()
        })
    }
}

impl Side {
    /// Writes what the socket takes and keeps the rest; false when the connection is broken.
    fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    self.unsent.extend_from_slice(bytes);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Writes what was kept; false when the connection is broken or was only open for this.
    fn flush(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.unsent);
        self.send(&bytes) && !(self.last && self.unsent.is_empty())
    }
}
