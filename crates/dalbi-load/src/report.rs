//! A load report, whichever way it travels.

use std::time::Duration;

use crate::{ParseError, bin, json, text};

/// The header, or trailer, that carries a report in one of the three [`Format`]s.
pub const HEADER: &str = "endpoint-load-metrics";

/// gRPC's name for it; its value is the one of [`Format::Bin`] without the `BIN `.
pub const HEADER_BIN: &str = "endpoint-load-metrics-bin";

/// Where a server answers with nothing but its report.
pub const LOAD_PATH: &str = "/dalbi/load";

/// A header value may be this long: 40 times what this crate writes, and little beside what heads may hold.
pub const MAX_BYTES: usize = 4096;

/// A report may have this many metrics.
pub const MAX_METRICS: usize = 64;

/// How a report is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `TEXT name=number,…`: the cheapest to read, and the one to read in a terminal.
    #[default]
    Text,
    /// `JSON {…}`
    Json,
    /// `BIN` and the base64 of `xds.data.orca.v3.OrcaLoadReport`.
    Bin,
}

/// What a server says of its own load. Everything may be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadReport {
    /// Share of its processors in use; may be above 1.
    pub cpu_utilization: Option<f64>,
    /// Share of its memory in use.
    pub mem_utilization: Option<f64>,
    /// Share of its capacity in use, as the application sees it; above 1 is overload.
    pub application_utilization: Option<f64>,
    /// Requests answered per second, from all clients.
    pub rps_fractional: Option<f64>,
    /// Errors answered per second.
    pub eps: Option<f64>,
    /// Requests it holds, from all clients, without the one whose answer carries the report.
    pub in_flight: Option<u32>,
    /// What a request lately took there, at about this many in flight.
    pub latency: Option<Duration>,
    /// It asks for no further requests.
    pub draining: bool,
    /// Named metrics beside the three above, each name once.
    pub named_metrics: Vec<(String, f64)>,
}

impl LoadReport {
    /// Reads the value of [`HEADER`].
    ///
    /// # Errors
    ///
    /// What Envoy refuses: another format, unknown or repeated names, values that are no numbers; and whatever is
    /// longer than [`MAX_BYTES`] or has more than [`MAX_METRICS`] metrics.
    pub fn parse(value: &[u8]) -> Result<Self, ParseError> {
        if value.len() > MAX_BYTES {
            return Err(ParseError::TooLong { bytes: value.len() });
        }
        match value.split_at_checked(5) {
            Some((b"TEXT ", rest)) => text::parse(rest),
            Some((b"JSON ", rest)) => json::parse(rest),
            _ => match value.strip_prefix(b"BIN ") {
                Some(rest) => bin::parse(rest),
                None => {
                    let prefix = &value[..value.len().min(5)];
                    Err(ParseError::Format(
                        String::from_utf8_lossy(prefix).into_owned(),
                    ))
                }
            },
        }
    }

    /// Reads the value of [`HEADER_BIN`].
    ///
    /// # Errors
    ///
    /// As [`LoadReport::parse`].
    pub fn parse_bin(value: &[u8]) -> Result<Self, ParseError> {
        if value.len() > MAX_BYTES {
            return Err(ParseError::TooLong { bytes: value.len() });
        }
        bin::parse(value)
    }

    /// Reads a header or trailer if it is one that carries a report. Case does not matter in `name`.
    pub fn from_header(name: &[u8], value: &[u8]) -> Option<Result<Self, ParseError>> {
        // Asked about every header of every answer: the lengths decide nearly always.
        if name.len() == HEADER.len() && name.eq_ignore_ascii_case(HEADER.as_bytes()) {
            Some(Self::parse(value))
        } else if name.len() == HEADER_BIN.len() && name.eq_ignore_ascii_case(HEADER_BIN.as_bytes())
        {
            Some(Self::parse_bin(value))
        } else {
            None
        }
    }

    /// The share of its capacity in use: `application_utilization`, or `cpu_utilization` where that is missing or
    /// 0, as Envoy and gRPC (A58) have it.
    pub fn utilization(&self) -> Option<f64> {
        self.application_utilization
            .filter(|&utilization| utilization > 0.0)
            .or(self.cpu_utilization)
            .or(self.application_utilization)
    }

    /// The value of [`HEADER`] that says this, without what would not be accepted: numbers that are not finite,
    /// negative ones in other than `named_metrics`, names that are empty or have other than visible ASCII
    /// characters or one of `,=:"\`, repeated names, and metrics past [`MAX_METRICS`] or [`MAX_BYTES`].
    pub fn to_header(&self, format: Format) -> String {
        match format {
            Format::Text => text::write(self),
            Format::Json => json::write(self),
            Format::Bin => format!("BIN {}", bin::write(self)),
        }
    }

    /// The value of [`HEADER_BIN`] that says this, likewise.
    pub fn to_header_bin(&self) -> String {
        bin::write(self)
    }
}

#[cfg(test)]
mod tests;
