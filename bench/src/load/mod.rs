//! The load generators, and what they say at their end.

mod h2load;
mod wrk;

pub(crate) use wrk::start_wrk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::workload::Workload;

/// The `Host` of all requests; the proxies that route by host know this one.
pub(crate) const HOST: &str = "bench.test";

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    /// The proxy's port for this workload, on 127.0.0.1.
    pub(crate) port: u16,
    /// What to ask for, and how.
    pub(crate) workload: Workload,
    /// The core the load generator runs on.
    pub(crate) core: usize,
    /// Where it may write.
    pub(crate) folder: &'a Path,
    /// Lua that makes wrk's requests, for more than one kind of them.
    pub(crate) script: Option<PathBuf>,
}

/// What a load generator saw.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Outcome {
    /// Answers received.
    pub(crate) requests: u64,
    /// Of these or beyond these: wrong status, reset, refused or late.
    pub(crate) failed: u64,
    /// Answers per second.
    pub(crate) rps: f64,
    /// Median latency in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99th percentile of latency in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Loads `target` for `duration`: as fast as 64 connections (HTTP/1.1), or 16 connections with
/// ten streams each (HTTP/2), can ask one after the other.
pub(crate) fn run(target: &Target<'_>, duration: Duration) -> Result<Outcome> {
    match target.workload {
        Workload::Http2 => h2load::run(target, duration),
        _ => {
            let running = start_wrk(target)?;
            std::thread::sleep(duration);
            running.finish()
        }
    }
}

/// The tools that `workloads` need and this machine lacks, each with its Debian package.
pub(crate) fn missing_tools(workloads: &[Workload]) -> Vec<&'static str> {
    let wants_h2 = workloads.contains(&Workload::Http2);
    let wants_wrk = workloads
        .iter()
        .any(|&workload| workload != Workload::Http2);
    let mut missing = Vec::new();
    if wants_wrk && !on_path("wrk") {
        missing.push("wrk (apt install wrk)");
    }
    if wants_h2 && !on_path("h2load") {
        missing.push("h2load (apt install nghttp2-client)");
    }
    missing
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The first number after `label` in `text`.
fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = text[text.find(label)? + label.len()..].trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).context("the load generator's output is not UTF-8")
}
