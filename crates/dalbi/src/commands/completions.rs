//! `dalbi completions`

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use crate::cli::Verdict;

const EXAMPLES: &str = "\
Examples:
  dalbi completions bash > /etc/bash_completion.d/dalbi
  dalbi completions zsh > \"${fpath[1]}/_dalbi\"
  dalbi completions fish > ~/.config/fish/completions/dalbi.fish";

/// `dalbi completions`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell that will read the script
    shell: Shell,
}

/// Writes the script to standard output.
pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) -> anyhow::Result<Verdict> {
    // By way of a buffer, since clap_complete panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "dalbi", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Verdict::Good)
}
