//! The metrics of a report one by one, which is how every format reads and writes them.

use std::time::Duration;

use crate::{LoadReport, MAX_METRICS, ParseError};

/// What stands before a named metric in text.
pub(crate) const NAMED: &str = "named_metrics.";

const IN_FLIGHT: &str = "in_flight";
const LATENCY_MS: &str = "latency_ms";
const DRAINING: &str = "draining";

/// Longer latencies are read and written as this: nothing waits for so long, and a `Duration` cannot
/// hold every number.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Names written in all take at most this, so that a report fits into a header in every format: each
/// metric adds its value and punctuation, in base64 a third more.
const NAMES_BYTES: usize = 1024;

/// Which metric of `OrcaLoadReport`. Those that have a meaning here are told apart once, by their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric<'a> {
    CpuUtilization,
    MemUtilization,
    ApplicationUtilization,
    RpsFractional,
    Eps,
    InFlight,
    LatencyMs,
    Draining,
    /// A named metric of the server's own.
    Own(&'a str),
}

impl<'a> Metric<'a> {
    /// The one that has the field of this name.
    pub(crate) fn field(name: &str) -> Option<Self> {
        Some(match name {
            "cpu_utilization" => Self::CpuUtilization,
            "mem_utilization" => Self::MemUtilization,
            "application_utilization" => Self::ApplicationUtilization,
            "rps_fractional" => Self::RpsFractional,
            "eps" => Self::Eps,
            _ => return None,
        })
    }

    /// The one of this name in `named_metrics`; there is none without a name.
    pub(crate) fn named(name: &'a str) -> Option<Self> {
        Some(match name {
            "" => return None,
            IN_FLIGHT => Self::InFlight,
            LATENCY_MS => Self::LatencyMs,
            DRAINING => Self::Draining,
            name => Self::Own(name),
        })
    }

    /// The one that text calls `name`.
    pub(crate) fn from_text(name: &'a str) -> Option<Self> {
        match name.strip_prefix(NAMED) {
            Some(named) => Self::named(named),
            None => Self::field(name),
        }
    }

    /// The field's name, or that in `named_metrics`.
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::CpuUtilization => "cpu_utilization",
            Self::MemUtilization => "mem_utilization",
            Self::ApplicationUtilization => "application_utilization",
            Self::RpsFractional => "rps_fractional",
            Self::Eps => "eps",
            Self::InFlight => IN_FLIGHT,
            Self::LatencyMs => LATENCY_MS,
            Self::Draining => DRAINING,
            Self::Own(name) => name,
        }
    }

    /// Whether it belongs to `named_metrics`.
    pub(crate) fn is_named(self) -> bool {
        matches!(
            self,
            Self::InFlight | Self::LatencyMs | Self::Draining | Self::Own(_)
        )
    }

    /// Whether it may have this value.
    fn takes(self, value: f64) -> bool {
        match self {
            // Nobody else knows what it means.
            Self::Own(_) => value.is_finite(),
            Self::InFlight => (0.0..=f64::from(u32::MAX)).contains(&value),
            _ => value >= 0.0 && value.is_finite(),
        }
    }
}

/// A report while it is read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    report: LoadReport,
    metrics: usize,
    draining_seen: bool,
}

impl Reading {
    /// Counts a metric, also one that is not kept.
    pub(crate) fn count(&mut self) -> Result<(), ParseError> {
        self.metrics += 1;
        if self.metrics > MAX_METRICS {
            return Err(ParseError::TooMany);
        }
        Ok(())
    }

    /// Takes a metric that must not have come before.
    pub(crate) fn insert(&mut self, metric: Metric<'_>, value: f64) -> Result<(), ParseError> {
        if self.has(metric) {
            return Err(ParseError::Duplicate(metric.name().to_owned()));
        }
        self.replace(metric, value)
    }

