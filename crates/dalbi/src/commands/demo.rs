//! `dalbi demo`

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use dispatcher::{ApplyError, Dispatcher, Options, StartError};
use mesh::ListenerKind;

use crate::cli::Verdict;
use crate::demo::{Screen, Servers, Summary};
use crate::load::{Load, Plan};
use crate::quantity;
use crate::serve;
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  dalbi demo
  dalbi demo --duration 10s --rate 2000
  dalbi demo --duration 10s --json | jq .p99_ms

Six servers are started in this process, no two kinds alike: fast ones, an old one, a slow one, a small one \
and one that fails. Requests are sent whether or not earlier ones were answered, and their latency counts \
from when they were due. Everything runs on free ports of 127.0.0.1. Ctrl-C ends it with a summary.";

/// `dalbi demo`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// End by itself after this long [default: run until Ctrl-C]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    duration: Option<Duration>,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Print nothing but the summary, as one object
    #[arg(long)]
    json: bool,
    /// Seed of the arrivals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the documents that are served and end
    #[arg(long)]
    print: bool,
}

/// How often another free port is tried when somebody else takes the one that was found.
const PORT_TRIES: u32 = 20;

/// Shows live traffic until Ctrl-C or the end of `--duration`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let servers = Servers::start()?;
    if arguments.print {
        io::stdout().write_all(servers.documents(8080).as_bytes())?;
        return Ok(Verdict::Good);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(show(arguments, &servers))
}

async fn show(arguments: &Arguments, servers: &Servers) -> anyhow::Result<Verdict> {
    let mut signals = Signals::stop_only()?;
    let dispatcher = start(servers)?;
    let target = dispatcher
        .listeners()
        .first()
        .context("the demo's documents have a listener")?
        .address;
    let started = Instant::now();
    let load = Load::start(Plan {
        target,
        authority: "demo".to_owned(),
        paths: vec!["/".to_owned()],
        rate_per_s: arguments.rate.into(),
        duration: arguments.duration,
        timeout: Duration::from_secs(10),
        max_outstanding: 10_000,
        seed: arguments.seed,
    })?;
    let mut out = io::stdout();
    if !arguments.json {
        let rate = arguments.rate;
        writeln!(
            out,
            "{rate} requests/s through http://{target} to six servers:"
        )?;
        for server in servers.iter() {
            writeln!(out, "  {:<8} {}", server.name, server.description)?;
        }
        writeln!(out, "Ctrl-C ends it with a summary.\n")?;
    }
    let mut screen = Screen::new(arguments.json);
    let mut frames = tokio::time::interval_at(
        tokio::time::Instant::now() + screen.interval(),
        screen.interval(),
    );
    let mut stopped_after = None;
    loop {
        tokio::select! {
            () = signals.stopped() => {
                if stopped_after.is_some() {
                    // Asked twice: what is still in flight is not waited for.
                    break;
                }
                stopped_after = Some(started.elapsed());
                load.stop();
            }
            () = load.finished() => break,
            _ = frames.tick() => screen.show(servers, load.recorder().take_window(), &mut out)?,
        }
    }
    let duration = stopped_after
        .or(arguments.duration)
        .unwrap_or_else(|| started.elapsed());
    let summary = Summary::new(servers, &load.recorder().total(), duration);
    if arguments.json {
        summary.write_json(&mut out)?;
    } else {
        writeln!(out)?;
        summary.write_text(&mut out)?;
    }
    Ok(Verdict::Good)
}

/// Starts the real dispatcher on a free port.
fn start(servers: &Servers) -> anyhow::Result<Dispatcher> {
    let mut tries = 0;
    loop {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let port = port.context("find a free port")?.port();
        let mut mesh = serve::own_documents("dalbi demo", servers.documents(port))?;
        mesh.listeners
            .retain(|listener| listener.kind == ListenerKind::Gateway);
        match Dispatcher::start(
            Options {
                admin: None,
                ..Options::default()
            },
            mesh,
        ) {
            Err(StartError::Apply(ApplyError::Listen { .. })) if tries < PORT_TRIES => tries += 1,
            started => return Ok(started?),
        }
    }
}
