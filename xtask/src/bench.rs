//! `cargo xtask bench`.

use std::ffi::OsString;

use anyhow::Result;

use crate::metadata::Metadata;
use crate::peers::{self, Purpose};
use crate::steps;

/// Builds what is measured for release and hands over to the `bench` program.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let metadata = Metadata::load()?;
    let found = peers::install(&metadata, Purpose::Bench);
    found.report();
    steps::run(steps::cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "dalbi",
        "-p",
        "bench",
    ]))?;
    let mut bench = std::process::Command::new(metadata.target.join("release/bench"));
    steps::run(found.prepare(&mut bench).args(arguments))
}
