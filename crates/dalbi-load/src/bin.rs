//! The protobuf message `xds.data.orca.v3.OrcaLoadReport` in base64.
//!
//! Read and written by hand: it has a dozen fields, and a protobuf library would be this crate's heaviest
//! dependency.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::metrics::{self, Metric, Reading};
use crate::{LoadReport, MAX_BYTES, ParseError};

/// gRPC sends base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decoded, the longest value has this many bytes; the decoder asks for room in whole groups.
const DECODED_BYTES: usize = MAX_BYTES / 4 * 3 + 3;

const REQUEST_COST: u64 = 4;
const UTILIZATION: u64 = 5;
const NAMED_METRICS: u64 = 8;

/// Reads base64. An empty value is refused, as Envoy does: a report that says nothing is a mistake.
pub(crate) fn parse(base64: &[u8]) -> Result<LoadReport, ParseError> {
    let mut buffer = [0; DECODED_BYTES];
    let length = BASE64
        .decode_slice(base64.trim_ascii(), &mut buffer)
        .map_err(|_| ParseError::Base64)?;
    if length == 0 {
        return Err(ParseError::Base64);
    }
    let mut reading = Reading::default();
    let mut message = Message(&buffer[..length]);
    while let Some((number, value)) = message.field()? {
        match (number, value) {
            (NAMED_METRICS, Value::Bytes(entry)) => {
                let (name, value) = map_entry(entry)?;
                let metric = Metric::named(name).ok_or_else(|| ParseError::Name(String::new()))?;
                reading.replace(metric, value)?;
            }
            (REQUEST_COST | UTILIZATION, _) => reading.count()?,
            (number, Value::Double(value)) => {
                if let Some(metric) = field_metric(number) {
                    reading.replace(metric, value)?;
                }
            }
            // `rps`, which `rps_fractional` replaced, and fields of later versions.
            _ => {}
        }
    }
    Ok(reading.finish())
}

pub(crate) fn write(report: &LoadReport) -> String {
    let mut message = Vec::with_capacity(128);
    for (metric, value) in metrics::of(report) {
        match field_number(metric) {
            None => {
                let name = metric.name();
                let mut entry = Vec::with_capacity(name.len() + 16);
                key(&mut entry, 1, BYTES);
                varint(&mut entry, name.len() as u64);
                entry.extend_from_slice(name.as_bytes());
                double(&mut entry, 2, value);
                key(&mut message, NAMED_METRICS, BYTES);
                varint(&mut message, entry.len() as u64);
                message.extend_from_slice(&entry);
            }
            Some(number) => double(&mut message, number, value),
        }
    }
    BASE64.encode(message)
}

/// Field numbers of `OrcaLoadReport`; 3 was `rps`. Named metrics have none of their own.
fn field_number(metric: Metric<'_>) -> Option<u64> {
    match metric {
        Metric::CpuUtilization => Some(1),
        Metric::MemUtilization => Some(2),
        Metric::RpsFractional => Some(6),
        Metric::Eps => Some(7),
        Metric::ApplicationUtilization => Some(9),
        _ => None,
    }
}

fn field_metric(number: u64) -> Option<Metric<'static>> {
    Some(match number {
        1 => Metric::CpuUtilization,
        2 => Metric::MemUtilization,
        6 => Metric::RpsFractional,
        7 => Metric::Eps,
        9 => Metric::ApplicationUtilization,
        _ => return None,
    })
}

/// A `map<string, double>` entry is a message of key and value; either may be missing.
fn map_entry(bytes: &[u8]) -> Result<(&str, f64), ParseError> {
    let (mut name, mut number) = ("", 0.0);
    let mut entry = Message(bytes);
    while let Some(field) = entry.field()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                name = std::str::from_utf8(bytes).map_err(|_| ParseError::Protobuf)?;
            }
            (2, Value::Double(value)) => number = value,
            _ => {}
        }
    }
    Ok((name, number))
}

/// Wire types of protobuf's encoding.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

#[derive(Debug, PartialEq)]
enum Value<'a> {
    Double(f64),
    Bytes(&'a [u8]),
    Other,
}

/// What is left of a message.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The next field's number and value; `None` at the end.
    fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, ParseError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 {
            return Err(ParseError::Protobuf);
        }
        let value = match key & 7 {
            VARINT => {
                self.varint()?;
                Value::Other
            }
            FIXED_64 => {
                let bytes = self.take(8)?.try_into().expect("eight were taken");
                Value::Double(f64::from_le_bytes(bytes))
            }
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| ParseError::Protobuf)?;
                Value::Bytes(self.take(length)?)
            }
            FIXED_32 => {
                self.take(4)?;
                Value::Other
            }
            // Groups, which proto3 does not have.
            _ => return Err(ParseError::Protobuf),
        };
        Ok(Some((number, value)))
    }

    fn varint(&mut self) -> Result<u64, ParseError> {
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(ParseError::Protobuf)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ParseError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ParseError::Protobuf)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(out: &mut Vec<u8>, number: u64, wire_type: u64) {
    varint(out, number << 3 | wire_type);
}

fn double(out: &mut Vec<u8>, number: u64, value: f64) {
    key(out, number, FIXED_64);
    out.extend_from_slice(&value.to_le_bytes());
}
