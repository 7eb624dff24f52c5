//! `cargo xtask test`.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

use crate::fuzz;
use crate::instructions;
use crate::metadata::Metadata;
use crate::peers::{self, Found, Purpose};
use crate::steps::{self, Steps};

/// Seconds per fuzz target: enough to see that it runs and that no shallow input breaks it.
const SMOKE_SECONDS: u32 = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct TestOptions {
    /// Leave the fuzz targets out.
    #[arg(long)]
    no_fuzz: bool,
    /// Handed on to `cargo test`, for example `-p alba -- ejection`; default: `--workspace`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Peers, then a short fuzz run, then every test; at the end what was left out.
pub(crate) fn run(options: &TestOptions) -> Result<()> {
    let metadata = Metadata::load()?;
    let mut steps = Steps::default();
    let mut found = Found::default();
    steps.step("peers", || {
        found = peers::install(&metadata, Purpose::Test);
        found.report();
        refuse_in_ci(&found)
    });
    if !options.no_fuzz {
        steps.step("fuzz targets", || fuzz::run(SMOKE_SECONDS, None));
    }
    // Where valgrind could not be had, the peers above say so.
    if found.missing().iter().all(|peer| peer.name != "valgrind") {
        steps.step("instructions of a pick", || {
            instructions::run(&metadata, false)
        });
    }
    let skips = metadata.target.join("peers/skipped.txt");
    steps.step("tests", || {
        std::fs::create_dir_all(metadata.target.join("peers"))?;
        std::fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;
        let mut command = steps::cargo();
        command
            .args(["test", "--locked"])
            .env("DALBI_SKIPPED_FILE", &skips);
        if options.arguments.is_empty() {
            command.args(["--workspace", "--no-fail-fast"]);
        }
        steps::run(found.prepare(&mut command).args(&options.arguments))
    });
    let skipped = std::fs::read_to_string(&skips).unwrap_or_default();
    println!();
    found.report();
    for line in skipped.lines() {
        println!("SKIPPED (loud): {line}");
    }
    if found.missing().is_empty() && skipped.is_empty() {
        println!("no test was skipped for want of a peer");
    }
    steps.finish()
}

/// In CI a test that could run must run.
fn refuse_in_ci(found: &Found) -> Result<()> {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let names: Vec<&str> = found
        .missing()
        .iter()
        .filter(|peer| peer.could_be_installed)
        .map(|peer| peer.name)
        .collect();
    if in_ci && !names.is_empty() {
        bail!(
            "with CI=true every peer must be there; not installed: {}",
            names.join(", ")
        );
    }
    Ok(())
}
