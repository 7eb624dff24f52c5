//! What counts as harm, and how sure one wants to be: read from and written as short pieces of text.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What counts as harm and how sure one wants to be.
///
/// As text, pieces between commas or spaces; what is not named keeps its default:
///
/// | piece | default | meaning |
/// |---|---|---|
/// | `alpha=5%` | 5 % | chance that a harmless generation is rolled back, over the whole probation and all signals |
/// | `errors=0.1%` | 0.1 % | least rise of the share of failures that counts; `off` doesn't judge it |
/// | `rejections=2%` | 2 % | the same for answers 4xx |
/// | `p50=2ms\|20%`, `p90=…` | `2ms\|20%` | slower by no more than either doesn't count; one alone or `off` may be given |
/// | `p95=…`, `p99=…` | `5ms\|50%` | the same for the tail; `p99` holds for p99.9, too |
/// | `latency=…` | | all of them at once |
/// | `saturation=95%` | 95 % | workers this busy for 5 s, when clearly less before, are harm; or `off` |
/// | `tolerance=1%` | 1 % | rise of the share of failures that must be excluded before promoting |
///
/// ```
/// let gate: probation::Gate = "errors=0.5%, p99=50ms|20%, p50=off".parse()?;
/// assert_eq!(gate.errors, Some(0.005));
/// assert_eq!(gate.p99.map(|slack| slack.seconds), Some(0.05));
/// assert_eq!(gate, gate.to_string().parse()?);
/// # Ok::<(), probation::GateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Chance that a harmless generation is rolled back, 0.000001..=0.5. The default is the usual one in twenty.
    pub alpha: f64,
    /// Least rise of the share of failures that counts, 0..1. The default is what many an availability goal allows.
    pub errors: Option<f64>,
    /// Least rise of the share of answers 4xx that counts, 0..1. More than for failures, because clients make them.
    pub rejections: Option<f64>,
    /// By how much the median may grow.
    pub p50: Option<Slack>,
    /// By how much the 90th percentile may grow.
    pub p90: Option<Slack>,
    /// By how much the 95th percentile may grow.
    pub p95: Option<Slack>,
    /// By how much the 99th percentile may grow, and the 99.9th.
    pub p99: Option<Slack>,
    /// Busy share of the workers' time that is harm, above 0 and at most 1. The default leaves what a worker needs
    /// for its own timers.
    pub saturation: Option<f64>,
    /// Rise of the share of failures that must be excluded before promoting, above 0 and at most 1.
    pub tolerance: f64,
}

/// By how much a quantile of latency may grow without harm: by either, whichever is more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slack {
    /// Seconds, 0 or more.
    pub seconds: f64,
    /// Share of what it was, 0 or more: 0.2 is 20 % slower.
    pub ratio: f64,
}

impl Slack {
    /// Below this a difference is the machine's noise rather than the configuration's doing.
    const BODY: Self = Self {
        seconds: 0.002,
        ratio: 0.2,
    };

    /// The rarer, the noisier: what else runs on the machine moves a p99 by half for minutes.
    const TAIL: Self = Self {
        seconds: 0.005,
        ratio: 0.5,
    };

    /// The longest that a latency of `seconds` may become.
    pub(crate) fn of(self, seconds: f64) -> f64 {
        (seconds + self.seconds).max(seconds * (1.0 + self.ratio))
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            errors: Some(0.001),
            rejections: Some(0.02),
            p50: Some(Slack::BODY),
            p90: Some(Slack::BODY),
            p95: Some(Slack::TAIL),
            p99: Some(Slack::TAIL),
            saturation: Some(0.95),
            tolerance: 0.01,
        }
    }
}

