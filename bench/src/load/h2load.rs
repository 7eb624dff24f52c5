//! `h2load`: HTTP/2 over 16 connections with ten streams each, one thread.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{HOST, Outcome, Target, number_after, text};
use crate::process::Process;

pub(super) fn run(target: &Target<'_>, duration: Duration) -> Result<Outcome> {
    let log = target.folder.join("h2load.log");
    // h2load appends.
    std::fs::remove_file(&log).ok();
    let mut command: Vec<String> = ["h2load", "-t1", "-c16", "-m10", "-D"]
        .map(String::from)
        .into();
    command.push(format!("{}ms", duration.as_millis()));
    command.push(format!("--log-file={}", log.display()));
    command.extend(["-H".to_owned(), format!(":authority: {HOST}")]);
    for header in target.workload.headers() {
        command.extend(["-H".to_owned(), (*header).to_owned()]);
    }
    command.push(format!(
        "http://127.0.0.1:{}{}",
        target.port,
        target.workload.path()
    ));
    let output = Process::tool(target.core, &command)?.finish()?;
    let report = text(&output.stdout)?;
    let rows = std::fs::read_to_string(&log).unwrap_or_default();
    parse(report, &rows).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!(
            "h2load gave no figures ({}): {report}{errors}",
            output.status
        )
    })
}

/// Counts come from the summary, percentiles from the log: the summary has none.
fn parse(report: &str, log: &str) -> Result<Outcome> {
    let counts = report
        .lines()
        .find_map(|line| line.strip_prefix("requests:"))
        .context("no count of requests")?;
    let count = |word: &str| {
        counts
            .split(',')
            .find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
            .with_context(|| format!("no count of requests{word}"))
    };
    let requests = count(" succeeded")?;
    if requests == 0 {
        bail!("not one request was answered");
    }
    let rate = report
        .lines()
        .find_map(|line| line.strip_prefix("finished in")?.split_once(','))
        .and_then(|(_, rest)| number_after(rest, ""))
        .context("no rate")?;
    let mut latencies: Vec<u64> = log.lines().filter_map(latency_us).collect();
    latencies.sort_unstable();
    let percentile = |share: f64| {
        let index = ((latencies.len() as f64 * share).ceil() as usize).max(1) - 1;
        latencies
            .get(index)
            .map(|&us| us as f64 / 1e3)
            .context("no latencies in the log")
    };
    Ok(Outcome {
        requests,
        failed: count(" failed")? + count(" errored")? + count(" timeout")?,
        rps: rate,
        p50_ms: percentile(0.5)?,
        p99_ms: percentile(0.99)?,
    })
}

/// The third column of a log line.
fn latency_us(line: &str) -> Option<u64> {
    line.split('\t').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
finished in 1.50s, 24112.67 req/s, 25.40MB/s
requests: 36169 total, 36329 started, 36169 done, 36160 succeeded, 9 failed, 3 errored, 1 timeout
status codes: 36169 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn figures_are_read() {
        let log: String = (1..=100)
            .rev()
            .map(|ms| format!("1\t200\t{}\n", ms * 1000))
            .collect();
        let expected = Outcome {
            requests: 36_160,
            failed: 13,
            rps: 24_112.67,
            p50_ms: 50.0,
            p99_ms: 99.0,
        };
        assert_eq!(parse(REPORT, &log).unwrap(), expected);
    }

    #[test]
    fn an_empty_log_is_an_error() {
        assert!(parse(REPORT, "").is_err());
        assert!(parse("could not connect", "").is_err());
    }
}
