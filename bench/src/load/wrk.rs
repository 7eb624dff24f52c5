//! `wrk`: HTTP/1.1 over 64 connections, one thread.

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::{HOST, Outcome, Target, number_after, text};
use crate::process::Process;
use crate::workload::Workload;

/// A `wrk` at work.
#[derive(Debug)]
pub(crate) struct RunningWrk {
    process: Process,
}

/// Starts `wrk`; it goes on until told to finish.
pub(crate) fn start_wrk(target: &Target<'_>) -> Result<RunningWrk> {
    let scheme = if target.workload == Workload::Tls {
        "https"
    } else {
        "http"
    };
    // The duration is only a bound: SIGINT ends the run at the moment we choose, to fractions of
    // a second, and wrk divides by the time that really passed.
    let mut command: Vec<String> = [
        "wrk",
        "-t1",
        "-c64",
        "-d3600s",
        "--latency",
        "--timeout",
        "5s",
    ]
    .map(String::from)
    .into();
    command.extend(["-H".to_owned(), format!("Host: {HOST}")]);
    for header in target.workload.headers() {
        command.extend(["-H".to_owned(), (*header).to_owned()]);
    }
    if let Some(script) = &target.script {
        command.extend(["-s".to_owned(), script.display().to_string()]);
    }
    command.push(format!(
        "{scheme}://127.0.0.1:{}{}",
        target.port,
        target.workload.path()
    ));
    Ok(RunningWrk {
        process: Process::tool(target.core, &command)?,
    })
}

impl RunningWrk {
    /// Ends the load and returns what was seen.
    pub(crate) fn finish(self) -> Result<Outcome> {
        self.process.signal(Signal::INT)?;
        let output = self.process.finish()?;
        let report = text(&output.stdout)?;
        parse(report).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("wrk gave no figures ({}): {report}{errors}", output.status)
        })
    }
}

fn parse(report: &str) -> Result<Outcome> {
    let requests = report
        .lines()
        .find_map(|line| line.split_once(" requests in "))
        .and_then(|(count, _)| count.trim().parse::<u64>().ok())
        .context("no count of requests")?;
    if requests == 0 {
        bail!("not one request was answered");
    }
    let wrong_status = number_after(report, "Non-2xx or 3xx responses:").unwrap_or(0.0);
    let broken: f64 = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("Socket errors:"))
        .map_or(0.0, |line| {
            ["connect", "read", "write", "timeout"]
                .iter()
                .filter_map(|kind| number_after(line, kind))
                .sum()
        });
    Ok(Outcome {
        requests,
        failed: (wrong_status + broken) as u64,
        rps: number_after(report, "Requests/sec:").context("no rate")?,
        p50_ms: percentile(report, "50%").context("no median")?,
        p99_ms: percentile(report, "99%").context("no 99th percentile")?,
    })
}

/// A line such as `     99%    1.25ms`, in milliseconds.
fn percentile(report: &str, label: &str) -> Option<f64> {
    let value = report
        .lines()
        .find_map(|line| line.trim().strip_prefix(label))?
        .trim();
    let split = value.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = value[..split].parse().ok()?;
    let factor = match &value[split..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Running 2s test @ http://127.0.0.1:20000/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.62ms  199.35us   6.07ms   91.96%
    Req/Sec    39.56k     1.56k   41.52k    80.00%
  Latency Distribution
     50%  850.00us
     75%    1.64ms
     90%    1.73ms
     99%    2.41ms
  78712 requests in 2.00s, 97.28MB read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 7
Requests/sec:  39352.75
Transfer/sec:     48.64MB
";

    #[test]
    fn figures_are_read() {
        let expected = Outcome {
            requests: 78_712,
            failed: 4_328,
            rps: 39_352.75,
            p50_ms: 0.85,
            p99_ms: 2.41,
        };
        assert_eq!(parse(REPORT).unwrap(), expected);
    }

    #[test]
    fn no_answers_are_an_error() {
        let nothing = REPORT.replace("78712 requests", "0 requests");
        assert!(parse(&nothing).is_err());
        assert!(parse("unable to connect to 127.0.0.1:1 Connection refused").is_err());
    }
}
