//! Samples to quantiles with their ranges, and those to JSON and a table.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::DEADLINE;
use super::contestant::Contestant;
use super::prediction::Prediction;
use super::workload::Workload;
use crate::chart::{Bar, Chart, Kind, Panel};
use crate::figures::{median, rounded};
use crate::open_loop::Ended;

/// What one run of one contestant saw, without its warm-up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Sorted, in milliseconds; a failed request counts as one that took the whole deadline, since whoever asked is
    /// as badly off.
    latencies_ms: Vec<f64>,
    failed: usize,
}

impl Sample {
    /// Of the requests that were due after `warm_up`.
    pub(crate) fn of(ended: &[Ended], warm_up: Duration) -> Self {
        let counted = || ended.iter().filter(|ended| ended.due >= warm_up);
        let latency_ms = |ended: &Ended| {
            let failed_ms = DEADLINE.as_secs_f64() * 1e3;
            match ended.latency {
                Some(latency) => latency.as_secs_f64() * 1e3,
                None => failed_ms,
            }
        };
        let mut latencies_ms: Vec<f64> = counted().map(latency_ms).collect();
        latencies_ms.sort_by(f64::total_cmp);
        Self {
            latencies_ms,
            failed: counted().filter(|ended| ended.latency.is_none()).count(),
        }
    }

    /// The latency that this share of requests did not exceed; 0 without any.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        quantile_of(&self.latencies_ms, quantile)
    }

    /// Share of requests that failed.
    pub(crate) fn error_rate(&self) -> f64 {
        self.failed as f64 / self.latencies_ms.len().max(1) as f64
    }
}

fn quantile_of(sorted: &[f64], quantile: f64) -> f64 {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// A figure over all rounds, and the least and the most of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// Median of the rounds.
    pub(crate) value: f64,
    /// The least of the rounds.
    pub(crate) low: f64,
    /// The most of the rounds.
    pub(crate) high: f64,
}

impl Figure {
    fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Self {
        let values = || samples.iter().map(&figure);
        Self {
            value: median(values()).unwrap_or(0.0),
            low: values().fold(f64::INFINITY, f64::min),
            high: values().fold(0.0, f64::max),
        }
    }
}

/// One line of the result: a contestant under a workload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The servers.
    pub(crate) workload: Workload,
    /// The proxy and its policy.
    pub(crate) contestant: Contestant,
    /// The proxy's version.
    pub(crate) version: String,
    /// Requests counted in a round, on average, per second.
    pub(crate) rps: f64,
    /// Median latency in milliseconds.
    pub(crate) p50_ms: Figure,
    /// 99th percentile in milliseconds.
    pub(crate) p99_ms: Figure,
    /// 99.9th percentile in milliseconds.
    pub(crate) p999_ms: Figure,
    /// Share of requests that failed.
    pub(crate) error_rate: Figure,
    /// Samples.
    pub(crate) rounds: usize,
    /// What the simulator expected.
    pub(crate) predicted: Option<Prediction>,
}

impl Row {
    /// What `samples` of `measured` each say; nothing when there are none.
    pub(crate) fn of(
        workload: Workload,
        contestant: Contestant,
        version: &str,
        samples: &[Sample],
        measured: Duration,
    ) -> Option<Self> {
        let requests: usize = samples.iter().map(|sample| sample.latencies_ms.len()).sum();
        let seconds = measured.as_secs_f64() * samples.len() as f64;
        (!samples.is_empty()).then(|| Self {
            workload,
            contestant,
            version: version.to_owned(),
            rps: requests as f64 / seconds,
            p50_ms: Figure::of(samples, |sample| sample.quantile_ms(0.5)),
            p99_ms: Figure::of(samples, |sample| sample.quantile_ms(0.99)),
            p999_ms: Figure::of(samples, |sample| sample.quantile_ms(0.999)),
            error_rate: Figure::of(samples, Sample::error_rate),
            rounds: samples.len(),
            predicted: None,
        })
    }
}

