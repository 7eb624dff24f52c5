//! The binary under test: where it is, and how it is run.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// Names the binary to use instead of the one that was built beside this program.
const VARIABLE: &str = "DALBI_BIN";

/// How long a start or a reload may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The port on which the mesh listener is, before the offset.
const MESH_PORT: u16 = 15001;

/// The binary, as it was found.
#[derive(Debug, Clone)]
pub struct Binary(PathBuf);

impl Binary {
    /// The one that `DALBI_BIN` names, or the one that was built into the same folder as this program.
    ///
    /// # Errors
    ///
    /// If there is none, or if one of its source files changed after it was built: cargo does not know that this
    /// program needs it.
    pub fn locate() -> Result<Self> {
        if let Some(path) = std::env::var_os(VARIABLE) {
            return Ok(Self(path.into()));
        }
        let this = std::env::current_exe().context("where this program is")?;
        let mut folders = this.ancestors().skip(1);
        // Tests lie in `deps`, binaries one folder above.
        let folder = folders
            .find(|folder| !folder.ends_with("deps"))
            .context("this program lies in no folder")?;
        let path = folder.join(format!("dalbi{}", std::env::consts::EXE_SUFFIX));
        let sources = folder.join("dalbi.d");
        ensure!(
            path.exists(),
            "{} does not exist; run `cargo build -p dalbi` first, or name a binary in {VARIABLE}",
            path.display()
        );
        // `cargo test` of the whole workspace builds the binary first and writes no list of its sources.
        if sources.exists()
            && let Some(newer) = newer_source(&path, &sources)?
        {
            bail!(
                "{} changed after {} was built; run `cargo build -p dalbi` first, or name a binary in {VARIABLE}",
                newer.display(),
                path.display()
            );
        }
        Ok(Self(path))
    }

