//! Fuzz targets on the stable toolchain.
//!
//! cargo-fuzz takes minutes to build and wants nightly for its sanitizers; the targets are safe Rust, where
//! libFuzzer's coverage is what matters, and that needs only the flags below.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::Metadata;
use crate::steps;

/// As cargo-fuzz sets them, without a sanitizer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
];

/// An input that takes longer than this is a finding: decoders are linear.
const TIMEOUT: &str = "-timeout=10";

/// Runs `only` or every target of `fuzz/` for `seconds` each, on the inputs kept from earlier runs.
pub(crate) fn run(seconds: u32, only: Option<&str>) -> Result<()> {
    let metadata = Metadata::load()?;
    let folder = metadata.root.join("fuzz");
    let manifest = folder.join("Cargo.toml");
    if !manifest.exists() {
        println!(
            "SKIPPED (loud): nothing is fuzzed: there is no {}",
            manifest.display()
        );
        return Ok(());
    }
    let mut targets = targets(&std::fs::read_to_string(&manifest)?)?;
    targets.retain(|target| only.is_none_or(|name| name == target));
    if targets.is_empty() {
        bail!("fuzz/Cargo.toml has no such target; its [[bin]] sections name them");
    }
    let programs = build(&manifest, &metadata.target.join("fuzz"))?;
    for target in targets {
        println!("fuzzing {target} for {seconds} s");
        fuzz(&folder, &programs.join(&target), &target, seconds)?;
    }
    Ok(())
}

/// The folder of the built targets.
fn build(manifest: &Path, target_folder: &Path) -> Result<PathBuf> {
    // With an explicit target, the flags do not reach build scripts and macros, which could not link.
    let host = host()?;
    steps::run(
        steps::cargo()
            .args([
                "build",
                "--release",
                "--bins",
                "--target",
                &host,
                "--manifest-path",
            ])
            .arg(manifest)
            .env("CARGO_TARGET_DIR", target_folder)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
    )
    .context("building the fuzz targets needs a C++ compiler (Debian: g++)")?;
    Ok(target_folder.join(host).join("release"))
}

fn fuzz(folder: &Path, program: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts").join(target);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(program);
    command.arg(&corpus);
    let seeds = folder.join("seeds").join(target);
    if seeds.exists() {
        command.arg(seeds);
    }
    command.arg(TIMEOUT);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // libFuzzer writes pages even when all is well; they are shown when it is not.
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{report}");
        bail!(
            "{target} found something; its input is in {}",
            artifacts.display()
        );
    }
    println!(
        "{target}: {}",
        report
            .lines()
            .rfind(|line| line.starts_with("Done "))
            .unwrap_or("done")
    );
    Ok(())
}

fn host() -> Result<String> {
    let version = steps::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// The names of a manifest's `[[bin]]` sections.
fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("fuzz/Cargo.toml is no TOML")?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array);
    Ok(bins
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_bins() {
        let manifest = "[package]\nname = 'fuzz'\n[[bin]]\nname = 'head'\n[[bin]]\nname = 'body'\n";
        assert_eq!(targets(manifest).unwrap(), ["head", "body"]);
        assert_eq!(
            targets("[package]\nname = 'fuzz'\n").unwrap(),
            [] as [&str; 0]
        );
    }
}