/// The smallest p99 of other proxies under this workload.
fn best_peer(rows: &[Row], workload: Workload) -> Option<&Row> {
    rows.iter()
        .filter(|row| row.workload == workload)
        .filter(|row| row.contestant.peer != crate::peers::Peer::Dalbi)
        .min_by(|a, b| a.p99_ms.value.total_cmp(&b.p99_ms.value))
}

/// A table of all rows, workload by workload.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<12} {:<30} {:>6} {:>8} {:>9} {:>17} {:>10} {:>9} {:>7} {:>9} {:>9}\n",
        "workload",
        "proxy",
        "rps",
        "p50 ms",
        "p99 ms",
        "least–most",
        "p99.9 ms",
        "errors %",
        "× best",
        "sim p99",
        "sim err %"
    );
    for group in rows.chunk_by(|a, b| a.workload == b.workload) {
        let best = best_peer(rows, group[0].workload).map(|row| row.p99_ms.value);
        for row in group {
            let times = best.map_or_else(
                || "–".to_owned(),
                |best| format!("{:.2}", row.p99_ms.value / best),
            );
            let predicted = |figure: fn(Prediction) -> String| {
                row.predicted.map_or_else(|| "–".to_owned(), figure)
            };
            // Writing to a string cannot fail.
            let _written = writeln!(
                out,
                "{:<12} {:<30} {:>6.0} {:>8.1} {:>9.1} {:>17} {:>10.1} {:>9.3} {:>7} {:>9} {:>9}",
                row.workload.name(),
                row.contestant.name(),
                row.rps,
                row.p50_ms.value,
                row.p99_ms.value,
                format!("{:.1}–{:.1}", row.p99_ms.low, row.p99_ms.high),
                row.p999_ms.value,
                row.error_rate.value * 100.0,
                times,
                predicted(|prediction| format!("{:.1}", prediction.p99_ms)),
                predicted(|prediction| format!("{:.3}", prediction.error_rate * 100.0))
            );
        }
        out.push('\n');
    }
    out
}

/// One line per goal that dalbi set itself and that this run can judge.
pub(crate) fn render_goals(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows.iter().filter(|row| row.contestant.is_alba()) {
        let Some(best) = best_peer(rows, row.workload) else {
            continue;
        };
        let (times, goal) = (row.p99_ms.value / best.p99_ms.value, row.workload.goal());
        let verdict = if times <= goal {
            "met"
        } else if goal >= 1.0 && row.p99_ms.low <= best.p99_ms.high {
            "met: the rounds cannot tell them apart"
        } else {
            "MISSED"
        };
        let _written = writeln!(
            out,
            "{:<12} p99 is {times:.2} × {} goal ≤ {goal:.2}  {verdict}",
            row.workload.name(),
            best.contestant.name(),
        );
    }
    out
}

/// A chart of the 99th percentiles.
pub(crate) fn svg(rows: &[Row]) -> String {
    let panels = rows.chunk_by(|a, b| a.workload == b.workload).map(|group| {
        let bars = group.iter().map(|row| Bar {
            label: row.contestant.name(),
            value: row.p99_ms.value,
            range: Some((row.p99_ms.low, row.p99_ms.high)),
            kind: if row.contestant.is_alba() {
                Kind::Ours
            } else {
                Kind::Others
            },
        });
        Panel {
            title: group[0].workload.title().to_owned(),
            bars: bars.collect(),
        }
    });
    Chart {
        title: "99th percentile of latency",
        note: "ms, less is better; a failed request counts as 1000; the line is from the best round to the worst",
        label_width: 170.0,
        panels: panels.collect(),
    }
    .svg()
}

#[derive(Serialize)]
struct Document<'a> {
    results: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    scenario: &'a str,
    proxy: &'a str,
    policy: &'a str,
    version: &'a str,
    rps: f64,
    p50_ms: f64,
    p99_ms: f64,
    p99_low_ms: f64,
    p99_high_ms: f64,
    p999_ms: f64,
    p999_low_ms: f64,
    p999_high_ms: f64,
    error_rate: f64,
    rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated_p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated_error_rate: Option<f64>,
}

