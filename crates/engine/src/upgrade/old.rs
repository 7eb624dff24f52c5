//! The process that is taken over from.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use dispatcher::Dispatcher;
use tokio::sync::watch;

use super::wire::{self, Greeting, READY, RELEASED, TAKEN};
use crate::Handle;
use crate::api::{Upgrade, Upgraded};
use crate::refusal::Refusal;

/// How long a new process may take to serve: ten thousand documents load in a second; looking names up takes two.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to open the store once that is free.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(20);

/// How often we look whether the new process is still there.
const LOOK: Duration = Duration::from_millis(10);

/// Starts a new process in this one's place.
#[derive(Debug, Clone)]
pub struct Upgrader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    arguments: Vec<OsString>,
    dispatcher: Weak<Dispatcher>,
    admin: OnceLock<TcpListener>,
    done: watch::Sender<Option<u32>>,
    /// Held while an upgrade is under way: one after the other.
    one: Arc<tokio::sync::Mutex<()>>,
}

impl Upgrader {
    /// For a process that was started from this file with these arguments.
    pub fn new(program: PathBuf, arguments: Vec<OsString>, dispatcher: Weak<Dispatcher>) -> Self {
        Self {
            inner: Arc::new(Inner {
                program,
                arguments,
                dispatcher,
                admin: OnceLock::new(),
                done: watch::channel(None).0,
                one: Arc::default(),
            }),
        }
    }

    /// The admin server's socket, which goes with the others. Set once.
    pub fn set_admin(&self, socket: TcpListener) {
        self.inner.admin.set(socket).ok();
    }

    /// Resolves with the new process's id once it has taken over: this one may drain.
    pub async fn upgraded(&self) -> u32 {
        let mut done = self.inner.done.subscribe();
        let pid = done.wait_for(Option::is_some).await;
        pid.expect("we hold the sender").expect("it was waited for")
    }

    /// Starts the new process and waits until it has taken over.
    pub(crate) async fn upgrade(
        &self,
        handle: &Handle,
        upgrade: Upgrade,
    ) -> Result<Upgraded, Refusal> {
        let Ok(one) = self.inner.one.clone().try_lock_owned() else {
            return Err(Refusal::Upgrade("an upgrade is under way".to_owned()));
        };
        let (inner, handle) = (self.inner.clone(), handle.clone());
        // Goes on to its end even if whoever asked goes away: half an upgrade would be two processes on the same ports.
        let work = tokio::task::spawn_blocking(move || {
            let upgraded = inner.hand_over(&handle, &upgrade);
            match &upgraded {
                Ok(upgraded) => drop(inner.done.send_replace(Some(upgraded.pid))),
                Err(_) => drop(handle.ask_blocking(|life| life.go_on())),
            }
            drop(one);
            upgraded
        });
        work.await.unwrap_or(Err(Refusal::Ending))
    }
}

impl Inner {
    fn hand_over(&self, handle: &Handle, upgrade: &Upgrade) -> Result<Upgraded, Refusal> {
        let started = Instant::now();
        let generation = handle.ask_blocking(|life| life.before_upgrade())?;
        let path = handle.state().join("upgrade.sock");
        let listener = listen(&path).map_err(|error| failed("wait for the new process", &error))?;
        let mut child = self.spawn(upgrade, &path)?;
        let pid = child.id();
        let handed = self.converse(&mut child, &listener, handle, generation);
        // Nobody else is to find it.
        std::fs::remove_file(&path).ok();
        if let Err(refusal) = handed {
            end(&mut child);
            return Err(refusal);
        }
        Ok(Upgraded {
            pid,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn spawn(&self, upgrade: &Upgrade, path: &Path) -> Result<Child, Refusal> {
        let program = upgrade
            .binary
            .as_ref()
            .map_or(self.program.as_path(), Path::new);
        let child = Command::new(program)
            .args(&self.arguments)
            .env(super::VARIABLE, path)
            // It names us as the one whom the watchdog listens to (sd_watchdog_enabled(3)); now anybody may be.
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .spawn();
        child.map_err(|error| failed(&format!("start {}", program.display()), &error))
    }

    fn converse(
        &self,
        child: &mut Child,
        listener: &UnixListener,
        handle: &Handle,
        generation: Option<String>,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let mut stream = accept(child, listener, deadline)?;
        self.give(&mut stream, generation)
            .map_err(|error| failed("hand the sockets over", &error))?;
        let patience = deadline.saturating_duration_since(Instant::now()).max(LOOK);
        let ready = stream
            .set_read_timeout(Some(patience))
            .and_then(|()| wire::expect_word(&mut stream, READY));
        if let Err(error) = ready {
            return Err(failed(
                &format!("the new process did not get ready{}", ended(child)),
                &error,
            ));
        }
        handle.ask_blocking(|life| life.release())?;
        let taken = wire::send_word(&mut stream, RELEASED)
            .and_then(|()| stream.set_read_timeout(Some(TAKEN_TIMEOUT)))
            .and_then(|()| wire::expect_word(&mut stream, TAKEN));
        if let Err(error) = taken {
            end(child);
            return Err(failed("the new process did not take the store", &error));
        }
        Ok(())
    }

    fn give(&self, stream: &mut UnixStream, generation: Option<String>) -> io::Result<()> {
        let ending = || io::Error::other("the process is ending");
        let dispatcher = self.dispatcher.upgrade().ok_or_else(ending)?;
        let sockets = dispatcher.sockets()?;
        let mut sockets: Vec<_> = sockets.into_iter().map(|(_, socket)| socket).collect();
        if let Some(admin) = self.admin.get() {
            sockets.push(admin.try_clone()?);
        }
        let greeting = Greeting {
            generation,
            sockets: sockets.len(),
            admin: self.admin.get().is_some(),
            learned: dispatcher.learned(),
        };
        wire::send_text(stream, &greeting)?;
        wire::send_sockets(stream, &sockets)
    }
}

/// The folder is ours alone, so only our own user gets to the socket.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(
    child: &mut Child,
    listener: &UnixListener,
    deadline: Instant,
) -> Result<UnixStream, Refusal> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let blocking = stream.set_nonblocking(false);
                blocking.map_err(|error| failed("talk to the new process", &error))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed("wait for the new process", &error)),
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Refusal::Upgrade(format!(
                "the new process ended at once ({status}); its log says why"
            )));
        }
        if Instant::now() >= deadline {
            let limit = READY_TIMEOUT.as_secs();
            return Err(Refusal::Upgrade(format!(
                "the new process did not ask for the sockets within {limit} s"
            )));
        }
        std::thread::sleep(LOOK);
    }
}

fn ended(child: &mut Child) -> String {
    match child.try_wait() {
        Ok(Some(status)) => format!(" and ended ({status}); its log says why"),
        _ => String::new(),
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    child.kill().ok();
    child.wait().ok();
}

fn failed(what: &str, error: &io::Error) -> Refusal {
    Refusal::Upgrade(format!("{what}: {error}"))
}
