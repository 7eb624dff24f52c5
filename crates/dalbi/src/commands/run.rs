//! `dalbi run`

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use dispatcher::{Dispatcher, Inherited};
use mesh::{Diagnostic, Severity, SourceFile};
use serde_json::json;

use super::LoadOptions;
use crate::cli::Verdict;
use crate::documents::{Documents, FolderWatch};
use crate::report::{self, Style};
use crate::serve::{self, AdminAddress, ServeOptions};
use crate::signals::{Request, Signals};

const EXAMPLES: &str = "\
Examples:
  dalbi run examples/hello
  dalbi run manifests/ --labels istio=ingressgateway --access-log json
  dalbi run manifests/ --port-offset 8000 --bind 127.0.0.1    port 80 becomes 8080

The folder is watched: a change is loaded as soon as it is written, and on SIGHUP. Documents with errors \
change nothing. SIGTERM and SIGINT let requests in flight end first; a second one does not wait.

Exit code 0: stopped by a signal; 1: the documents have errors; 3: for example a port that is taken.";

/// `dalbi run`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder with documents: every *.yaml, *.yml and *.json below it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Address of the admin server (/ready, /metrics, /clusters, /config_dump …), or `off`. On loopback by
    /// default: it needs no password
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:15000",
        help_heading = "Serving"
    )]
    admin: AdminAddress,
    #[command(flatten)]
    serve: ServeOptions,
    #[command(flatten)]
    load: LoadOptions,
}

/// Serves the folder until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let mut signals = Signals::stop_and_reload()?;
    let mut watch = FolderWatch::new(&arguments.folder);
    let dispatcher_options = arguments.serve.to_dispatcher(arguments.admin.0);
    let mut options = arguments.load.to_mesh();
    options.locality = dispatcher_options.locality.clone();
    let mut documents = Documents::from_contents(watch.read()?, &options);
    tell(&documents)?;
    if let Some(absence) = documents.absence(&options) {
        writeln!(io::stderr(), "warning: {absence}")?;
    }
    let Some(mesh) = documents.mesh.take() else {
        return Ok(Verdict::Findings);
    };
    let dispatcher =
        Dispatcher::start(dispatcher_options, Arc::new(mesh), "", Inherited::default())?;
    dispatcher.set_objects(json!(documents.statuses));
    writeln!(io::stdout(), "loaded: {}", report::summary_line(&documents))?;
    serve::announce(&dispatcher)?;

    let mut served = Served {
        dispatcher,
        files: documents.files,
        options,
    };
    loop {
        let reason = tokio::select! {
            signal = signals.next() => match signal {
                Request::Stop => break,
                Request::Reload => Reason::Signal,
            },
            () = watch.changed() => Reason::Change,
        };
        served.reload(&mut watch, reason);
    }
    serve::drain(served.dispatcher, &mut signals).await?;
    Ok(Verdict::Good)
}

/// Findings go to standard error, where logs go too.
fn tell(documents: &Documents) -> io::Result<()> {
    let mut stderr = io::stderr();
    let style = Style::of(&stderr);
    report::write_diagnostics(&documents.diagnostics, &documents.files, &mut stderr, style)?;
    if documents.mesh.is_none() {
        writeln!(stderr, "{}", report::summary_line(documents))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Change,
    Signal,
}

/// The dispatcher with the documents that were read last.
struct Served {
    dispatcher: Dispatcher,
    /// Also those that were refused: they are not refused again until they change.
    files: Vec<SourceFile>,
    options: mesh::Options,
}

impl Served {
    /// Reads the folder again. Whatever is wrong with it, what was served is served on.
    fn reload(&mut self, watch: &mut FolderWatch, reason: Reason) {
        let contents = match watch.read() {
            Ok(contents) => contents,
            Err(error) => return self.reject(json!(error.to_string()), &error),
        };
        // Editors touch files without changing them, and our own log may lie beside the documents.
        let readable = contents.problems.is_empty();
        if reason == Reason::Change && readable && same(&contents.files, &self.files) {
            return;
        }
        let mut documents = Documents::from_contents(contents, &self.options);
        let Some(mesh) = documents.mesh.take() else {
            self.files = documents.files;
            return self.reject(
                json!(documents.diagnostics),
                &findings(&documents.diagnostics),
            );
        };
        match self.dispatcher.apply(Arc::new(mesh), "") {
            Ok(applied) => {
                // First, so that whoever reads the log line finds them at the admin server.
                self.dispatcher.set_objects(json!(documents.statuses));
                tracing::info!(
                    configuration = applied.number,
                    took_ms = applied.took.as_millis() as u64,
                    opened = ?applied.opened,
                    closed = ?applied.closed,
                    documents = report::summary_line(&documents),
                    "reloaded"
                );
            }
            Err(error) => self.reject(json!(error.to_string()), &error),
        }
        self.files = documents.files;
    }

    fn reject(&self, reasons: serde_json::Value, shown: &dyn std::fmt::Display) {
        // First, so that whoever reads the log line finds the reasons at the admin server.
        self.dispatcher.reject(reasons);
        tracing::error!(
            reason = %shown,
            "documents not taken; serving on what was loaded before"
        );
    }
}

/// Errors on one line, for the log.
fn findings(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn same(a: &[SourceFile], b: &[SourceFile]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.path == b.path && a.text == b.text)
}
