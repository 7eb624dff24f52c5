//! `dalbi run`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use dispatcher::Dispatcher;
use engine::{Candidate, Handle};
use generations::Document;

use super::LoadOptions;
use crate::cli::{UsageError, Verdict};
use crate::documents::{self, FolderWatch, MeshLoader};
use crate::serve::{self, AdminServerOptions, ServeOptions, TrialOptions};
use crate::service::Service;
use crate::signals::{Request, Signals};
use crate::state::StateOptions;

mod start;

use start::Started;

const EXAMPLES: &str = "\
Examples:
  dalbi run examples/hello
  dalbi run manifests/ --labels istio=ingressgateway --access-log json
  dalbi run manifests/ --port-offset 8000 --bind 127.0.0.1    port 80 becomes 8080
  dalbi run manifests/ --canary 10% --probation 5m            try every change on a tenth of requests first
  dalbi run --state /var/lib/dalbi                            serve what was confirmed last; change with `dalbi apply`

The folder is watched: a change is served as soon as it is written, and on SIGHUP, as a generation of its own. It is \
watched for the time of its probation; if it hurts, the generation before it serves again. Documents with errors \
change nothing. SIGTERM and SIGINT let requests in flight end first; a second one does not wait.

Exit code 0: stopped by a signal, or taken over by `dalbi upgrade`; 1: the documents have errors; 3: for example a \
port that is taken.";

/// `dalbi run`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder with documents: every *.yaml, *.yml and *.json below it. Without, what was confirmed last is served
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Make a generation of every change of the folder; `--watch=false` takes changes on SIGHUP only
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = clap::ArgAction::Set)]
    watch: bool,
    #[command(flatten)]
    state: StateOptions,
    /// File with an ed25519 public key: only generations that are signed with one of these are taken. A folder can't
    /// sign, so it goes without DIR
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "folder",
        help_heading = "Generations"
    )]
    require_signed: Vec<PathBuf>,
    #[command(flatten)]
    trial: TrialOptions,
    #[command(flatten)]
    admin: AdminServerOptions,
    #[command(flatten)]
    serve: ServeOptions,
    #[command(flatten)]
    load: LoadOptions,
}

/// Serves the folder until SIGINT or SIGTERM, or until a new process has taken over.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> anyhow::Result<Verdict> {
    // Whoever asks for readiness may be systemd, which wants to hear from us until the end.
    let service = Service::from_environment();
    let mut signals = Signals::stop_and_reload()?;
    let mut folder = arguments.folder.as_deref().map(WatchedFolder::new);
    let Some(started) = start::start(arguments, folder.as_mut())? else {
        return Ok(Verdict::Findings);
    };
    let Started {
        dispatcher,
        engine,
        admin,
        upgrader,
    } = started;
    serve::announce(&dispatcher, admin.as_ref())?;
    service.ready(&dispatcher);

    let handle = engine.as_ref().map(engine::Engine::handle);
    let successor = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Request::Stop => break None,
                Request::Reload => if let Some(handle) = &handle {
                    reload(arguments, handle, folder.as_mut()).await;
                },
            },
            () = changed(folder.as_mut(), arguments.watch && handle.is_some()) => {
                let (Some(handle), Some(folder)) = (&handle, &mut folder) else { continue };
                if let Some(candidate) = folder.changed_candidate(arguments) {
                    // A refusal has been told.
                    drop(handle.propose(candidate).await);
                }
            }
            pid = upgrader.upgraded() => break Some(pid),
        }
    };
    service.stopping(successor);
    if let Some(engine) = engine {
        let stopped = tokio::task::spawn_blocking(move || engine.stop());
        // The store's lock goes with it.
        drop(stopped.await);
    }
    let dispatcher = alone(dispatcher).await?;
    let admin = match successor {
        // The new process answers on the same socket.
        Some(_) => {
            if let Some(admin) = admin {
                tokio::task::spawn_blocking(move || admin.stop()).await.ok();
            }
            None
        }
        None => admin,
    };
    serve::drain(dispatcher, &mut signals).await?;
    if let Some(admin) = admin {
        admin.stop();
    }
    Ok(Verdict::Good)
}

