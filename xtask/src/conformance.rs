//! `cargo xtask conformance`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::metadata::Metadata;
use crate::steps;

/// Builds the binary and what asks it, and hands over to the latter.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let metadata = Metadata::load()?;
    steps::run(steps::cargo().args(["build", "--locked", "-p", "dalbi", "-p", "conformance"]))?;
    let program = metadata.target.join("debug/conformance");
    steps::run(
        Command::new(program)
            .args(arguments)
            .current_dir(&metadata.root),
    )
}
