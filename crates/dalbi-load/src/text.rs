//! `TEXT name=number,…`

use crate::metrics::{self, Metric, NAMED, Reading};
use crate::{LoadReport, ParseError};

/// Reads what follows `TEXT `.
///
/// Envoy's rules: entries between commas, blanks around them, empty ones ignored. It took `:` for `=` up to 1.32, and
/// servers written for that are still about.
pub(crate) fn parse(text: &[u8]) -> Result<LoadReport, ParseError> {
    let mut reading = Reading::default();
    // Once for the whole value: this is read with every answer.
    let mut rest = std::str::from_utf8(text)
        .map_err(|_| ParseError::Entry(String::from_utf8_lossy(text).into_owned()))?;
    while !rest.is_empty() {
        let entry;
        (entry, rest) = split_at(rest, b',').unwrap_or((rest, ""));
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        let (name, value) = split_at(entry, b'=')
            .or_else(|| split_at(entry, b':'))
            .ok_or_else(|| ParseError::Entry(entry.to_owned()))?;
        let metric = Metric::from_text(name).ok_or_else(|| ParseError::Name(name.to_owned()))?;
        let number: f64 = value.trim_ascii().parse().map_err(|_| ParseError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        })?;
        reading.insert(metric, number)?;
    }
    Ok(reading.finish())
}

/// What stands before and after the first `separator`, an ASCII character.
fn split_at(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(separator, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

pub(crate) fn write(report: &LoadReport) -> String {
    let mut out = String::with_capacity(128);
    out.push_str("TEXT ");
    let mut separator = "";
    for (metric, value) in metrics::of(report) {
        out.push_str(separator);
        if metric.is_named() {
            out.push_str(NAMED);
        }
        out.push_str(metric.name());
        out.push('=');
        metrics::write_number(&mut out, value);
        separator = ",";
    }
    out
}
