//! The process that takes over.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use generations::GenerationId;

use super::wire::{self, Greeting, READY, RELEASED, TAKEN};

/// How long the old process may keep the store after it was told that we serve.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the process before gave us.
#[derive(Debug)]
pub struct TakeOver {
    stream: UnixStream,
    /// What serves; none is the rescue generation.
    pub generation: Option<GenerationId>,
    /// Its listening sockets.
    pub sockets: Vec<TcpListener>,
    /// Its admin server's.
    pub admin: Option<TcpListener>,
    /// What its balancers have learned.
    pub learned: serde_json::Value,
}

impl TakeOver {
    /// From the process that waits at this socket.
    ///
    /// # Errors
    /// It is gone, or sends something else.
    pub fn from(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(RELEASE_TIMEOUT))?;
        let greeting: Greeting = wire::receive_text(&mut stream)?;
        let mut sockets = wire::receive_sockets(&stream, greeting.sockets)?;
        let admin = if greeting.admin { sockets.pop() } else { None };
        let generation = greeting.generation.map(|id| id.parse()).transpose();
        Ok(Self {
            stream,
            generation: generation.map_err(|error| io::Error::other(format!("{error}")))?,
            sockets,
            admin,
            learned: greeting.learned,
        })
    }

    /// Says that we serve, and waits until the store is free.
    ///
    /// # Errors
    /// The old process is gone or does not let go.
    pub fn ready(&mut self) -> io::Result<()> {
        wire::send_word(&mut self.stream, READY)?;
        wire::expect_word(&mut self.stream, RELEASED)
    }

    /// Says that we have the store: the old process drains.
    ///
    /// # Errors
    /// It is gone already.
    pub fn taken(mut self) -> io::Result<()> {
        wire::send_word(&mut self.stream, TAKEN)
    }
}
