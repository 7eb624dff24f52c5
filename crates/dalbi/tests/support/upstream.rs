//! `dalbi upstream` as a process.

use std::net::SocketAddr;

use super::Process;

/// A running test server.
pub struct Upstream {
    /// The process.
    pub process: Process,
    address: SocketAddr,
}

impl Upstream {
    /// Starts one on a free port, with further arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    /// Starts one on a given address, for example to come back where another one was.
    pub fn start_at(address: &str, arguments: &[&str]) -> Self {
        let process = Process::start(&[&["upstream", "--listen", address], arguments].concat());
        let address =
            process.stdout_line("its address", |line| line.split_once("://")?.1.parse().ok());
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port, for documents.
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }
}
