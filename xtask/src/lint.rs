//! `cargo xtask lint`.

use anyhow::Result;

use crate::metadata::Metadata;
use crate::steps::{self, Steps};
use crate::{arrows, dependencies};

/// Every check that needs no test, quickest first.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::load()?;
    let mut steps = Steps::default();
    steps.step("format", || {
        steps::run(steps::cargo().args(["fmt", "--all", "--check"]))
    });
    steps.step("dependency arrows", || arrows::check(&metadata));
    steps.step("licences, bans and sources", || {
        dependencies::check(&metadata)
    });
    steps.step("clippy", || {
        let arguments = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-Dwarnings",
        ];
        steps::run(steps::cargo().args(arguments))
    });
    steps.step("documentation", || {
        steps::run(
            steps::cargo()
                .args(["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-Dwarnings"),
        )
    });
    steps.step("advisories", dependencies::advisories);
    steps.finish()
}