/// Why a text is not a gate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GateError {
    /// A piece without `=`.
    #[error("gate `{0}` has no value; write NAME=VALUE, like `errors=0.5%`")]
    NoValue(String),
    /// A name that no gate has.
    #[error(
        "there is no gate `{0}`; there are alpha, errors, rejections, p50, p90, p95, p99, latency, saturation, tolerance"
    )]
    UnknownName(String),
    /// A value that can't be read.
    #[error("gate `{name}={value}`: `{part}` is not {expected}")]
    NotAValue {
        /// The gate's name.
        name: &'static str,
        /// The whole value.
        value: String,
        /// The part of it that can't be read.
        part: String,
        /// What would be right, with an example.
        expected: &'static str,
    },
    /// A value out of its range.
    #[error("gate `{name}={value}` is out of range; use {allowed}")]
    OutOfRange {
        /// The gate's name.
        name: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl Gate {
    /// Changes what one piece names: `errors=0.5%`.
    ///
    /// # Errors
    ///
    /// When there is no such gate, or its value can't be read or is out of range; the gate is then as before.
    pub fn set(&mut self, piece: &str) -> Result<(), GateError> {
        let Some((name, value)) = piece.split_once('=') else {
            return Err(GateError::NoValue(piece.to_owned()));
        };
        let (name, value) = (name.trim(), value.trim());
        match name {
            "alpha" => self.alpha = share_of("alpha", value, 1e-6, 0.5, "0.0001% to 50%")?,
            "errors" => self.errors = or_off(value, |it| least_rise("errors", it))?,
            "rejections" => self.rejections = or_off(value, |it| least_rise("rejections", it))?,
            "p50" => self.p50 = or_off(value, |it| slack_of("p50", it))?,
            "p90" => self.p90 = or_off(value, |it| slack_of("p90", it))?,
            "p95" => self.p95 = or_off(value, |it| slack_of("p95", it))?,
            "p99" => self.p99 = or_off(value, |it| slack_of("p99", it))?,
            "latency" => {
                let slack = or_off(value, |it| slack_of("latency", it))?;
                (self.p50, self.p90) = (slack, slack);
                (self.p95, self.p99) = (slack, slack);
            }
            "saturation" => {
                self.saturation = or_off(value, |it| {
                    share_of("saturation", it, 0.01, 1.0, "1% to 100%, or `off`")
                })?;
            }
            "tolerance" => {
                self.tolerance = share_of("tolerance", value, 1e-6, 1.0, "0.0001% to 100%")?;
            }
            _ => return Err(GateError::UnknownName(name.to_owned())),
        }
        Ok(())
    }
}

fn or_off<T>(
    value: &str,
    read: impl FnOnce(&str) -> Result<T, GateError>,
) -> Result<Option<T>, GateError> {
    if value == "off" {
        Ok(None)
    } else {
        read(value).map(Some)
    }
}

fn least_rise(name: &'static str, value: &str) -> Result<f64, GateError> {
    share_of(name, value, 0.0, 0.99, "0% to 99%, or `off`")
}

/// A share: `0.5%` or `0.005`.
fn share_of(
    name: &'static str,
    value: &str,
    least: f64,
    most: f64,
    allowed: &'static str,
) -> Result<f64, GateError> {
    let share = match value.strip_suffix('%') {
        Some(percent) => number(percent).map(|number| number / 100.0),
        None => number(value),
    };
    let Some(share) = share else {
        return Err(GateError::NotAValue {
            name,
            value: value.to_owned(),
            part: value.to_owned(),
            expected: "a share, like `0.5%`",
        });
    };
    if (least..=most).contains(&share) {
        Ok(share)
    } else {
        Err(GateError::OutOfRange {
            name,
            value: value.to_owned(),
            allowed,
        })
    }
}

/// A slack: a duration, a share, or both with `|` between.
fn slack_of(name: &'static str, value: &str) -> Result<Slack, GateError> {
    let mut slack = Slack {
        seconds: 0.0,
        ratio: 0.0,
    };
    for part in value.split('|').map(str::trim) {
        let (into, read, most) = if let Some(percent) = part.strip_suffix('%') {
            (
                &mut slack.ratio,
                number(percent).map(|it| it / 100.0),
                100.0,
            )
        } else if let Some(ms) = part.strip_suffix("ms") {
            (&mut slack.seconds, number(ms).map(|it| it / 1e3), 3600.0)
        } else if let Some(us) = part.strip_suffix("us").or(part.strip_suffix("µs")) {
            (&mut slack.seconds, number(us).map(|it| it / 1e6), 3600.0)
        } else if let Some(seconds) = part.strip_suffix('s') {
            (&mut slack.seconds, number(seconds), 3600.0)
        } else {
            (&mut slack.seconds, None, 0.0)
        };
        let Some(read) = read else {
            return Err(GateError::NotAValue {
                name,
                value: value.to_owned(),
                part: part.to_owned(),
                expected: "a duration or a share, like `50ms`, `20%` or `50ms|20%`",
            });
        };
        if !(0.0..=most).contains(&read) {
            return Err(GateError::OutOfRange {
                name,
                value: value.to_owned(),
                allowed: "0 to 1h, 0% to 10000%, or `off`",
            });
        }
        *into = read;
    }
    Ok(slack)
}

fn number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

impl FromStr for Gate {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let mut gate = Self::default();
        for piece in text.split([',', ' ']).filter(|piece| !piece.is_empty()) {
            gate.set(piece)?;
        }
        Ok(gate)
    }
}