    /// Runs it until it ends by itself.
    pub(crate) async fn to_end(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments);
        let said = || format!("run dalbi {}", arguments.join(" "));
        let ending = command.output();
        let output = tokio::time::timeout(PATIENCE, ending).await;
        output
            .with_context(|| format!("{}: no end after {PATIENCE:?}", said()))?
            .with_context(said)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A file that cargo built the binary from and that is newer than it.
fn newer_source(binary: &Path, sources: &Path) -> Result<Option<PathBuf>> {
    let changed = |path: &Path| -> Result<SystemTime> {
        let metadata = std::fs::metadata(path);
        let said = || format!("look at {}", path.display());
        metadata.and_then(|data| data.modified()).with_context(said)
    };
    let built = changed(binary)?;
    let text =
        std::fs::read_to_string(sources).with_context(|| format!("read {}", sources.display()))?;
    let (_, list) = text
        .split_once(": ")
        .context("cargo's list of sources has no colon")?;
    // Cargo writes a blank within a name as `\ `.
    let list = list.trim().replace("\\ ", "\0");
    let paths = list
        .split(' ')
        .map(|path| PathBuf::from(path.replace('\0', " ")));
    let mut newer = paths.filter(|path| changed(path).map_or(true, |time| time > built));
    Ok(newer.next())
}

/// `dalbi run` as a process that ends with this value.
pub(crate) struct Dalbi {
    child: Child,
    log: UnboundedReceiver<String>,
    kept: Arc<Mutex<Vec<String>>>,
    offset: u16,
    /// Where it keeps its generations.
    _state: tempfile::TempDir,
}

/// Offsets in use within this process.
static OFFSETS: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// How often another offset is tried when a port was taken just then.
const STARTS: usize = 5;

impl Dalbi {
    /// Serves a folder and returns when it is ready. `places` are where its listeners will be, without the offset.
    pub(crate) async fn start(
        binary: &Binary,
        folder: &Path,
        places: &[(Ipv4Addr, u16)],
        arguments: &[&str],
    ) -> Result<Self> {
        let mut last = None;
        for _ in 0..STARTS {
            match Self::try_start(binary, folder, free_offset(places)?, arguments).await {
                Ok(started) => return Ok(started),
                Err(error) if format!("{error:#}").contains("in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("a port was in use")?)
    }

    async fn try_start(
        binary: &Binary,
        folder: &Path,
        offset: u16,
        arguments: &[&str],
    ) -> Result<Self> {
        let (folder, offset_text) = (folder.to_string_lossy(), offset.to_string());
        let common = [
            "run",
            &*folder,
            "--port-offset",
            &offset_text,
            "--bind",
            "127.0.0.1",
            "--admin",
            "off",
            "--workers",
            "1",
        ];
        let arguments = [&common, arguments].concat();
        let mut command = binary.command(&arguments);
        let state = tempfile::tempdir().context("make a state directory")?;
        command.arg("--state").arg(state.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start dalbi")?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let log = lines(
            child.stderr.take().context("standard error")?,
            Some(Arc::clone(&kept)),
        );
        let mut said = lines(child.stdout.take().context("standard output")?, None);
        let ready = async {
            while let Some(line) = said.recv().await {
                if line == "ready" {
                    return true;
                }
            }
            false
        };
        let ready = tokio::time::timeout(PATIENCE, ready).await;
        // Read on, so that it never waits for us.
        tokio::spawn(async move { while said.recv().await.is_some() {} });
        let started = Self {
            child,
            log,
            kept,
            offset,
            _state: state,
        };
        match ready {
            Ok(true) => Ok(started),
            Ok(false) => bail!("dalbi ended at once: {}", started.errors().await),
            Err(_) => bail!(
                "dalbi was not ready after {PATIENCE:?}: {}",
                started.errors().await
            ),
        }
    }

    /// Where a port of the documents is.
    pub(crate) fn address(&self, address: Ipv4Addr, port: u16) -> SocketAddr {
        SocketAddr::from((address, port + self.offset))
    }

    /// Where the mesh listener is.
    pub(crate) fn mesh(&self) -> SocketAddr {
        self.address(Ipv4Addr::LOCALHOST, MESH_PORT)
    }

    /// Waits until a change of the folder is served.
    pub(crate) async fn reloaded(&mut self) -> Result<()> {
        let waiting = async {
            while let Some(line) = self.log.recv().await {
                if line.contains("documents not taken") {
                    bail!("the changed folder was refused: {line}");
                }
                if line.contains("reloaded") {
                    return Ok(());
                }
            }
            bail!("dalbi ended");
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .with_context(|| format!("no reload after {PATIENCE:?}"))?
    }

    /// Ends it. Returns what it said on standard error, shortened.
    async fn errors(mut self) -> String {
        // Fails only if it has ended already.
        let _ended = self.child.kill().await;
        while self.log.recv().await.is_some() {}
        let kept = self
            .kept
            .lock()
            .expect("nothing panics while it holds the lines");
        let errors = kept.iter().filter(|line| !line.trim().is_empty());
        errors
            .take(40)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// An offset at which the mesh listener and all of `places` are free, below the kernel's own range of ports.
fn free_offset(places: &[(Ipv4Addr, u16)]) -> Result<u16> {
    let mut given = OFFSETS
        .lock()
        .expect("nothing panics while it holds the offsets");
    let given = given.get_or_insert_default();
    let mesh = [(Ipv4Addr::LOCALHOST, MESH_PORT)];
    for _ in 0..10_000 {
        // From the system's entropy: other runs on this machine look elsewhere.
        let offset = fastrand::u16(1_000..16_000);
        let free = |(address, port): &(Ipv4Addr, u16)| {
            TcpListener::bind((*address, port + offset)).is_ok()
        };
        if !given.contains(&offset) && mesh.iter().chain(places).all(free) {
            given.insert(offset);
            return Ok(offset);
        }
    }
    bail!(
        "no offset shifts {places:?} to free ports; are all of 127.0.0.0/8 this machine's own addresses?"
    )
}

fn lines(
    stream: impl AsyncRead + Unpin + Send + 'static,
    keep: Option<Arc<Mutex<Vec<String>>>>,
) -> UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(kept) = &keep {
                kept.lock()
                    .expect("nothing panics while it holds the lines")
                    .push(line.clone());
            }
            // Whoever listened may have stopped; the pipe is emptied all the same.
            let _listening = sender.send(line);
        }
    });
    receiver
}