/// `{"results": […]}`, one object a row.
pub(crate) fn json(rows: &[Row]) -> serde_json::Result<String> {
    let results = rows
        .iter()
        .map(|row| Entry {
            scenario: row.workload.name(),
            proxy: row.contestant.peer.name(),
            policy: row.contestant.policy,
            version: &row.version,
            rps: rounded(row.rps, 1),
            p50_ms: rounded(row.p50_ms.value, 3),
            p99_ms: rounded(row.p99_ms.value, 3),
            p99_low_ms: rounded(row.p99_ms.low, 3),
            p99_high_ms: rounded(row.p99_ms.high, 3),
            p999_ms: rounded(row.p999_ms.value, 3),
            p999_low_ms: rounded(row.p999_ms.low, 3),
            p999_high_ms: rounded(row.p999_ms.high, 3),
            error_rate: rounded(row.error_rate.value, 6),
            rounds: row.rounds,
            simulated_p99_ms: row
                .predicted
                .map(|prediction| rounded(prediction.p99_ms, 3)),
            simulated_error_rate: row
                .predicted
                .map(|prediction| rounded(prediction.error_rate, 6)),
        })
        .collect();
    serde_json::to_string_pretty(&Document { results }).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A thousand requests of 1 to 1000 ms, before them one that is not counted, and so many failures.
    fn sample(failures: usize) -> Sample {
        let warm_up = Ended {
            due: ms(9),
            latency: None,
            mark: None,
        };
        let answered = (1..=1000).map(|latency| Ended {
            due: ms(10),
            latency: Some(ms(latency)),
            mark: None,
        });
        let failed = std::iter::repeat_n(
            Ended {
                due: ms(11),
                latency: None,
                mark: None,
            },
            failures,
        );
        let ended: Vec<_> = std::iter::once(warm_up)
            .chain(answered)
            .chain(failed)
            .collect();
        Sample::of(&ended, ms(10))
    }

    fn row(contestant: Contestant, p99_ms: f64) -> Row {
        let ended = Ended {
            due: ms(0),
            latency: Some(Duration::from_secs_f64(p99_ms / 1e3)),
            mark: None,
        };
        let samples = [Sample::of(&[ended], ms(0))];
        Row::of(Workload::Hung, contestant, "1", &samples, ms(1000)).unwrap()
    }

    #[test]
    fn quantiles_are_of_what_was_due_after_the_warm_up() {
        let all_answered = sample(0);
        assert_eq!(all_answered.quantile_ms(0.5), 500.0);
        assert_eq!(all_answered.quantile_ms(0.99), 990.0);
        assert_eq!(all_answered.error_rate(), 0.0);
        let failing = sample(1000);
        assert_eq!(
            failing.quantile_ms(0.5),
            1000.0,
            "a failure takes the deadline"
        );
        assert_eq!(failing.error_rate(), 0.5);
    }

    #[test]
    fn alba_is_judged_against_the_best_of_the_others() {
        let [alba, own_other, .., peer] = Contestant::ALL;
        let rows = [row(alba, 40.0), row(own_other, 10.0), row(peer, 100.0)];
        let text = render_goals(&rows);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("p99 is 0.40 ×") && text.ends_with("met\n"),
            "{text}"
        );
        let text = render_goals(&[row(alba, 51.0), row(peer, 100.0)]);
        assert!(text.ends_with("MISSED\n"), "{text}");
        assert_eq!(render(&rows).lines().count(), 5);
        assert_eq!(svg(&rows).matches("class=\"range\"").count(), 3);
        let document: serde_json::Value = serde_json::from_str(&json(&rows).unwrap()).unwrap();
        assert_eq!(document["results"][0]["scenario"], "hung");
        assert_eq!(document["results"][0]["p99_ms"], 40.0);
    }
}
