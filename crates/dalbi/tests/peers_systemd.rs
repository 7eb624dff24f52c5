//! Started as systemd starts it: what it hears of us, and its sockets.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::http;
use support::{Control, Folder, PATIENCE, Process, free_offset, free_port, peers};

/// How dalbi is started, on ports and with a state directory of its own.
struct Start {
    folder: Folder,
    state: Folder,
    offset: u16,
    admin: SocketAddr,
}

impl Start {
    fn prepare() -> Self {
        Self {
            folder: Folder::of_example("hello", &[]),
            state: Folder::new(),
            offset: free_offset(&[8080, 15001]),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
        }
    }

    fn http(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 8080 + self.offset))
    }

    fn arguments(&self) -> [String; 7] {
        [
            env!("CARGO_BIN_EXE_dalbi").to_owned(),
            "run".to_owned(),
            self.folder.path().to_str().unwrap().to_owned(),
            format!("--state={}", self.state.path().display()),
            format!("--port-offset={}", self.offset),
            format!("--admin={}", self.admin),
            "--bind=127.0.0.1".to_owned(),
        ]
    }
}

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(folder: &Folder) -> (Self, std::path::PathBuf) {
        let path = folder.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (Self(socket), path)
    }

    /// The next message with this line.
    fn hears(&self, wanted: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = self.0.recv(&mut buffer);
            let length =
                length.unwrap_or_else(|error| panic!("no {wanted} after {PATIENCE:?}: {error}"));
            let message = std::str::from_utf8(&buffer[..length]).unwrap();
            if message.lines().any(|line| line == wanted) {
                return;
            }
        }
    }

    /// Forgets what was sent until now.
    fn forget(&self) {
        self.0.set_nonblocking(true).unwrap();
        let error = loop {
            if let Err(error) = self.0.recv(&mut [0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.0.set_nonblocking(false).unwrap();
    }
}

/// Ended with this value, as it is no child of ours.
struct Successor(Pid);

impl Drop for Successor {
    fn drop(&mut self) {
        // It may have ended by itself.
        kill_process(self.0, Signal::KILL).ok();
    }
}

#[tokio::test]
async fn the_process_after_an_upgrade_is_the_main_one_and_says_that_it_lives() {
    let (start, notify) = (Start::prepare(), Folder::new());
    let (manager, socket) = Manager::listen(&notify);
    let mut command = Command::new("/bin/sh");
    // As systemd sets it, for this process alone.
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"]);
    command.args(start.arguments());
    command
        .env("NOTIFY_SOCKET", socket)
        .env("WATCHDOG_USEC", "300000");
    let mut process = Process::spawn(command);
    let pid = process.pid().as_raw_nonzero();
    manager.hears("READY=1");
    assert_eq!(http::get(start.http(), "/hello").await.status(), 200);
    manager.hears("WATCHDOG=1");

    let control = Control::new(start.admin, start.state.path());
    let upgraded = control.post("/upgrade", json!({})).await.json();
    let successor = i32::try_from(upgraded["pid"].as_i64().unwrap()).unwrap();
    let _successor = Successor(Pid::from_raw(successor).unwrap());
    assert_ne!(successor, pid.get());
    manager.hears(&format!("MAINPID={successor}"));
    // From here on, only the new process can be heard.
    process.kill();
    manager.forget();
    manager.hears("WATCHDOG=1");
    assert_eq!(http::get(start.http(), "/hello").await.status(), 200);
}

#[tokio::test]
async fn sockets_of_systemd_are_listened_on() {
    let Some(program) = peers::program("systemd-socket-activate") else {
        return;
    };
    let start = Start::prepare();
    let mut command = Command::new(program);
    command.arg(format!("--listen={}", start.http()));
    command.args(start.arguments());
    let process = Process::spawn(command);
    process.log_line("`Listening on`", |line| {
        line.starts_with("Listening on").then_some(())
    });
    // The connection that it is started for waits in the queue. Nobody else could listen there: the socket is not
    // one that several may have.
    assert_eq!(http::get(start.http(), "/hello").await.status(), 200);
    process.stdout_line("`ready`", |line| (line == "ready").then_some(()));
}
