//! Strings, numbers, booleans, durations and enumerations, as strict as Kubernetes is about their types.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Context, Decode, Finding, did_you_mean, map_of};
use crate::yaml::{Node, Value};

/// What an unquoted scalar is read as by Kubernetes' YAML parser.
enum Plain {
    Boolean(bool),
    Number,
    Text,
}

fn plain(text: &str) -> Plain {
    match text {
        // YAML 1.1's words too: Kubernetes reads them as booleans, so `exact: yes` is a mistake there.
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Plain::Boolean(true)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Plain::Boolean(false)
        }
        _ => match number(text) {
            Some(_) => Plain::Number,
            None => Plain::Text,
        },
    }
}

/// JSON's and YAML's numbers, not Rust's `inf` or `nan`.
fn number(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['-', '+']);
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return u32::from_str_radix(hexadecimal, 16).ok().map(f64::from);
    }
    let begins = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    begins.then(|| text.parse().ok()).flatten()
}

/// For messages: "the number 1".
pub fn kind_of(node: &Node<'_>) -> String {
    match &node.value {
        Value::Null => "empty".to_owned(),
        Value::Plain(text) => match plain(text) {
            Plain::Boolean(_) => format!("the boolean `{text}`"),
            Plain::Number => format!("the number {text}"),
            Plain::Text => format!("the string `{text}`"),
        },
        Value::Text(text) => format!("the string `{text}`"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "an object".to_owned(),
    }
}

/// A string. Unquoted numbers and booleans are refused as Kubernetes refuses them.
pub fn string<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<&'d str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Plain(text) if matches!(plain(text), Plain::Text) => Some(text),
        Value::Plain(text) => {
            let finding = Finding::error(format!("must be a string, but is {}", kind_of(node)));
            context.report(node.place, finding.help(format!("write it as \"{text}\"")));
            None
        }
        Value::Null => Some(""),
        Value::Sequence(_) | Value::Mapping(_) => {
            context.error(
                node.place,
                format!("must be a string, but is {}", kind_of(node)),
            );
            None
        }
    }
}

/// A string to keep.
pub fn owned<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    string(node, context).map(str::to_owned)
}

/// A string that says something.
pub fn non_empty<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    if text.is_empty() {
        context.error(node.place, "must not be empty");
        return None;
    }
    Some(text.to_owned())
}

/// Text that becomes part of a request line, of a URL or of an authority, where RFC 3986 knows visible ASCII only: a
/// line break would begin another field or request.
pub fn url_text<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = owned(node, context)?;
    match text.chars().find(|character| !character.is_ascii_graphic()) {
        None => Some(text),
        Some(other) => {
            let message = format!("must be visible ASCII characters, but has {other:?}");
            let finding = Finding::error(message);
            context.report(node.place, finding.help("write it with %, as in %20"));
            None
        }
    }
}

/// [`url_text`] of at least one character.
pub fn non_empty_url_text<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    non_empty(node, context)?;
    url_text(node, context)
}

/// `true` or `false`, or one of the words that YAML 1.1 has for them.
pub fn boolean<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<bool> {
    if let Value::Plain(text) = &node.value
        && let Plain::Boolean(value) = plain(text)
    {
        return Some(value);
    }
    context.error(
        node.place,
        format!("must be true or false, but is {}", kind_of(node)),
    );
    None
}

/// A whole number within a range.
pub fn integer<'d, T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Decode<'d, T> {
    move |node: &'d Node<'d>, context: Context<'d>| {
        let value = match &node.value {
            Value::Plain(text) => number(text).filter(|number| number.fract() == 0.0),
            _ => None,
        };
        let Some(value) = value else {
            context.error(
                node.place,
                format!("must be a whole number, but is {}", kind_of(node)),
            );
            return None;
        };
        // Every range here lies within what a double holds exactly.
        let whole = value as i64;
        match T::try_from(whole) {
            Ok(converted) if range.contains(&whole) => Some(converted),
            _ => {
                context.error(
                    node.place,
                    format!(
                        "must be between {} and {}, but is {value}",
                        range.start(),
                        range.end()
                    ),
                );
                None
            }
        }
    }
}

/// A number that need not be whole.
pub fn decimal<'d>(range: RangeInclusive<f64>) -> impl Decode<'d, f64> {
    move |node: &'d Node<'d>, context: Context<'d>| {
        let value = match &node.value {
            Value::Plain(text) => number(text),
            _ => None,
        };
        match value {
            Some(value) if range.contains(&value) => Some(value),
            Some(value) => {
                let (start, end) = (range.start(), range.end());
                let limits = match *end {
                    f64::MAX => format!("at least {start}"),
                    _ => format!("between {start} and {end}"),
                };
                context.error(node.place, format!("must be {limits}, but is {value}"));
                None
            }
            None => {
                context.error(
                    node.place,
                    format!("must be a number, but is {}", kind_of(node)),
                );
                None
            }
        }
    }
}

/// 1 to 65535.
pub fn port<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<u16> {
    integer(1..=65535)(node, context)
}

/// A count of 32 bits, which Istio gives as a signed one.
pub fn count<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<u32> {
    integer(0..=i64::from(i32::MAX))(node, context)
}

/// Labels, selectors and the like.
pub fn string_map<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<BTreeMap<String, String>> {
    let pairs = map_of(string)(node, context)?;
    Some(
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

/// One of a closed set of names.
pub fn one_of<'d, T: Copy>(names: &'static [(&'static str, T)]) -> impl Decode<'d, T> {
    move |node: &'d Node<'d>, context: Context<'d>| {
        let text = string(node, context)?;
        if let Some((_, value)) = names.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let known = names.iter().map(|(name, _)| *name);
        let list = known.clone().collect::<Vec<_>>().join(", ");
        let finding = Finding::error(format!("must be one of {list}, but is `{text}`"));
        context.report(node.place, finding.maybe_help(did_you_mean(text, known)));
        None
    }
}

/// A Go duration: `1h30m`, `1.5s`, `20ms`.
pub fn duration<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Duration> {
    let parsed = node.text().and_then(parse_duration);
    if parsed.is_none() {
        let message = format!(
            "must be a duration such as 1h, 30s or 250ms, but is {}",
            kind_of(node)
        );
        context.error(node.place, message);
    }
    parsed
}

/// A duration of at least a millisecond, which is what Istio asks of most.
pub fn positive_duration<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Duration> {
    let value = duration(node, context)?;
    if value < Duration::from_millis(1) {
        context.error(
            node.place,
            format!("must be at least 1ms, but is {value:?}"),
        );
        return None;
    }
    Some(value)
}

fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_length = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_length] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += value * unit;
        rest = &rest[unit_length..];
    }
    (!text.is_empty() && seconds <= LONGEST_S)
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// Go's longest duration, about 292 years: what is added to a time must not overflow it.
const LONGEST_S: f64 = 9_223_372_036.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("1s", ms(1000)),
            ("1h30m", ms(5_400_000)),
            ("1.5s", ms(1500)),
            ("250ms", ms(250)),
            ("0s", ms(0)),
            ("0", ms(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1x", None),
            ("1.1.1s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_yaml() {
        for (text, expected) in [
            ("1", Some(1.0)),
            ("-2.5", Some(-2.5)),
            ("0x10", Some(16.0)),
            ("1e3", Some(1000.0)),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for text in ["inf", "nan", "1.2.3.4", "v1", "-", ""] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
