//! The command line: one subcommand per role, and what their exit codes mean.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands;
use crate::logging::LogOptions;

const EXAMPLES: &str = "\
Examples:
  dalbi demo                                             live traffic to six unequal servers, now
  dalbi run examples/hello                               serve a folder of documents
  dalbi apply examples/hello --reason 'a new greeting'    serve by these documents, unless that hurts
  dalbi generations list                                 every configuration there was
  dalbi proxy --from :8080 --to 127.0.0.1:9001           serve without documents
  dalbi check manifests/                                 what is wrong with these documents?
  dalbi explain manifests/ GET http://shop.example/cart  where does this request go, and why?
  dalbi test manifests/                                  are requests routed as its tests say?
  dalbi diff manifests/ manifests.new/                   what changes for requests?
  dalbi upstream --listen 127.0.0.1:9001 --name hello    a test server to send traffic to

Exit codes:
  0  all went well
  1  the documents have errors (diff: there are differences; test: a test fails)
  2  the command line was not understood (diff, test: the documents have errors)
  3  something failed while running, for example a port that is taken
  4  apply, activate: the generation was taken back
  5  apply, activate: it serves, neither confirmed nor taken back";

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
    /// Serve a folder of Istio documents
    Run(commands::run::Arguments),
    /// Serve by a folder's documents from now on, and go back if that hurts
    Apply(commands::apply::Arguments),
    /// Look at and change the history of configurations
    #[command(visible_alias = "gen")]
    Generations(commands::generations::Arguments),
    /// Put a new process in the running one's place without losing a request
    Upgrade(commands::upgrade::Arguments),
    /// Balance between servers, without any document
    Proxy(commands::proxy::Arguments),
    /// Say what is wrong with documents
    Check(commands::check::Arguments),
    /// Run unit tests of routes
    Test(commands::test::Arguments),
    /// Say what changes for requests between two folders
    Diff(commands::diff::Arguments),
    /// Say where a request would go, and why not elsewhere
    Explain(commands::explain::Arguments),
    /// Show live traffic to six unequal servers
    Demo(commands::demo::Arguments),
    /// Run a test server that echoes requests and can be made slow or flaky
    Upstream(commands::upstream::Arguments),
    /// Compare balancing policies in a simulated world
    Sim(commands::sim::Arguments),
    /// Print a completion script for a shell
    Completions(commands::completions::Arguments),
}

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to complain of.
    Good,
    /// The documents have errors, or what was looked for is there. It has been told.
    Findings,
    /// What was to be looked at can't be used, which has been told: for commands whose findings are something else.
    BadInput,
    /// A generation was taken back.
    TakenBack,
    /// A generation serves, and is neither confirmed nor taken back.
    Undecided,
}

/// The command line was well-formed, but asks for what cannot be.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct UsageError(pub(crate) anyhow::Error);

/// Parses the command line, runs what it names and turns the result into an exit code.
pub(crate) fn run() -> ExitCode {
    // Does not return on `--help`, `--version` and usage errors (exit code 2).
    let cli = Cli::parse();
    crate::logging::start(&cli.log);
    let result = match cli.command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Proxy(arguments) => commands::proxy::run(&arguments),
        Command::Apply(arguments) => commands::apply::run(&arguments),
        Command::Generations(arguments) => commands::generations::run(&arguments),
        Command::Upgrade(arguments) => commands::upgrade::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Test(arguments) => commands::test::run(&arguments),
        Command::Diff(arguments) => commands::diff::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Upstream(arguments) => commands::upstream::run(&arguments),
        Command::Sim(arguments) => commands::sim::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments, Cli::command()),
    };
    match result {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Findings) => ExitCode::from(1),
        Ok(Verdict::BadInput) => ExitCode::from(2),
        Ok(Verdict::TakenBack) => ExitCode::from(4),
        Ok(Verdict::Undecided) => ExitCode::from(5),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed as well; the exit code still tells.
            let _told = writeln!(io::stderr(), "error: {}", story(&error));
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 3 })
        }
    }
}

/// The error and its causes on one line, but for those that the error before already quotes.
fn story(error: &anyhow::Error) -> String {
    let mut story = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if story.is_empty() {
            story = cause;
        } else if !story.contains(&cause) {
            story = format!("{story}: {cause}");
        }
    }
    story
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
    fn no_cause_is_told_twice() {
        let taken = || anyhow::anyhow!("address in use");
        assert_eq!(
            story(&taken().context("listen on :1")),
            "listen on :1: address in use"
        );
        assert_eq!(
            story(&taken().context("listen on :1: address in use; free it")),
            "listen on :1: address in use; free it"
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
