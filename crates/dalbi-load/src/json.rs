//! `JSON {…}`, protobuf's JSON of `OrcaLoadReport`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};

use crate::metrics::{self, Metric, Reading};
use crate::{LoadReport, ParseError};

/// Reads what follows `JSON `.
///
/// Protobuf's rules: a field has its own name or that in camel case, a number may be a string, `null` is nothing, and
/// fields that are not known are ignored.
pub(crate) fn parse(json: &[u8]) -> Result<LoadReport, ParseError> {
    let mut reading = Reading::default();
    let mut refused = None;
    let fields = Fields {
        reading: &mut reading,
        refused: &mut refused,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let outcome = fields
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (refused, outcome) {
        (Some(refused), _) => Err(refused),
        (None, Err(error)) => Err(ParseError::Json(error.to_string())),
        (None, Ok(())) => Ok(reading.finish()),
    }
}

pub(crate) fn write(report: &LoadReport) -> String {
    let mut out = String::with_capacity(128);
    out.push_str("JSON {");
    let mut separator = "";
    let mut inside = false;
    for (metric, value) in metrics::of(report) {
        out.push_str(separator);
        if !inside && metric.is_named() {
            inside = true;
            out.push_str("\"named_metrics\":{");
        }
        // Only names that need no escape are written.
        out.push('"');
        out.push_str(metric.name());
        out.push_str("\":");
        metrics::write_number(&mut out, value);
        separator = ",";
    }
    out.push_str(if inside { "}}" } else { "}" });
    out
}

/// The message. What is wrong with a metric goes to `refused`, since serde's errors are only text.
struct Fields<'a> {
    reading: &'a mut Reading,
    refused: &'a mut Option<ParseError>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of metrics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reading, refused } = self;
        while let Some(Name(name)) = map.next_key()? {
            if matches!(&*name, "named_metrics" | "namedMetrics") {
                map.next_value_seed(Named {
                    reading: &mut *reading,
                    refused: &mut *refused,
                })?;
            } else if let Some(metric) = field(&name) {
                let value = map.next_value()?;
                take(reading, refused, metric, value)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The map `named_metrics`.
struct Named<'a> {
    reading: &'a mut Reading,
    refused: &'a mut Option<ParseError>,
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of named metrics")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value()?;
            let Some(metric) = Metric::named(&name) else {
                *self.refused = Some(ParseError::Name(String::new()));
                return Err(A::Error::custom("a named metric without a name"));
            };
            take(self.reading, self.refused, metric, value)?;
        }
        Ok(())
    }
}

fn take<E: Error>(
    reading: &mut Reading,
    refused: &mut Option<ParseError>,
    metric: Metric<'_>,
    Number(value): Number,
) -> Result<(), E> {
    let Some(value) = value else { return Ok(()) };
    reading.insert(metric, value).map_err(|error| {
        let message = E::custom(&error);
        *refused = Some(error);
        message
    })
}

fn field(name: &str) -> Option<Metric<'static>> {
    match name {
        "cpuUtilization" => Some(Metric::CpuUtilization),
        "memUtilization" => Some(Metric::MemUtilization),
        "applicationUtilization" => Some(Metric::ApplicationUtilization),
        "rpsFractional" => Some(Metric::RpsFractional),
        name => Metric::field(name),
    }
}

/// A key, borrowed from the bytes unless it has escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A number, also one within a string; `None` for `null`.
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numeric;

        impl Visitor<'_> for Numeric {
            type Value = Number;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number(Some(value)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(Some(value as f64)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(Some(value as f64)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                let value = text.parse();
                value
                    .map(|value| Number(Some(value)))
                    .map_err(|_| E::custom(format_args!("`{text}` is not a number")))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }

        deserializer.deserialize_any(Numeric)
    }
}
