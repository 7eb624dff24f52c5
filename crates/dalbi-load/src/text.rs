//! `TEXT name=number,…`

use crate::metrics::{self, Metric, NAMED, Reading};
use crate::{LoadReport, ParseError};

/// Reads what follows `TEXT `.
///
/// Envoy's rules: entries between commas, blanks around them, empty ones ignored. It took `:` for `=` up to 1.32, and
/// servers written for that are still about.
pub(crate) fn parse(text: &[u8]) -> Result<LoadReport, ParseError> {
    let mut reading = Reading::default();
    for entry in text.split(|&byte| byte == b',') {
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        let refused = || ParseError::Entry(String::from_utf8_lossy(entry).into_owned());
        let entry = std::str::from_utf8(entry).map_err(|_| refused())?;
        let (name, value) = entry
            .split_once('=')
            .or_else(|| entry.split_once(':'))
            .ok_or_else(refused)?;
        let metric = Metric::from_text(name).ok_or_else(|| ParseError::Name(name.to_owned()))?;
        let number: f64 = value.trim().parse().map_err(|_| ParseError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        })?;
        reading.insert(metric, number)?;
    }
    Ok(reading.finish())
}

pub(crate) fn write(report: &LoadReport) -> String {
    let mut out = String::with_capacity(128);
    out.push_str("TEXT ");
    let mut separator = "";
    for (metric, value) in metrics::of(report) {
        out.push_str(separator);
        if matches!(metric, Metric::Named(_)) {
            out.push_str(NAMED);
        }
        out.push_str(metric.name());
        out.push('=');
        metrics::write_number(&mut out, value);
        separator = ",";
    }
    out
}
