//! How well each proxy spreads requests over unequal servers.
//!
//! The servers are real processes that sleep rather than compute, so that two cores suffice for all of them. Each
//! sample starts its servers and its proxy anew; within a round every contestant meets the same arrivals, the same
//! spells and the same draws of service times.

mod contestant;
mod prediction;
mod results;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http_client;
use crate::open_loop;
use crate::peers::{Bench, Binaries, Peer, dalbi};
use crate::process::Process;

use contestant::Contestant;
use prediction::Predictions;
use results::{Row, Sample};
use workload::Workload;

/// Every proxy gives up on a request after this long.
const DEADLINE: Duration = Duration::from_secs(1);

/// Options of `bench balancing`.
#[derive(Debug, clap::Args)]
pub(crate) struct BalancingOptions {
    /// One round of three seconds a sample.
    #[arg(long)]
    quick: bool,
    /// Samples of each proxy under each workload [default: 5, or 1 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds that each sample counts, after two of warm-up [default: 6, or 3 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Only these proxies; each runs with all its policies.
    #[arg(long, value_name = "PROXY,…", value_delimiter = ',')]
    only: Vec<Peer>,
    /// Only these workloads.
    #[arg(long, value_name = "WORKLOAD,…", value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Offered requests as a share of what the servers can do. At 0.65 a bad pick waits, while a good balancer need
    /// not let anyone wait for long.
    #[arg(long, value_name = "SHARE", default_value_t = 0.65)]
    load: f64,
    /// Of arrivals, spells and service times; each round adds one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the medians as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a bar chart of the 99th percentiles.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    binaries: Binaries,
}

