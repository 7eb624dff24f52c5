//! The side-by-side run: every proxy under every workload, round by round.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::figures::{self, Row};
use crate::load::{self, Target};
use crate::peers::{Bench, Binaries, Peer, RunningPeer};
use crate::round::{self, Pace, Sample};
use crate::workload::Workload;
use crate::{chart, table};

/// Options of `bench proxy`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProxyOptions {
    /// Three short rounds, under four minutes in all.
    #[arg(long)]
    quick: bool,
    /// Samples of each proxy under each workload [default: 5, or 3 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Only these proxies.
    #[arg(long, value_name = "PROXY,…", value_delimiter = ',')]
    only: Vec<Peer>,
    /// Only these workloads.
    #[arg(long, value_name = "WORKLOAD,…", value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Writes the medians as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a bar chart of the CPU times.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Share of the proxy's core that others may take before a sample is dropped.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    max_others: f64,
    #[command(flatten)]
    binaries: Binaries,
}

/// How much a run measures, and how long it may go on.
#[derive(Debug)]
struct Plan {
    rounds: u32,
    pace: Pace,
    /// Dropped samples are taken again only while there is time.
    retry_until: Option<Instant>,
    max_others: f64,
}

/// How often a dropped sample is taken again.
const RETRIES: u32 = 2;

/// Runs what the options ask for and prints the table.
pub(crate) fn run(options: &ProxyOptions) -> Result<()> {
    let workloads = pick(&options.workloads, &Workload::ALL);
    let peers = pick(&options.only, &Peer::ALL);
    let missing = load::missing_tools(&workloads);
    if !missing.is_empty() {
        bail!("no load without {}", missing.join(" and "));
    }
    let plan = Plan::of(options);
    let mut bench = Bench::prepare(options.binaries.clone())?;
    let mut absent = Vec::new();
    let mut running = Vec::new();
    for peer in peers {
        match bench.start(peer) {
            Ok(peer) => {
                eprintln!("{} {} is up", peer.peer.name(), peer.version);
                running.push(peer);
            }
            Err(error) => {
                eprintln!("MISSING {}: {error:#}", peer.name());
                absent.push(peer.name());
            }
        }
    }
    if running.is_empty() {
        bail!("none of the proxies could be started");
    }

    let mut contest = Contest::new(&bench, &running, &workloads);
    contest.play(&plan);
    let rows = contest.rows();
    if !rows.is_empty() {
        println!("\n{}", table::render(&rows));
        print!("{}", table::render_goals(&rows));
    }
    contest.complain();
    if !absent.is_empty() {
        eprintln!("MISSING, not in the table: {}", absent.join(", "));
    }
    if rows.is_empty() {
        bail!("no figures at all; raise --max-others if the machine cannot be quieter");
    }
    if let Some(path) = &options.json {
        let text = figures::json(&rows).context("writing JSON")?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::svg(&rows))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// `wanted` in the order of `all`, or all of them if none are named.
fn pick<T: Copy + PartialEq>(wanted: &[T], all: &[T]) -> Vec<T> {
    all.iter()
        .copied()
        .filter(|item| wanted.is_empty() || wanted.contains(item))
        .collect()
}

impl Plan {
    fn of(options: &ProxyOptions) -> Self {
        // 28 pairs × 3 rounds × 2.25 s is 189 s; what is left of four minutes is for retries.
        let (rounds, warm_up, measure) = if options.quick {
            (3, 300, 1800)
        } else {
            (5, 700, 3000)
        };
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            pace: Pace {
                warm_up: Duration::from_millis(warm_up),
                measure: Duration::from_millis(measure),
            },
            retry_until: options
                .quick
                .then(|| Instant::now() + Duration::from_secs(230)),
            max_others: options.max_others,
        }
    }

    /// A sample with the starts and ends of its load generators.
    fn sample_time(&self) -> Duration {
        self.pace.warm_up + self.pace.measure + Duration::from_millis(150)
    }

    fn seconds(&self, samples: u32) -> u64 {
        (self.sample_time() * samples).as_secs()
    }

    /// Whether one sample more is possible before the `samples_left` others.
    fn has_time(&self, samples_left: u32) -> bool {
        let needed = self.sample_time() * (samples_left + 1);
        self.retry_until
            .is_none_or(|end| Instant::now() + needed < end)
    }
}

/// One proxy under one workload.
#[derive(Debug)]
struct Pair<'a> {
    workload: Workload,
    peer: &'a RunningPeer,
    samples: Vec<Sample>,
    dropped: u32,
    broken: Option<String>,
}

