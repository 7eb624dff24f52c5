//! What developers and CI run beside plain cargo: `cargo xtask lint`, `cargo xtask test`,
//! `cargo xtask fuzz`, `cargo xtask instructions`, `cargo xtask conformance`, `cargo xtask bench`.

mod arrows;
mod bench;
mod conformance;
mod dependencies;
mod fuzz;
mod instructions;
mod lint;
mod metadata;
mod peers;
mod steps;
mod suite;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Checks, tests and measures the workspace."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Formatting, clippy, docs, dependency arrows, licences, bans, advisories.
    Lint,
    /// Installs the real peers that tests talk to, fuzzes briefly and runs every test.
    Test(suite::TestOptions),
    /// Runs each fuzz target for a while, without cargo-fuzz.
    Fuzz {
        /// Seconds per target.
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
        /// Only the target of this name.
        target: Option<String>,
    },
    /// Counts the instructions of a pick and compares them with what is written down.
    Instructions {
        /// Write the counts down instead.
        #[arg(long)]
        record: bool,
    },
    /// Runs third-party cases against the binary and shows what came of each; what follows is handed on, for
    /// example `cargo xtask conformance HTTPRoute` or `cargo xtask conformance --write`.
    #[command(disable_help_flag = true)]
    Conformance {
        /// Handed on to `conformance`; `--help` tells what there is.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Installs the proxies that are compared, builds for release and runs `bench` with what follows,
    /// for example `cargo xtask bench proxy --quick`.
    #[command(disable_help_flag = true)]
    Bench {
        /// Handed on to `bench`; `--help` tells what there is.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Lint => lint::run(),
        Command::Test(options) => suite::run(&options),
        Command::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
        Command::Instructions { record } => {
            metadata::Metadata::load().and_then(|metadata| instructions::run(&metadata, record))
        }
        Command::Conformance { arguments } => conformance::run(&arguments),
        Command::Bench { arguments } => bench::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
