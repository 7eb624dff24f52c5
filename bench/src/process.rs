//! Child processes that are pinned, logged, and gone when the run is.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::cores;

/// What would outlive this process if nobody looked after it.
#[derive(Debug)]
struct Leftovers {
    children: Vec<Pid>,
    folders: Vec<PathBuf>,
}

static LEFTOVERS: Mutex<Leftovers> = Mutex::new(Leftovers {
    children: Vec::new(),
    folders: Vec::new(),
});

/// Runs `body`, then stops all children and removes all scratch folders: on return, on error,
/// on a panic (release builds abort, so a destructor would be too late) and on Ctrl-C or SIGTERM.
pub(crate) fn with_cleanup(body: impl FnOnce() -> Result<()>) -> Result<()> {
    ctrlc::set_handler(|| {
        clean_up();
        eprintln!("interrupted: peers stopped, scratch folder removed");
        std::process::exit(130);
    })
    .context("installing the Ctrl-C handler")?;
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        clean_up();
        report(info);
    }));
    let outcome = body();
    clean_up();
    outcome
}

/// Removes this folder when the run ends.
pub(crate) fn remove_at_exit(folder: PathBuf) {
    lock(|leftovers| leftovers.folders.push(folder));
}

fn lock<T>(act: impl FnOnce(&mut Leftovers) -> T) -> T {
    act(&mut LEFTOVERS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn clean_up() {
    lock(|leftovers| {
        for child in leftovers.children.drain(..) {
            // Already gone is as good as killed.
            rustix::process::kill_process(child, Signal::KILL).ok();
        }
        for folder in leftovers.folders.drain(..) {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                eprintln!(
                    "warning: {} could not be removed: {error}",
                    folder.display()
                );
            }
        }
    });
}

/// Arguments of the hidden `pinned` subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct PinnedOptions {
    /// The core to run on.
    #[arg(long)]
    core: usize,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Turns this process into `options.command`, on one core and with as many files as the user may
/// have open. It keeps its pid, so that what `/proc` says of the pid is said of the program.
pub(crate) fn become_pinned(options: &PinnedOptions) -> Result<()> {
    // A parent killed with SIGKILL cannot clean up, the kernel can.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("asking to die with the parent")?;
    cores::pin_to(options.core)?;
    raise_open_files();
    let (program, arguments) = options.command.split_first().context("no program given")?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("starting {program}"))
}

/// Lifts the limit on open files to 65,536, or as near to it as this user may go.
pub(crate) fn raise_open_files() {
    const WANTED: u64 = 65_536;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let both = Rlimit {
        current: Some(WANTED),
        maximum: Some(hard.max(WANTED)),
    };
    if rustix::process::setrlimit(Resource::Nofile, both).is_err() {
        let soft = Rlimit {
            current: Some(hard.min(WANTED)),
            maximum: limit.maximum,
        };
        // Too few files show up as refused connections, with the limit named there.
        rustix::process::setrlimit(Resource::Nofile, soft).ok();
    }
}

/// A running child, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts a server on `core`, its output going to `log`.
    pub(crate) fn server(core: usize, command: &[String], log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("sharing the log file")?;
        Self::spawn(core, command, out.into(), err.into(), Some(log.to_owned()))
    }

    /// Starts a tool on `core` whose output is wanted at its end.
    pub(crate) fn tool(core: usize, command: &[String]) -> Result<Self> {
        Self::spawn(core, command, Stdio::piped(), Stdio::piped(), None)
    }

    fn spawn(
        core: usize,
        command: &[String],
        out: Stdio,
        err: Stdio,
        log: Option<PathBuf>,
    ) -> Result<Self> {
        let program = command.first().context("no program given")?;
        let name = Path::new(program).file_name().map_or_else(
            || program.clone(),
            |name| name.to_string_lossy().into_owned(),
        );
        let this = std::env::current_exe().context("finding this program's own path")?;
        let child = Command::new(this)
            .args(["pinned", "--core", &core.to_string(), "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        lock(|leftovers| leftovers.children.push(Pid::from_child(&child)));
        Ok(Self { name, child, log })
    }

    /// The process id, for `/proc`.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("sending a signal to {}", self.name))
    }

    /// Polls `ready` every few milliseconds until it holds, the child dies or ten seconds pass.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !ready() {
            if let Some(status) = self
                .child
                .try_wait()
                .context("asking for the child's state")?
            {
                bail!(
                    "{} ended at start ({status}):\n{}",
                    self.name,
                    self.last_words()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{} did not answer within 10s:\n{}",
                    self.name,
                    self.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits for a tool's end and returns what it wrote.
    pub(crate) fn finish(mut self) -> Result<Output> {
        let stdout = self
            .child
            .stdout
            .take()
            .map(read_to_end)
            .transpose()?
            .unwrap_or_default();
        let stderr = self
            .child
            .stderr
            .take()
            .map(read_to_end)
            .transpose()?
            .unwrap_or_default();
        let status = self
            .child
            .wait()
            .with_context(|| format!("waiting for {}", self.name))?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// The last lines of a server's log.
    pub(crate) fn last_words(&self) -> String {
        let text = self
            .log
            .as_ref()
            .and_then(|log| std::fs::read_to_string(log).ok());
        let lines: Vec<&str> = text.as_deref().unwrap_or_default().lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        // Off the list first: once waited for, the number may belong to somebody else.
        lock(|leftovers| leftovers.children.retain(|&child| child != pid));
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_to_end(mut pipe: impl std::io::Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)
        .context("reading a tool's output")?;
    Ok(bytes)
}
