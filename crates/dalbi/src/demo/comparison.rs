//! Two algorithms beside each other.

use std::io::{self, Write};

use serde::Serialize;

use super::Summary;
use super::summary::{bar, shown_ms};

/// The object that `--compare` with `--json` prints: ALBA's results, then the other's.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison<'a> {
    results: &'a [Summary],
}

impl<'a> Comparison<'a> {
    /// Of two algorithms that had the same schedule and equal servers.
    pub(crate) fn new(results: &'a [Summary]) -> Self {
        Self { results }
    }

    /// The table, what went wrong, and the two 99th percentiles in a sentence.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.results.first(), self.results.last()) else {
            return Ok(());
        };
        let counts: Vec<_> = self
            .results
            .iter()
            .map(|result| {
                let (name, requests, failed) = (result.algorithm, result.requests, result.failed);
                format!("{name} {requests} requests, {failed} failed")
            })
            .collect();
        let seconds = first.duration.as_secs_f64();
        writeln!(out, "In {seconds:.1} s: {}.", counts.join("; "))?;
        self.write_table(out)?;
        for result in self.results {
            result.write_failures(&format!("{}: ", result.algorithm), out)?;
        }
        if let (Some(first_ms), Some(last_ms)) = (first.p99_ms, last.p99_ms) {
            writeln!(
                out,
                "p99 is {} ms with {} and {} ms with {}: {:.1} times as long.",
                shown_ms(first.p99_ms),
                first.algorithm,
                shown_ms(last.p99_ms),
                last.algorithm,
                last_ms / first_ms,
            )?;
        }
        Ok(())
    }

    /// A row for each server and one for all of them, with a group of columns for each algorithm.
    pub(super) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        // Within 79 columns: a line that wraps would spoil the redrawing.
        let names = self.results.iter();
        let names: String = names
            .map(|result| format!(" │ {:<32}", result.algorithm))
            .collect();
        writeln!(out, "{:<8}{}", "", names.trim_end())?;
        let heads = group("share", "", "p50 ms", "p99 ms", "errors");
        writeln!(out, "{:<8}{}", "server", heads.repeat(self.results.len()))?;
        let servers = self
            .results
            .first()
            .map_or(0, |first| first.endpoints.len());
        for index in 0..servers {
            write!(out, "{:<8}", self.results[0].endpoints[index].name)?;
            for result in self.results {
                let endpoint = &result.endpoints[index];
                let columns = group(
                    &format!("{:.1}%", endpoint.share * 100.0),
                    &bar(endpoint.share, 5),
                    &shown_ms(endpoint.p50_ms),
                    &shown_ms(endpoint.p99_ms),
                    &endpoint.errors.to_string(),
                );
                write!(out, "{columns}")?;
            }
            writeln!(out)?;
        }
        write!(out, "{:<8}", "all")?;
        for result in self.results {
            let (p50, p99) = (shown_ms(result.p50_ms), shown_ms(result.p99_ms));
            write!(
                out,
                "{}",
                group("", "", &p50, &p99, &result.failed.to_string())
            )?;
        }
        writeln!(out)
    }
}

/// One algorithm's part of a row.
fn group(share: &str, bar: &str, p50: &str, p99: &str, errors: &str) -> String {
    format!(" │{share:>6} {bar:<5} {p50:>6} {p99:>6} {errors:>6}")
}