/// Load that is not counted: connections open, policies learn.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs what the options ask for and prints the table.
pub(crate) fn run(options: &BalancingOptions) -> Result<()> {
    let (rounds, seconds) = if options.quick { (1, 3) } else { (5, 6) };
    if !(0.01..=2.0).contains(&options.load) {
        bail!("--load {} is not from 0.01 to 2", options.load);
    }
    let rounds = options.rounds.unwrap_or(rounds);
    let measured = Duration::from_secs(options.seconds.unwrap_or(seconds).into());
    let mut contest = Contest {
        bench: Bench::prepare(options.binaries.clone())?,
        upstream: dalbi::find(options.binaries.dalbi.as_deref())?,
        measured,
        load: options.load,
        entries: entries(options),
    };
    let predictions = contest.predict();
    let left = contest.entries.len() as u32 * rounds;
    let sample = WARM_UP + measured + Duration::from_millis(700);
    eprintln!("{left} samples, about {} s", (sample * left).as_secs());
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        contest.play(options.seed + u64::from(round), round as usize);
    }
    let mut rows = contest.rows();
    for row in &mut rows {
        let prediction = predictions
            .iter()
            .find(|(workload, _)| *workload == row.workload);
        row.predicted = prediction.and_then(|(_, of)| of.for_contestant(row.contestant));
    }
    if rows.is_empty() {
        bail!("no figures at all: {}", contest.complaints());
    }
    println!("\n{}", results::render(&rows));
    println!(
        "A failed request counts as one of {} s.",
        DEADLINE.as_secs()
    );
    for peer in Peer::ALL {
        if rows.iter().any(|row| row.contestant.peer == peer) {
            println!("{}: {}", peer.name(), Contestant::by_default(peer));
        }
    }
    print!("\n{}", results::render_goals(&rows));
    eprint!("{}", contest.complaints());
    if let Some(path) = &options.json {
        write(path, &results::json(&rows).context("writing JSON")?)?;
    }
    if let Some(path) = &options.svg {
        write(path, &results::svg(&rows))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Who runs under what, workload by workload.
fn entries(options: &BalancingOptions) -> Vec<Entry> {
    let wanted =
        |workload: &Workload| options.workloads.is_empty() || options.workloads.contains(workload);
    let only = &options.only;
    Workload::ALL
        .into_iter()
        .filter(wanted)
        .flat_map(|workload| {
            Contestant::ALL
                .into_iter()
                .filter(|contestant| only.is_empty() || only.contains(&contestant.peer))
                .map(move |contestant| Entry {
                    workload,
                    contestant,
                    version: String::new(),
                    samples: Vec::new(),
                    broken: None,
                })
        })
        .collect()
}

/// One contestant under one workload.
#[derive(Debug)]
struct Entry {
    workload: Workload,
    contestant: Contestant,
    version: String,
    samples: Vec<Sample>,
    broken: Option<String>,
}

#[derive(Debug)]
struct Contest {
    bench: Bench,
    /// The program that is a server.
    upstream: PathBuf,
    measured: Duration,
    load: f64,
    entries: Vec<Entry>,
}

impl Contest {
    /// What the simulator says of each workload; a workload of which it says nothing is left out.
    fn predict(&self) -> Vec<(Workload, Predictions)> {
        let mut workloads: Vec<Workload> =
            self.entries.iter().map(|entry| entry.workload).collect();
        workloads.dedup();
        let mut predictions = Vec::new();
        for workload in workloads {
            let folder = self.bench.scratch.path();
            match Predictions::of(&self.upstream, folder, workload, self.load) {
                Ok(prediction) => predictions.push((workload, prediction)),
                Err(error) => eprintln!("no prediction for {}: {error:#}", workload.name()),
            }
        }
        predictions
    }

    /// One sample of everyone. Each round another one begins, so that a machine that changes hurts nobody in
    /// particular.
    fn play(&mut self, seed: u64, first: usize) {
        let mut entries = std::mem::take(&mut self.entries);
        for group in entries.chunk_by_mut(|a, b| a.workload == b.workload) {
            let length = group.len();
            for index in 0..length {
                let entry = &mut group[(index + first) % length];
                if entry.broken.is_some() {
                    continue;
                }
                let label = format!(
                    "{:<12} {:<30}",
                    entry.workload.name(),
                    entry.contestant.name()
                );
                match self.sample(entry.workload, entry.contestant, seed) {
                    Ok((version, sample)) => {
                        eprintln!(
                            "  {label} p50 {:6.1}  p99 {:7.1}  p99.9 {:7.1} ms  errors {:.3} %",
                            sample.quantile_ms(0.5),
                            sample.quantile_ms(0.99),
                            sample.quantile_ms(0.999),
                            sample.error_rate() * 100.0
                        );
                        entry.version = version;
                        entry.samples.push(sample);
                    }
                    Err(error) => {
                        eprintln!("  {label} BROKEN: {error:#}");
                        entry.broken = Some(format!("{error:#}"));
                    }
                }
            }
        }
        self.entries = entries;
    }

    fn sample(
        &mut self,
        workload: Workload,
        contestant: Contestant,
        seed: u64,
    ) -> Result<(String, Sample)> {
        let mut ports = Vec::new();
        let mut servers = Vec::new();
        for (index, server) in workload.servers().iter().enumerate() {
            let port = self.bench.ports.free()?;
            let mut command = vec![self.upstream.to_string_lossy().into_owned()];
            // Far apart, so that no server of one round draws what another one drew in the last.
            command.extend(server.arguments(port, seed * 1000 + index as u64));
            let log = self.bench.scratch.path().join(format!("server-{port}.log"));
            servers.push(Process::server(self.bench.cores.load, &command, &log)?);
            ports.push(port);
        }
        for (server, &port) in servers.iter_mut().zip(&ports) {
            // The failing one fails requests only.
            server.wait_until(|| http_client::get(port, "/healthz").is_ok())?;
        }
        let proxy = contestant.start(&mut self.bench, &ports)?;
        let rate_per_s = workload.rate_per_s(self.load);
        let schedule = open_loop::schedule(rate_per_s, WARM_UP + self.measured, seed);
        let ended = open_loop::run(proxy.http(), &schedule)?;
        Ok((proxy.version, Sample::of(&ended, WARM_UP)))
    }

    fn rows(&self) -> Vec<Row> {
        let row = |entry: &Entry| {
            Row::of(
                entry.workload,
                entry.contestant,
                &entry.version,
                &entry.samples,
                self.measured,
            )
        };
        self.entries.iter().filter_map(row).collect()
    }

    /// What makes the table less than what was asked for, a line each.
    fn complaints(&self) -> String {
        let broken = self.entries.iter().filter_map(|entry| {
            let reason = entry.broken.as_ref()?;
            let (workload, name) = (entry.workload.name(), entry.contestant.name());
            Some(format!("BROKEN: {name} under {workload}: {reason}\n"))
        });
        broken.collect()
    }
}