/// The dispatcher, once the watchdog and whoever else looks at it now and then has let go of it.
async fn alone(mut dispatcher: Arc<Dispatcher>) -> anyhow::Result<Dispatcher> {
    for _ in 0..200 {
        match Arc::try_unwrap(dispatcher) {
            Ok(alone) => return Ok(alone),
            Err(shared) => dispatcher = shared,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("somebody still has the dispatcher; please report this")
}

/// What is to be read again on SIGHUP: the folder, and whatever files its documents name.
async fn reload(arguments: &Arguments, handle: &Handle, folder: Option<&mut WatchedFolder>) {
    let proposed = match folder {
        Some(folder) => {
            let candidate = folder.candidate(arguments);
            handle
                .propose(candidate)
                .await
                .map(|accepted| accepted.unchanged)
        }
        None => Ok(true),
    };
    if let Ok(true) = proposed
        && let Err(refusal) = handle.reload().await
    {
        tracing::error!(%refusal, "reload failed; serving on what was loaded before");
    }
}

/// Pending for ever where nothing is watched.
async fn changed(folder: Option<&mut WatchedFolder>, watched: bool) {
    match folder {
        Some(folder) if watched => folder.watch.changed().await,
        _ => std::future::pending().await,
    }
}

/// A folder and what it held when it was read last.
struct WatchedFolder {
    root: PathBuf,
    watch: FolderWatch,
    /// Also documents that were refused: they are not refused again until they change.
    known: Option<Vec<Document>>,
    /// Why it could not be read last time.
    told: Option<String>,
}

impl WatchedFolder {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            watch: FolderWatch::new(root),
            known: None,
            told: None,
        }
    }

    /// As the store names it. A link that leads elsewhere by now is still the same folder.
    fn source(&self) -> String {
        let path = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        path.display().to_string()
    }

    /// What it holds now.
    fn candidate(&mut self, arguments: &Arguments) -> Candidate {
        let (documents, broken) = match self.watch.read() {
            Err(error) => (Vec::new(), Some(engine::Findings::text(error.to_string()))),
            Ok(contents) => {
                let problems = &contents.problems;
                let broken = (!problems.is_empty()).then(|| documents::findings(problems));
                (documents::documents_of(&contents, &self.root), broken)
            }
        };
        if broken.is_none() {
            self.known = Some(documents.clone());
        }
        Candidate {
            source: self.source(),
            documents,
            broken,
            loaded: None,
            terms: arguments.trial.terms(),
        }
    }

    /// The same, if it is something else than before. Editors touch files without changing them, and our own log may
    /// lie beside the documents.
    fn changed_candidate(&mut self, arguments: &Arguments) -> Option<Candidate> {
        let before = self.known.take();
        let candidate = self.candidate(arguments);
        let same = match &candidate.broken {
            None => before.as_ref() == Some(&candidate.documents),
            // A folder that is gone is looked for every second, and told of once.
            Some(findings) => self.told.as_ref() == Some(&findings.text),
        };
        self.told = candidate
            .broken
            .as_ref()
            .map(|findings| findings.text.clone());
        if candidate.broken.is_some() {
            self.known = before;
        }
        (!same).then_some(candidate)
    }
}

/// The files of these flags, as the store takes them.
fn trusted_keys(files: &[PathBuf]) -> anyhow::Result<Vec<generations::PublicKey>> {
    let read = |path: &PathBuf| {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        text.trim()
            .parse::<generations::PublicKey>()
            .map_err(|error| {
                UsageError(anyhow::anyhow!(
                    "--require-signed {}: {error}",
                    path.display()
                ))
                .into()
            })
    };
    files.iter().map(read).collect()
}

/// Findings go to standard error, where logs go too.
fn tell(documents: &documents::Documents) -> io::Result<()> {
    use crate::report::{self, Style};
    let mut stderr = io::stderr();
    let style = Style::of(&stderr);
    report::write_diagnostics(&documents.diagnostics, &documents.files, &mut stderr, style)?;
    if documents.mesh.is_none() {
        writeln!(stderr, "{}", report::summary_line(documents))?;
    }
    Ok(())
}

fn loader(arguments: &Arguments) -> MeshLoader {
    let mut options = arguments.load.to_mesh();
    options.locality = arguments.serve.to_dispatcher().locality;
    MeshLoader::new(options)
}