impl Pair<'_> {
    /// Takes a sample, and another one if others used the core and there is time for it.
    fn play(&mut self, bench: &Bench, plan: &Plan, samples_left: u32) {
        for attempt in 0..=RETRIES {
            if self.broken.is_some() || (attempt > 0 && !plan.has_time(samples_left)) {
                return;
            }
            let label = format!("{:<10} {:<8}", self.workload.name(), self.peer.peer.name());
            match self.sample(bench, plan.pace) {
                Err(error) => {
                    eprintln!("  {label} BROKEN: {error:#}\n{}", self.peer.last_words());
                    self.broken = Some(format!("{error:#}"));
                }
                Ok(sample) if sample.others_share > plan.max_others => {
                    self.dropped += 1;
                    let share = sample.others_share * 100.0;
                    eprintln!("  {label} dropped: others took {share:.0} % of its core");
                }
                Ok(sample) => {
                    let Sample {
                        cpu_us,
                        rps,
                        p99_ms,
                        ..
                    } = sample;
                    eprintln!("  {label} {cpu_us:7.1} µs {rps:8.0} rps  p99 {p99_ms:6.2} ms");
                    self.samples.push(sample);
                    return;
                }
            }
        }
    }

    fn sample(&self, bench: &Bench, pace: Pace) -> Result<Sample> {
        let target = Target {
            port: self.peer.port(self.workload),
            workload: self.workload,
            core: bench.cores.load,
            folder: bench.scratch.path(),
            script: None,
        };
        round::measure(self.peer, bench.cores, pace, |duration| {
            load::run(&target, duration)
        })
    }

    fn row(&self) -> Option<Row> {
        Row::of(
            self.workload,
            self.peer.peer,
            &self.peer.version,
            &self.samples,
        )
    }
}

#[derive(Debug)]
struct Contest<'a> {
    bench: &'a Bench,
    /// Workload by workload.
    pairs: Vec<Pair<'a>>,
}

impl<'a> Contest<'a> {
    fn new(bench: &'a Bench, peers: &'a [RunningPeer], workloads: &[Workload]) -> Self {
        let pairs = workloads
            .iter()
            .flat_map(|&workload| peers.iter().map(move |peer| (workload, peer)))
            .filter(|(workload, peer)| peer.peer.supports(*workload))
            .map(|(workload, peer)| Pair {
                workload,
                peer,
                samples: Vec::new(),
                dropped: 0,
                broken: None,
            })
            .collect();
        Self { bench, pairs }
    }

    /// Takes all samples. Within a workload the proxies take turns, so that a machine that slows
    /// down slows all of them, and nobody is always the first.
    fn play(&mut self, plan: &Plan) {
        let mut left = plan.rounds * self.pairs.len() as u32;
        for round in 1..=plan.rounds {
            eprintln!(
                "round {round} of {}, about {} s to go",
                plan.rounds,
                plan.seconds(left)
            );
            for pairs in self.pairs.chunk_by_mut(|a, b| a.workload == b.workload) {
                for pair in pairs.iter_mut() {
                    left -= 1;
                    pair.play(self.bench, plan, left);
                }
                pairs.rotate_left(1);
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.pairs.iter().filter_map(Pair::row).collect();
        rows.sort_by_key(|row| (row.workload, row.peer));
        rows
    }

    /// Says what makes the table less than what was asked for.
    fn complain(&self) {
        for pair in &self.pairs {
            let name = format!("{} under {}", pair.peer.peer.name(), pair.workload.name());
            if let Some(reason) = &pair.broken {
                eprintln!("BROKEN: {name}: {reason}");
            } else if pair.samples.is_empty() {
                eprintln!("NO FIGURES: {name}: all samples dropped; is the machine busy?");
            }
            let failed: u64 = pair.samples.iter().map(|sample| sample.failed).sum();
            if failed > 0 {
                eprintln!("FAILED REQUESTS: {name}: {failed}");
            }
        }
        let dropped: u32 = self.pairs.iter().map(|pair| pair.dropped).sum();
        if dropped > 0 {
            eprintln!("{dropped} samples were dropped because others used the proxy's core");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pick_keeps_the_table_order() {
        let all = Workload::ALL;
        assert_eq!(pick(&[], &all), all);
        assert_eq!(
            pick(&[Workload::Tls, Workload::Small], &all),
            [Workload::Small, Workload::Tls]
        );
    }

    #[test]
    fn quick_run_fits_into_four_minutes_and_retries_only_while_it_does() {
        let pace = Pace {
            warm_up: Duration::from_millis(300),
            measure: Duration::from_millis(1800),
        };
        let mut plan = Plan {
            rounds: 3,
            pace,
            retry_until: None,
            max_others: 0.1,
        };
        let pairs = Peer::ALL
            .iter()
            .flat_map(|peer| {
                Workload::ALL
                    .iter()
                    .filter(|&&workload| peer.supports(workload))
            })
            .count();
        assert!(plan.seconds(3 * pairs as u32) < 220);
        assert!(plan.has_time(10_000), "no limit");
        plan.retry_until = Some(Instant::now() + plan.sample_time() * 50);
        assert!(plan.has_time(40));
        assert!(!plan.has_time(50));
    }
}
