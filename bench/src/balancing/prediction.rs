//! What the simulator says of the same servers, arrivals and policies: `dalbi sim --file`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::DEADLINE;
use super::contestant::Contestant;
use super::workload::Workload;
use crate::figures::median;

/// Runs of each policy, or of each draw of its antagonists: seconds of one core.
const SEEDS: &str = "5";

/// What a policy came to in the simulated world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prediction {
    /// 99th percentile of latency in milliseconds, failures counted as here.
    pub(crate) p99_ms: f64,
    /// Share of requests that failed.
    pub(crate) error_rate: f64,
}

/// The predictions for one workload, by the simulator's policy names.
#[derive(Debug, Default)]
pub(crate) struct Predictions(Vec<Figures>);

#[derive(Deserialize)]
struct Document {
    results: Vec<Figures>,
}

#[derive(Debug, Deserialize)]
struct Figures {
    policy: String,
    p99_ms: f64,
    error_rate: f64,
    #[serde(default)]
    timeout_rate: f64,
}

impl Predictions {
    /// Runs `dalbi sim` for everyone under `workload`; its scenario is written to `folder`.
    pub(crate) fn of(dalbi: &Path, folder: &Path, workload: Workload, load: f64) -> Result<Self> {
        let file = folder.join(format!("{}.toml", workload.name()));
        std::fs::write(&file, workload.scenario(load))
            .with_context(|| format!("writing {}", file.display()))?;
        let mut policies: Vec<&str> = Contestant::ALL
            .iter()
            .map(|contestant| contestant.simulated())
            .collect();
        policies.sort_unstable();
        policies.dedup();
        let output = Command::new(dalbi)
            .arg("sim")
            .arg("--file")
            .arg(&file)
            .args(["--size", &format!("{}x1", workload.servers().len())])
            .args(["--policy", &policies.join(",")])
            .args(["--seeds", SEEDS, "--json", "-"])
            .output()
            .with_context(|| format!("running `{} sim`", dalbi.display()))?;
        if !output.status.success() {
            bail!(
                "`{} sim`: {}",
                dalbi.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let document: Document =
            serde_json::from_slice(&output.stdout).context("reading what `dalbi sim` says")?;
        Ok(Self(document.results))
    }

    /// What is to be expected of `contestant`: medians over all runs.
    pub(crate) fn for_contestant(&self, contestant: Contestant) -> Option<Prediction> {
        let runs = || {
            self.0
                .iter()
                .filter(|run| run.policy == contestant.simulated())
        };
        Some(Prediction {
            p99_ms: median(runs().map(Figures::p99_ms))?,
            error_rate: median(runs().map(|run| run.error_rate))?,
        })
    }
}

impl Figures {
    /// The simulator leaves out what failed at once; here that counts as the deadline, and decides the percentile
    /// where it is more than the rest of it.
    fn p99_ms(&self) -> f64 {
        if self.error_rate - self.timeout_rate > 0.01 {
            DEADLINE.as_secs_f64() * 1e3
        } else {
            self.p99_ms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_over_seeds_and_quick_failures_count_as_the_deadline() {
        let text = r#"{"results": [
            {"policy": "alba", "seed": 1, "p99_ms": 50, "error_rate": 0.001},
            {"policy": "alba", "seed": 2, "p99_ms": 70, "error_rate": 0.002, "timeout_rate": 0.002},
            {"policy": "alba", "seed": 3, "p99_ms": 60, "error_rate": 0.02},
            {"policy": "p2c", "seed": 1, "p99_ms": 9, "error_rate": 0}
        ]}"#;
        let predictions = Predictions(serde_json::from_str::<Document>(text).unwrap().results);
        let [alba, least_request, round_robin, ..] = Contestant::ALL;
        let prediction = predictions.for_contestant(alba);
        let expected = Prediction {
            p99_ms: 70.0,
            error_rate: 0.002,
        };
        assert_eq!(prediction, Some(expected));
        assert_eq!(
            predictions.for_contestant(least_request).unwrap().p99_ms,
            9.0
        );
        assert_eq!(predictions.for_contestant(round_robin), None);
    }
}
