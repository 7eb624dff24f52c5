//! `dalbi run` as a process.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::{Control, Process, free_offset, free_port};

/// A dispatcher that serves a folder on free ports.
pub struct Dalbi {
    /// The process.
    pub process: Process,
    offset: u16,
    admin: SocketAddr,
    /// By the listener's name.
    listeners: HashMap<String, SocketAddr>,
}

/// Ports that the examples and most tests use.
const PORTS: [u16; 4] = [8080, 8081, 8443, 15001];

impl Dalbi {
    /// Serves `folder` with ports moved by an offset and returns when it is ready.
    pub fn run(folder: &Path, arguments: &[&str]) -> Self {
        let offset = free_offset(&PORTS);
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (offset_text, admin_text) = (offset.to_string(), admin.to_string());
        let folder = folder.to_str().expect("test folders have plain names");
        let common = [
            "run",
            folder,
            "--port-offset",
            &offset_text,
            "--admin",
            &admin_text,
            "--bind",
            "127.0.0.1",
        ];
        let workers: &[&str] = match arguments.contains(&"--workers") {
            true => &[],
            false => &["--workers", "2"],
        };
        let process = Process::start(&[&common, workers, arguments].concat());
        let mut listeners = HashMap::new();
        process.stdout_line("`ready`", |line| {
            if let Some((name, url)) = line
                .strip_prefix("listening: ")
                .and_then(|line| line.split_once(" on "))
            {
                let (_, address) = url.split_once("://").expect("a URL");
                listeners.insert(name.to_owned(), address.parse().expect("an address"));
            }
            (line == "ready").then_some(())
        });
        Self {
            process,
            offset,
            admin,
            listeners,
        }
    }

    /// Sends SIGTERM and waits for the end, while the test's own connections go on. Returns the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.process.signal(rustix::process::Signal::TERM);
        let waiting = tokio::task::spawn_blocking(move || self.process.wait().code());
        waiting.await.expect("waiting does not panic otherwise")
    }

    /// Where a port of the documents is to be found.
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port + self.offset))
    }

    /// The mesh listener.
    pub fn mesh(&self) -> SocketAddr {
        self.address(15001)
    }

    /// The admin server.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its generations.
    pub fn control(&self) -> Control {
        Control::new(self.admin, self.process.state())
    }

    /// What was listened on at the start, by name.
    pub fn listeners(&self) -> &HashMap<String, SocketAddr> {
        &self.listeners
    }
}