    /// Takes a metric; the last one of a name counts.
    pub(crate) fn replace(&mut self, metric: Metric<'_>, value: f64) -> Result<(), ParseError> {
        self.count()?;
        if !metric.takes(value) {
            return Err(ParseError::Value {
                name: metric.name().to_owned(),
                value: value.to_string(),
            });
        }
        let report = &mut self.report;
        match metric {
            Metric::CpuUtilization => report.cpu_utilization = Some(value),
            Metric::MemUtilization => report.mem_utilization = Some(value),
            Metric::ApplicationUtilization => report.application_utilization = Some(value),
            Metric::RpsFractional => report.rps_fractional = Some(value),
            Metric::Eps => report.eps = Some(value),
            Metric::InFlight => report.in_flight = Some(value.round() as u32),
            Metric::LatencyMs => {
                let seconds = (value / 1e3).min(LONGEST.as_secs_f64());
                report.latency = Some(Duration::from_secs_f64(seconds));
            }
            Metric::Draining => {
                report.draining = value != 0.0;
                self.draining_seen = true;
            }
            Metric::Own(name) => {
                // At most `MAX_METRICS` names, and usually none.
                let named = &mut report.named_metrics;
                match named.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = value,
                    None => named.push((name.to_owned(), value)),
                }
            }
        }
        Ok(())
    }

    fn has(&self, metric: Metric<'_>) -> bool {
        let report = &self.report;
        match metric {
            Metric::CpuUtilization => report.cpu_utilization.is_some(),
            Metric::MemUtilization => report.mem_utilization.is_some(),
            Metric::ApplicationUtilization => report.application_utilization.is_some(),
            Metric::RpsFractional => report.rps_fractional.is_some(),
            Metric::Eps => report.eps.is_some(),
            Metric::InFlight => report.in_flight.is_some(),
            Metric::LatencyMs => report.latency.is_some(),
            Metric::Draining => self.draining_seen,
            Metric::Own(name) => report.named_metrics.iter().any(|(known, _)| known == name),
        }
    }

    pub(crate) fn finish(self) -> LoadReport {
        self.report
    }
}

/// The report's metrics as they are written, fields before named ones.
pub(crate) fn of(report: &LoadReport) -> impl Iterator<Item = (Metric<'_>, f64)> {
    let fields = [
        (
            Metric::ApplicationUtilization,
            report.application_utilization,
        ),
        (Metric::CpuUtilization, report.cpu_utilization),
        (Metric::MemUtilization, report.mem_utilization),
        (Metric::RpsFractional, report.rps_fractional),
        (Metric::Eps, report.eps),
        (Metric::InFlight, report.in_flight.map(f64::from)),
        (
            Metric::LatencyMs,
            report
                .latency
                .map(|latency| latency.min(LONGEST).as_nanos() as f64 / 1e6),
        ),
        (Metric::Draining, report.draining.then_some(1.0)),
    ];
    let mut names_left = NAMES_BYTES;
    let own = report.named_metrics.iter().enumerate();
    let own = own.filter(|(index, (name, _))| {
        let before = &report.named_metrics[..*index];
        is_writable(name) && before.iter().all(|(known, _)| known != name)
    });
    let own = own
        .take_while(move |(_, (name, _))| {
            let fits = name.len() <= names_left;
            names_left = names_left.saturating_sub(name.len());
            fits
        })
        .map(|(_, (name, value))| (Metric::Own(name), *value));
    fields
        .into_iter()
        .filter_map(|(metric, value)| Some((metric, value?)))
        .chain(own)
        .filter(|&(metric, value)| metric.takes(value))
        .take(MAX_METRICS)
}

/// Whether every format carries the name as it is.
fn is_writable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",=:\"\\".contains(&byte);
    matches!(Metric::named(name), Some(Metric::Own(_))) && name.bytes().all(plain)
}

/// The shortest text that reads back as the same number; very large and small ones with an exponent.
pub(crate) fn write_number(out: &mut String, value: f64) {
    use std::fmt::Write;
    let written = if value == 0.0 || (1e-7..1e15).contains(&value.abs()) {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
    written.expect("writing to a string cannot fail");
}
