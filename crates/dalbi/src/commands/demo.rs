//! `dalbi demo`

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::cli::Verdict;
use crate::demo::{Algorithm, Comparison, Screen, Servers, Side, Summary};
use crate::load::Plan;
use crate::quantity;
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  dalbi demo
  dalbi demo --duration 10s --rate 2000
  dalbi demo --duration 10s --json | jq .p99_ms
  dalbi demo --compare round_robin

Six servers are started in this process, no two kinds alike: fast ones, an old one, a slow one, a small one \
and one that fails. Requests are sent whether or not earlier ones were answered, and their latency counts \
from when they were due. Everything runs on free ports of 127.0.0.1. Ctrl-C ends it with a summary.

With --compare there are two proxies, ALBA's and the other's, each with six servers of its own that behave \
alike. Both get a request at the same moments, so that nothing differs but the choice of the server.";

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
    /// Show another algorithm beside ALBA, on the same traffic
    #[arg(long, value_name = "ALGORITHM", value_enum)]
    compare: Option<Algorithm>,
    /// Print the documents that are served and end
    #[arg(long, conflicts_with = "compare")]
    print: bool,
}

/// Shows live traffic until Ctrl-C or the end of `--duration`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    if arguments.print {
        let documents = Servers::start()?.documents(8080, Algorithm::Alba);
        io::stdout().write_all(documents.as_bytes())?;
        return Ok(Verdict::Good);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(show(arguments))
}

async fn show(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let mut signals = Signals::stop_only()?;
    let algorithms: Vec<_> = [Algorithm::Alba]
        .into_iter()
        .chain(arguments.compare)
        .collect();
    let sides = Side::start_all(&algorithms, |target| Plan {
        target,
        authority: "demo".to_owned(),
        paths: vec!["/".to_owned()],
        rate_per_s: arguments.rate.into(),
        duration: arguments.duration,
        timeout: Duration::from_secs(10),
        max_outstanding: 10_000,
        seed: arguments.seed,
    })?;
    let started = Instant::now();
    let mut out = io::stdout();
    if !arguments.json {
        introduce(&sides, arguments.rate, &mut out)?;
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
                sides.iter().for_each(|side| side.load.stop());
            }
            () = all_finished(&sides) => break,
            _ = frames.tick() => screen.show(&sides, &mut out)?,
        }
    }
    let duration = stopped_after
        .or(arguments.duration)
        .unwrap_or_else(|| started.elapsed());
    if !arguments.json {
        writeln!(out)?;
    }
    let results: Vec<_> = sides
        .iter()
        .map(|side| Summary::new(side, &side.load.recorder().total(), duration))
        .collect();
    match (results.as_slice(), arguments.json) {
        ([alone], true) => write_json(alone, &mut out)?,
        ([alone], false) => alone.write_text(&mut out)?,
        (both, true) => write_json(&Comparison::new(both), &mut out)?,
        (both, false) => Comparison::new(both).write_text(&mut out)?,
    }
    Ok(Verdict::Good)
}

/// Says where requests go, and what is there.
fn introduce(sides: &[Side], rate: u32, out: &mut impl Write) -> io::Result<()> {
    if let [side] = sides {
        let target = side.target;
        writeln!(
            out,
            "{rate} requests/s through http://{target} to six servers:"
        )?;
    } else {
        let proxies: Vec<_> = sides
            .iter()
            .map(|side| format!("{} on http://{}", side.algorithm.name(), side.target))
            .collect();
        writeln!(
            out,
            "{rate} requests/s through each of two proxies, at the same moments:\n{}.\n\
             Each has six servers of its own:",
            proxies.join(", ")
        )?;
    }
    for server in sides.iter().take(1).flat_map(|side| side.servers.iter()) {
        writeln!(out, "  {:<8} {}", server.name, server.description)?;
    }
    writeln!(out, "Ctrl-C ends it with a summary.\n")
}

async fn all_finished(sides: &[Side]) {
    for side in sides {
        side.load.finished().await;
    }
}

/// One object.
fn write_json(results: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, results)?;
    writeln!(out)
}
