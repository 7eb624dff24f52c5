//! Signals that a command listens to.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// `timeout` and others signal a process and then its group: what comes so soon after is the same wish.
const ECHO: Duration = Duration::from_millis(100);

/// What the outside wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGINT or SIGTERM: end.
    Stop,
    /// SIGHUP: read the documents again.
    Reload,
}

/// Signals, in the order of their coming.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` leaves SIGHUP its usual meaning, the end.
    hang_up: Option<Signal>,
}

impl Signals {
    /// For a command that has nothing to reload. From here on SIGINT and SIGTERM end nothing by themselves.
    pub(crate) fn stop_only() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: None,
        })
    }

    /// For a command that can reload.
    pub(crate) fn stop_and_reload() -> io::Result<Self> {
        Ok(Self {
            hang_up: Some(signal(SignalKind::hangup())?),
            ..Self::stop_only()?
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Request {
        let hung_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.terminate.recv() => Request::Stop,
            _ = hung_up => Request::Reload,
        }
    }

    /// The next one that means the end.
    pub(crate) async fn stopped(&mut self) {
        while self.next().await != Request::Stop {}
    }

    /// After one that means the end: a further one that is meant.
    pub(crate) async fn stopped_again(&mut self) {
        let echo_end = tokio::time::Instant::now() + ECHO;
        while tokio::time::Instant::now() < echo_end {
            self.stopped().await;
        }
    }
}
