//! Instructions that a pick and its completion take, against what is written down: the same on every machine,
//! however busy it is, so that CI can compare it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::Metadata;
use crate::steps;

/// Pool sizes that are counted.
const ENDPOINTS: [u32; 2] = [64, 10_000];

/// Counted picks, beyond those that warm the pool.
const PICKS: u64 = 20_000;
const WARM_UP: u64 = 20_000;

/// By how much a count may differ from what is written down: compilers and C libraries do.
const TOLERANCE: f64 = 0.08;

/// The written counts, beside the bench.
const WRITTEN: &str = "crates/alba/benches/instructions.toml";

/// Counts, and fails if a pick takes more than is written down. With `record` the counts are written instead.
pub(crate) fn run(metadata: &Metadata, record: bool) -> Result<()> {
    let bench = build()?;
    let path = metadata.root.join(WRITTEN);
    let mut counted = Vec::new();
    for endpoints in ENDPOINTS {
        let warm = count(&bench, endpoints, WARM_UP)?;
        let all = count(&bench, endpoints, WARM_UP + PICKS)?;
        let each = (all - warm) / PICKS;
        println!("{each} instructions a pick and completion at {endpoints} endpoints");
        counted.push((endpoints.to_string(), each));
    }
    if record {
        let mut text = "# Written by `cargo xtask instructions --record`.\n[alba]\n".to_owned();
        for (endpoints, each) in &counted {
            text.push_str(&format!("{endpoints} = {each}\n"));
        }
        return std::fs::write(&path, text)
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let written: toml::Table = text.parse()?;
    for (endpoints, each) in &counted {
        let limit = written
            .get("alba")
            .and_then(|policy| policy.get(endpoints))
            .and_then(toml::Value::as_integer)
            .with_context(|| format!("{WRITTEN} has no count for {endpoints} endpoints"))?;
        if *each as f64 > limit as f64 * (1.0 + TOLERANCE) {
            bail!(
                "{each} instructions a pick at {endpoints} endpoints, {limit} are written down; \
                 if they are worth it: cargo xtask instructions --record"
            );
        }
    }
    Ok(())
}

/// Builds the bench and returns its executable.
fn build() -> Result<PathBuf> {
    let messages = steps::output(steps::cargo().args([
        "bench",
        "--locked",
        "--quiet",
        "-p",
        "alba",
        "--bench",
        "pick",
        "--no-run",
        "--message-format=json",
    ]))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "pick")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo named no executable of the bench")
}

/// Instructions of the whole process.
fn count(bench: &PathBuf, endpoints: u32, picks: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(bench)
        .args(["count", &endpoints.to_string(), &picks.to_string()]);
    let output = command
        .output()
        .context("cannot start valgrind; is it installed?")?;
    let told = String::from_utf8_lossy(&output.stderr);
    told.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .with_context(|| format!("valgrind told no count: {told}"))
}
