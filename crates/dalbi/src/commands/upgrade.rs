//! `dalbi upgrade`

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use engine::api::{Upgrade, Upgraded};

use crate::admin_client::AdminOptions;
use crate::cli::Verdict;

const EXAMPLES: &str = "\
Examples:
  dalbi upgrade                                  after the binary was replaced, or to restart
  dalbi upgrade --binary /opt/dalbi-0.2/dalbi

The new process gets the listening sockets and what balancers have learned, serves beside the old one, and says so; \
then the old one ends its requests and goes. No request is lost. If the new one does not get ready, the old one goes \
on. Not while a generation is being tried.

Exit code 0: the new process serves; 3: it does not, and the old one goes on.";

/// `dalbi upgrade`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Program to go on with [default: the file that the process was started from, as it is now]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write the result to standard output as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

/// Has a new process go on with the work of the one that serves.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let binary = match &arguments.binary {
        Some(path) if arguments.admin.is_named() => Some(path.clone()),
        // The process's working directory is another.
        Some(path) => Some(std::path::absolute(path).context("find the program")?),
        None => None,
    };
    let upgrade = Upgrade {
        binary: binary.map(|path| path.display().to_string()),
    };
    let client = arguments.admin.client()?;
    let upgraded: Upgraded = runtime.block_on(client.post("/upgrade", &upgrade))?;
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &upgraded)?;
        writeln!(out)?;
    } else {
        let Upgraded { pid, took_ms } = upgraded;
        writeln!(
            out,
            "process {pid} serves after {took_ms} ms; the old one ends the requests that it has"
        )?;
    }
    Ok(Verdict::Good)
}
