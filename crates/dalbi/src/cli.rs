//! The command line: one subcommand per role, and what their exit codes mean.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands;
use crate::logging::LogOptions;

const EXAMPLES: &str = "\
Examples:
  dalbi upstream --listen 127.0.0.1:9001 --name hello      a test server to send traffic to

Exit codes:
  0  all went well
  1  the documents have errors
  2  the command line was not understood
  3  something failed while running, for example a port that is taken";

/// A load balancer that serves Istio documents from a folder.
#[derive(Debug, Parser)]
#[command(name = "dalbi", version, after_help = EXAMPLES, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a test server that echoes requests and can be made slow or flaky
    Upstream(commands::upstream::Arguments),
    /// Print a completion script for a shell
    Completions(commands::completions::Arguments),
}

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to complain of.
    Good,
}

/// Parses the command line, runs what it names and turns the result into an exit code.
pub(crate) fn run() -> ExitCode {
    // Does not return on `--help`, `--version` and usage errors (exit code 2).
    let cli = Cli::parse();
    crate::logging::start(&cli.log);
    let result = match cli.command {
        Command::Upstream(arguments) => commands::upstream::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments, Cli::command()),
    };
    match result {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed as well; the exit code still tells.
            let _told = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// `dalbi … | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
