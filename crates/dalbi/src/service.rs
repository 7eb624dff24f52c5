//! What whoever started us hands over and wants to hear: systemd's sockets, readiness and watchdog.

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dispatcher::Dispatcher;
use sd_notify::NotifyState;

/// A thread that has not come round for so long hangs: each does several times a second.
const HANGS: Duration = Duration::from_secs(5);

/// The service manager, if one has started us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// How often it wants to hear that we are well.
    watchdog: Option<Duration>,
}

impl Service {
    /// From what systemd sets (sd_notify(3), sd_watchdog_enabled(3)).
    pub(crate) fn from_environment() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// We serve. From now on it hears, in time, that the workers come round.
    pub(crate) fn ready(self, dispatcher: &Arc<Dispatcher>) {
        let pid = std::process::id();
        tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
        let Some(limit) = self.watchdog else {
            return;
        };
        let dispatcher = Arc::downgrade(dispatcher);
        let beat = move || {
            while let Some(dispatcher) = dispatcher.upgrade() {
                let hangs = |age: &Duration| *age >= HANGS;
                match dispatcher.heartbeats().iter().position(hangs) {
                    None => tell(&[NotifyState::Watchdog]),
                    Some(thread) => tracing::error!(
                        thread,
                        "a thread hangs; the watchdog is not told that we are well"
                    ),
                }
                drop(dispatcher);
                std::thread::sleep(limit / 3);
            }
        };
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(beat);
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for the watchdog");
        }
    }

    /// We end, or the process with this id goes on.
    pub(crate) fn stopping(self, successor: Option<u32>) {
        match successor {
            Some(pid) => tell(&[NotifyState::MainPid(pid)]),
            None => tell(&[NotifyState::Stopping]),
        }
    }
}

/// Nobody may be there to hear it.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Listening sockets of systemd's socket activation (sd_listen_fds(3)).
///
/// # Errors
/// One of them is no TCP socket that listens.
pub(crate) fn inherited_sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..given.len() {
        let socket = given.take_tcp_listener(index);
        let socket = socket.with_context(|| format!("socket {index} of LISTEN_FDS"))?;
        sockets.extend(socket);
    }
    Ok(sockets)
}

/// The token in a file that is made, readable by its owner only, if it is not there.
///
/// # Errors
/// The file can't be read or written.
pub(crate) fn token_in(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(token) => return Ok(token.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("read {}", path.display()));
        }
        Err(_) => {}
    }
    let token = engine::token().map_err(anyhow::Error::msg)?;
    // Whole or not at all: a process that ends in between leaves no empty token.
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let written = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| writeln!(file, "{token}"))
        .and_then(|()| fs::rename(&fresh, path));
    written.with_context(|| format!("write {}", path.display()))?;
    Ok(token)
}
