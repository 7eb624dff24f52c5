//! An upstream as cheap as it can be, so that the proxy and not the upstream is what is measured.
//!
//! It answers `GET /1k` and `GET /100k` with constant bytes under ordinary response headers,
//! keeps connections, closes on `Connection: close`, and takes no request bodies.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use memchr::memmem;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::accept::{accept, watch};
use super::slots::Slots;

/// A request head beyond this is refused by closing.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The bytes of an answer, for a connection that stays and for one that ends with it.
#[derive(Debug)]
struct Answer {
    keep: Vec<u8>,
    close: Vec<u8>,
}

static SMALL: LazyLock<Answer> = LazyLock::new(|| Answer::new("200 OK", 1024));
static LARGE: LazyLock<Answer> = LazyLock::new(|| Answer::new("200 OK", 100 * 1024));
static UNKNOWN: LazyLock<Answer> = LazyLock::new(|| Answer::new("404 Not Found", 0));

impl Answer {
    fn new(status: &str, body_bytes: usize) -> Self {
        let answer = |connection: &str| {
            let head = format!(
                "HTTP/1.1 {status}\r\n\
                 Server: bench\r\n\
                 Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                 Content-Type: application/json; charset=utf-8\r\n\
                 Content-Length: {body_bytes}\r\n\
                 Last-Modified: Wed, 31 Dec 2025 10:11:12 GMT\r\n\
                 ETag: \"6f1c0c5a9f3b4b0a\"\r\n\
                 Cache-Control: public, max-age=60\r\n\
                 Vary: Accept-Encoding\r\n\
                 {connection}\r\n"
            );
            let mut bytes = head.into_bytes();
            bytes.resize(bytes.len() + body_bytes, b'x');
            bytes
        };
        Self {
            keep: answer(""),
            close: answer("Connection: close\r\n"),
        }
    }
}

/// Serves until killed.
pub(crate) fn serve(sockets: Vec<TcpListener>) -> Result<()> {
    let mut poll = Poll::new().context("creating the event queue")?;
    let mut listeners = Vec::new();
    for (token, socket) in sockets.into_iter().enumerate() {
        listeners.push(watch(poll.registry(), socket, token)?);
    }
    let mut connections = Slots::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.context("waiting for events")?,
        }
        for event in &events {
            let token = event.token().0;
            if let Some(listener) = listeners.get(token) {
                while let Some(mut stream) = accept(listener).context("accepting a connection")? {
                    let token = Token(listeners.len() + connections.next());
                    poll.registry()
                        .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
                        .context("watching a connection")?;
                    connections.insert(Connection::new(stream));
                }
                continue;
            }
            let place = token - listeners.len();
            let Some(connection) = connections.at(place) else {
                continue;
            };
            if connection.handle(event, &mut buffer) == Next::Close {
                connections.remove(place);
            }
        }
        connections.end_of_batch();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait,
    Close,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// The start of a head whose end has not come.
    partial: Vec<u8>,
    /// Answers, or what is left of them, in order.
    unsent: VecDeque<&'static [u8]>,
    closing: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            unsent: VecDeque::new(),
            closing: false,
        }
    }

    fn handle(&mut self, event: &Event, buffer: &mut [u8]) -> Next {
        if event.is_error() {
            return Next::Close;
        }
        if event.is_readable() || event.is_read_closed() {
            loop {
                match self.stream.read(buffer) {
                    Ok(0) => return Next::Close,
                    Ok(count) => {
                        self.take(&buffer[..count]);
                        if self.partial.len() > MAX_HEAD_BYTES {
                            return Next::Close;
                        }
                        // A short read has emptied the socket; whatever comes later makes a new
                        // event, except an end that was already part of this one.
                        if count < buffer.len() && !event.is_read_closed() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Next::Close,
                }
            }
        }
        self.send()
    }

    /// Queues an answer for each head that ends in these bytes.
    fn take(&mut self, bytes: &[u8]) {
        if self.partial.is_empty() {
            let used = answer_heads(bytes, &mut self.unsent, &mut self.closing);
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            self.partial.extend_from_slice(bytes);
            let used = answer_heads(&self.partial, &mut self.unsent, &mut self.closing);
            self.partial.drain(..used);
        }
    }

    fn send(&mut self) -> Next {
        while let Some(front) = self.unsent.front_mut() {
            match self.stream.write(front) {
                Ok(count) if count == front.len() => {
                    self.unsent.pop_front();
                }
                Ok(count) => *front = &front[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Next::Close,
            }
        }
        if self.closing {
            Next::Close
        } else {
            Next::Wait
        }
    }
}

/// Returns how many bytes the complete heads took.
fn answer_heads(bytes: &[u8], unsent: &mut VecDeque<&'static [u8]>, closing: &mut bool) -> usize {
    let mut used = 0;
    while let Some(end) = memmem::find(&bytes[used..], b"\r\n\r\n") {
        let head = &bytes[used..used + end];
        used += end + 4;
        let answer = if head.starts_with(b"GET /1k ") {
            &*SMALL
        } else if head.starts_with(b"GET /100k ") {
            &*LARGE
        } else {
            &*UNKNOWN
        };
        // Proxies write the field name in either case, the value in lower case.
        *closing |= memmem::find(head, b"onnection: close").is_some();
        unsent.push_back(if *closing {
            &answer.close
        } else {
            &answer.keep
        });
    }
    used
}