impl fmt::Display for Gate {
    /// All pieces, so that a later default changes nothing in what was written down.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |it: Option<f64>| it.map_or_else(|| "off".to_owned(), percent);
        let slack = |it: Option<Slack>| it.map_or_else(|| "off".to_owned(), |it| it.to_string());
        write!(
            f,
            "alpha={},errors={},rejections={},p50={},p90={},p95={},p99={},saturation={},tolerance={}",
            percent(self.alpha),
            share(self.errors),
            share(self.rejections),
            slack(self.p50),
            slack(self.p90),
            slack(self.p95),
            slack(self.p99),
            share(self.saturation),
            percent(self.tolerance),
        )
    }
}

impl fmt::Display for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms|{}", short(self.seconds * 1e3), percent(self.ratio))
    }
}

fn percent(share: f64) -> String {
    format!("{}%", short(share * 100.0))
}

/// A number without the digits that multiplying by a power of ten made.
fn short(number: f64) -> f64 {
    format!("{number:.9}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_change_what_they_name() {
        let gate: Gate = "errors=0.5%,p99=50ms|20%,saturation=90% alpha=0.01"
            .parse()
            .unwrap();
        assert_eq!(
            gate,
            Gate {
                alpha: 0.01,
                errors: Some(0.005),
                p99: Some(Slack {
                    seconds: 0.05,
                    ratio: 0.2
                }),
                saturation: Some(0.9),
                ..Gate::default()
            }
        );
        let gate: Gate = "latency=300us,p50=off,rejections=off".parse().unwrap();
        assert_eq!(
            gate.p90,
            Some(Slack {
                seconds: 0.0003,
                ratio: 0.0
            })
        );
        assert_eq!((gate.p50, gate.rejections), (None, None));
        assert_eq!("".parse(), Ok(Gate::default()));
    }

    #[test]
    fn the_default_is_written_as_documented() {
        assert_eq!(
            Gate::default().to_string(),
            "alpha=5%,errors=0.1%,rejections=2%,p50=2ms|20%,p90=2ms|20%,p95=5ms|50%,p99=5ms|50%,saturation=95%,tolerance=1%"
        );
    }

    #[test]
    fn errors_name_the_value_and_what_to_do() {
        let error = |text: &str| text.parse::<Gate>().unwrap_err().to_string();
        assert_eq!(
            error("errors"),
            "gate `errors` has no value; write NAME=VALUE, like `errors=0.5%`"
        );
        assert!(error("erors=1%").starts_with("there is no gate `erors`; there are alpha, errors"));
        assert_eq!(
            error("p99=50ms|fast"),
            "gate `p99=50ms|fast`: `fast` is not a duration or a share, like `50ms`, `20%` or `50ms|20%`"
        );
        assert_eq!(
            error("alpha=0"),
            "gate `alpha=0` is out of range; use 0.0001% to 50%"
        );
        assert_eq!(
            error("errors=NaN"),
            "gate `errors=NaN`: `NaN` is not a share, like `0.5%`"
        );
        assert!(error("p50=-1ms").contains("out of range"));
        assert!(error("saturation=101%").contains("1% to 100%, or `off`"));
    }

    fn share(least: u32, most: u32) -> impl Strategy<Value = f64> {
        (least..=most).prop_map(|ppm| f64::from(ppm) / 1e6)
    }

    prop_compose! {
        fn any_slack()(seconds in share(0, 60_000_000), ratio in share(0, 10_000_000)) -> Slack {
            Slack { seconds, ratio }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            alpha in share(1, 500_000),
            errors in proptest::option::of(share(0, 990_000)),
            rejections in proptest::option::of(share(0, 990_000)),
            p50 in proptest::option::of(any_slack()),
            p99 in proptest::option::of(any_slack()),
            saturation in proptest::option::of(share(10_000, 1_000_000)),
            tolerance in share(1, 1_000_000),
        ) {
            let gate = Gate { alpha, errors, rejections, p50, p90: p50,
                p95: p99, p99, saturation, tolerance };
            let text = gate.to_string();
            prop_assert_eq!(text.parse::<Gate>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", name in "(alpha|errors|p99|saturation)") {
            let mut gate = Gate::default();
            match gate.set(&format!("{name}={text}")) {
                Ok(()) => prop_assert!(gate.to_string().parse::<Gate>().is_ok()),
                Err(error) => {
                    prop_assert!(error.to_string().contains(&name));
                    prop_assert_eq!(gate, Gate::default());
                }
            }
        }
    }
}
