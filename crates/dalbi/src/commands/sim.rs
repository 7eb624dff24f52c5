//! `dalbi sim`

mod scoreboard;

use std::io::{self, Write};
use std::path::PathBuf;

use ::sim::policies::{self, Factory};
use ::sim::scenario::{self, Scenario, Size};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use crate::cli::{UsageError, Verdict};
use crate::simulate::{Runs, table, write_json};

const EXAMPLES: &str = "\
Examples:
  dalbi sim --list
  dalbi sim --scenario mixed-speed --policy round_robin,alba,oracle
  dalbi sim --scenario ramp/1.27 --size 100x100,10x3 --seeds 5 --json results.json
  dalbi sim --scenario all --policy alba --without toll
  dalbi sim --file mine.toml --policy p2c,alba
  dalbi sim scoreboard --quick --out scoreboard

A seed gives every policy the same requests. Seeds below 1000 are for tuning; what is reported uses others.";

/// `dalbi sim`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Scenarios: a name, `name/variant`, or `all`
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', required_unless_present_any = ["file", "list"])]
    scenario: Vec<String>,
    /// A scenario of your own
    #[arg(long, value_name = "TOML", conflicts_with = "scenario")]
    file: Option<PathBuf>,
    /// Print the scenarios and policies there are
    #[arg(long)]
    list: bool,
    /// Servers and dispatchers
    #[arg(
        long,
        value_name = "SERVERSxDISPATCHERS,…",
        value_delimiter = ',',
        default_value = "100x100"
    )]
    size: Vec<Size>,
    /// Policies to compare; `alba-toll` is alba without its toll
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "round_robin,p2c,alba,oracle"
    )]
    policy: Vec<String>,
    /// Parts of alba to switch off
    #[arg(long, value_name = "PART,…")]
    without: Option<String>,
    #[command(flatten)]
    runs: RunOptions,
    /// Write all figures there; `-` writes them to standard output instead of a table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How often and how fast, the same for one comparison and for the scoreboard.
#[derive(Debug, Args)]
struct RunOptions {
    /// Runs of each policy, each with a seed of its own [default: 1; of `scoreboard` 5, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// The first seed; those below 1000 are for tuning
    #[arg(long, value_name = "SEED", default_value_t = sim::FIRST_REPORTED_SEED)]
    seed_base: u64,
    /// Runs at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

impl RunOptions {
    /// As many seeds as asked for, else `default`.
    fn seeds(&self, default: u64) -> std::ops::Range<u64> {
        self.seed_base..self.seed_base.saturating_add(self.seeds.unwrap_or(default))
    }

    /// At least 1.
    fn jobs(&self) -> usize {
        self.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            usize::from,
        )
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every scenario under every policy, and judge alba by the goals
    Scoreboard(scoreboard::Arguments),
}

/// Runs what is asked for.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    if let Some(Command::Scoreboard(arguments)) = &arguments.command {
        return scoreboard::run(arguments);
    }
    if arguments.list {
        list()?;
        return Ok(Verdict::Good);
    }
    let scenarios = arguments.scenarios()?;
    let policies = arguments.policies()?;
    let rows = Runs {
        scenarios: &scenarios,
        sizes: &arguments.size,
        policies: &policies,
        seeds: arguments.runs.seeds(1),
        jobs: arguments.runs.jobs(),
    }
    .run();
    match &arguments.json {
        Some(path) if path.as_os_str() == "-" => write_json(&rows, path)?,
        path => {
            io::stdout().write_all(table(&rows).as_bytes())?;
            if let Some(path) = path {
                write_json(&rows, path)?;
            }
        }
    }
    Ok(Verdict::Good)
}

impl Arguments {
    fn scenarios(&self) -> anyhow::Result<Vec<Scenario>> {
        let Some(path) = &self.file else {
            let mut found = Vec::new();
            for name in &self.scenario {
                found.extend(scenario::builtin(name).map_err(|error| UsageError(error.into()))?);
            }
            return Ok(found);
        };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(scenario::decode(&name, &text)?)
    }

    fn policies(&self) -> anyhow::Result<Vec<Factory>> {
        self.policy
            .iter()
            .map(|name| match &self.without {
                Some(without) if name == "alba" => {
                    let parts = policies::parts(without).ok_or_else(|| no_part(without))?;
                    let name = format!("alba-{}", without.replace(',', "-"));
                    Ok(policies::learned(&name, parts))
                }
                _ => policies::by_name(name).ok_or_else(|| no_policy(name)),
            })
            .collect::<Result<_, UsageError>>()
            .map_err(Into::into)
    }
}

fn no_policy(name: &str) -> UsageError {
    UsageError(anyhow!(
        "there is no policy `{name}`; `dalbi sim --list` shows all"
    ))
}

fn no_part(names: &str) -> UsageError {
    UsageError(anyhow!(
        "`{names}` is not a list of parts: write some of {}",
        policies::PARTS.join(", ")
    ))
}

fn list() -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Scenarios:")?;
    for scenario in scenario::builtin("all")? {
        writeln!(out, "  {:<24} {}", scenario.name, scenario.about)?;
    }
    writeln!(out, "\nPolicies:\n  {}", policies::NAMES.join(", "))?;
    Ok(())
}
