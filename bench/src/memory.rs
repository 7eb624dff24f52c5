//! What a proxy's memory is at rest, and what waiting clients add to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cpu::resident_bytes;
use crate::figures::{median, rounded};
use crate::idle::IdleConnections;
use crate::load::{self, Target};
use crate::peers::{Bench, Binaries, Peer, RunningPeer};
use crate::process;
use crate::round::{self, Pace, Sample};
use crate::workload::Workload;

/// Options of `bench memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct MemoryOptions {
    /// Only these proxies [default: dalbi, haproxy, nginx and envoy].
    #[arg(long, value_name = "PROXY,…", value_delimiter = ',')]
    only: Vec<Peer>,
    /// Idle keep-alive connections.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: usize,
    /// Samples of p99 with, and as many without, the idle connections.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    binaries: Binaries,
}

#[derive(Debug, Serialize)]
struct Figures {
    proxy: &'static str,
    version: String,
    rest_bytes: u64,
    idle_connections: usize,
    /// Of these, closed by the proxy while they were needed.
    closed: usize,
    bytes_per_idle_connection: f64,
    p99_ms: f64,
    p99_ms_with_idle: f64,
    cpu_us: f64,
    cpu_us_with_idle: f64,
    rounds: u32,
}

/// How long a proxy is left alone before its memory at rest is read.
const REST: Duration = Duration::from_secs(1);

/// Runs what the options ask for and prints a table.
pub(crate) fn run(options: &MemoryOptions) -> Result<()> {
    if let [missing, ..] = load::missing_tools(&[Workload::Small])[..] {
        bail!("no load without {missing}");
    }
    process::raise_open_files();
    let mut bench = Bench::prepare(options.binaries.clone())?;
    let mut results = Vec::new();
    for peer in Peer::ALL {
        let wanted = if options.only.is_empty() {
            peer != Peer::Relay
        } else {
            options.only.contains(&peer)
        };
        if !wanted {
            continue;
        }
        eprintln!(
            "{}: {} idle connections, {} rounds",
            peer.name(),
            options.connections,
            options.rounds
        );
        // One at a time: what another proxy holds must not be counted, nor use the core.
        match bench.start(peer) {
            Err(error) => eprintln!("MISSING {}: {error:#}", peer.name()),
            Ok(running) => match judge(&bench, &running, options) {
                Ok(figures) => results.push(figures),
                Err(error) => {
                    eprintln!(
                        "BROKEN {}: {error:#}\n{}",
                        peer.name(),
                        running.last_words()
                    );
                }
            },
        }
    }
    print!("{}", table(&results));
    if let Some(path) = &options.json {
        let document = serde_json::json!({ "results": results });
        let text = serde_json::to_string_pretty(&document).context("writing JSON")? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if results.is_empty() {
        bail!("none of the proxies could be measured");
    }
    Ok(())
}

fn judge(bench: &Bench, peer: &RunningPeer, options: &MemoryOptions) -> Result<Figures> {
    std::thread::sleep(REST);
    let rest_bytes = resident_bytes(peer.pid())?;
    // Pools and buffers that any load brings are not the idle connections' fault.
    sample(bench, peer)?;
    let mut grown = None;
    let mut closed = 0;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        without.push(sample(bench, peer)?);
        let before = resident_bytes(peer.pid())?;
        let idle = IdleConnections::open(peer.port(Workload::Small), options.connections)?;
        let after = resident_bytes(peer.pid())?;
        // Later rounds find memory that the first one's connections have left behind.
        grown.get_or_insert(after.saturating_sub(before));
        with.push(sample(bench, peer)?);
        closed = closed.max(idle.closed());
    }
    let grown = grown.context("no rounds; give --rounds 1 or more")?;
    let middle = |samples: &[Sample], figure: fn(&Sample) -> f64| {
        rounded(median(samples.iter().map(figure)).unwrap_or(f64::NAN), 2)
    };
    Ok(Figures {
        proxy: peer.peer.name(),
        version: peer.version.clone(),
        rest_bytes,
        idle_connections: options.connections,
        closed,
        bytes_per_idle_connection: rounded(grown as f64 / options.connections as f64, 0),
        p99_ms: middle(&without, |sample| sample.p99_ms),
        p99_ms_with_idle: middle(&with, |sample| sample.p99_ms),
        cpu_us: middle(&without, |sample| sample.cpu_us),
        cpu_us_with_idle: middle(&with, |sample| sample.cpu_us),
        rounds: options.rounds,
    })
}

fn sample(bench: &Bench, peer: &RunningPeer) -> Result<Sample> {
    let target = Target {
        port: peer.port(Workload::Small),
        workload: Workload::Small,
        core: bench.cores.load,
        folder: bench.scratch.path(),
        script: None,
    };
    let pace = Pace {
        warm_up: Duration::from_millis(300),
        measure: Duration::from_secs(2),
    };
    round::measure(peer, bench.cores, pace, |duration| {
        load::run(&target, duration)
    })
}

fn table(results: &[Figures]) -> String {
    let mut out = format!(
        "\n{:<8} {:>12} {:>14} {:>9} {:>13} {:>9} {:>13} {:>7}\n",
        "proxy",
        "at rest MiB",
        "KiB/idle conn",
        "p99 ms",
        "with idle ms",
        "cpu µs",
        "with idle µs",
        "closed"
    );
    for row in results {
        out.push_str(&format!(
            "{:<8} {:>12.1} {:>14.1} {:>9.2} {:>13.2} {:>9.1} {:>13.1} {:>7}\n",
            row.proxy,
            row.rest_bytes as f64 / 1_048_576.0,
            row.bytes_per_idle_connection / 1024.0,
            row.p99_ms,
            row.p99_ms_with_idle,
            row.cpu_us,
            row.cpu_us_with_idle,
            row.closed
        ));
    }
    out
}
