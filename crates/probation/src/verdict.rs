//! What a probation says, in types and in words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::signal::{Signal, Thresholds};

/// What is to be done with the new generation.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing is settled and there is time left: go on.
    Continue,
    /// The deadline is over, no harm was found, and more failures than the tolerance are excluded: confirm it.
    Promote,
    /// It hurts, for these reasons; the first is the strongest. This verdict stays once it was given.
    RollBack(Vec<Reason>),
    /// The deadline is over and it is neither shown to hurt nor to be harmless: hold it, and go on observing.
    Inconclusive(Doubt),
}

/// Requests, and those of them that were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// All.
    pub requests: u64,
    /// The bad ones.
    pub bad: u64,
}

impl Share {
    /// Bad ones over all, 0..=1; 0 where there are none.
    pub fn share(self) -> f64 {
        if self.requests == 0 {
            0.0
        } else {
            (self.bad as f64 / self.requests as f64).min(1.0)
        }
    }

    pub(crate) fn add(&mut self, (requests, bad): (u64, u64)) {
        self.requests = self.requests.saturating_add(requests);
        self.bad = self.bad.saturating_add(bad);
    }
}

/// Why a generation is rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// More of its requests are bad.
    Share(Harm),
    /// The workers have no time left.
    Saturation {
        /// The busy share of the workers' time over the last seconds.
        busy: f64,
        /// The same before the swap.
        before: f64,
        /// For how many seconds it has been at the gate's limit or above.
        seconds: u32,
    },
}

/// More of the new generation's requests are bad, in the sense of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    /// In which sense.
    pub signal: Signal,
    /// The new generation's requests.
    pub new: Share,
    /// The old one's.
    pub old: Share,
    /// Whether the old one served at the same time, not before.
    pub concurrent: bool,
    /// How many times likelier this is if the new one is worse; at most 1e300.
    pub e_value: f64,
    /// For latencies, what counts as slow.
    pub thresholds: Option<Thresholds>,
    /// For latencies, the quantile in seconds: the old generation's, the new one's.
    pub quantiles: Option<(f64, f64)>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(harm) => harm.fmt(f),
            Self::Saturation {
                busy,
                before,
                seconds,
            } => write!(
                f,
                "workers were {} busy for {seconds} s, {} before",
                percent(*busy),
                percent(*before)
            ),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (new, old) = (percent(self.new.share()), percent(self.old.share()));
        let requests = grouped(self.new.requests);
        let when = if self.concurrent {
            "of the others"
        } else {
            "before"
        };
        let e_value = short_e(self.e_value);
        if let (Some((from, to)), Some(thresholds)) = (self.quantiles, self.thresholds) {
            write!(
                f,
                "{} went from {} to {}: ",
                self.signal,
                duration(from),
                duration(to)
            )?;
            return write!(
                f,
                "{new} of {requests} requests took longer than {}, {old} {when} longer than {} (e-value {e_value})",
                duration(thresholds.new),
                duration(thresholds.old),
            );
        }
        let what = match self.signal {
            Signal::Errors => "failed",
            Signal::Rejections => "were answered 4xx",
            Signal::P50 | Signal::P90 | Signal::P95 | Signal::P99 | Signal::P999 => "were slow",
        };
        write!(
            f,
            "{new} of {requests} requests {what}, {old} {when} (e-value {e_value})"
        )
    }
}

/// Why a probation that is over says neither yes nor no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// No request reached the new generation.
    NoTraffic,
    /// Too few to exclude more failures than the tolerance.
    TooFewRequests {
        /// How many reached the new generation.
        requests: u64,
        /// By how much its share of failures may exceed the old one's, as far as one knows.
        excess_high: f64,
        /// By how much it may at most.
        tolerance: f64,
    },
    /// Not enough evidence to roll back, and too much to promote.
    Suspicion {
        /// The e-value of all signals together.
        e_value: f64,
        /// From which on it is rolled back.
        needed: f64,
        /// The strongest signal.
        harm: Box<Harm>,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTraffic => f.write_str("no request reached the new generation"),
            Self::TooFewRequests {
                requests,
                excess_high,
                tolerance,
            } => write!(
                f,
                "after {} requests, up to {} more of them may be failing than before; at most {} is tolerated",
                grouped(*requests),
                percent(*excess_high),
                percent(*tolerance)
            ),
            Self::Suspicion {
                e_value,
                needed,
                harm,
            } => write!(
                f,
                "evidence against it is {} of the {} that would roll it back: {harm}",
                short_e(*e_value),
                short_e(*needed)
            ),
        }
    }
}

/// `2.1 %`, with as many digits as tell something.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.05 {
        format!("{percent:.3} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// `24 ms`, `1.3 s`, `0.42 ms`.
pub(crate) fn duration(seconds: f64) -> String {
    let ms = seconds * 1e3;
    if ms >= 1000.0 {
        format!("{seconds:.1} s")
    } else if ms >= 10.0 {
        format!("{ms:.0} ms")
    } else if ms >= 1.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.2} ms")
    }
}

/// `1,204,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3e5`, `12`, `0.4`.
pub(crate) fn short_e(value: f64) -> String {
    if value >= 1e4 || (value > 0.0 && value < 0.01) {
        format!("{value:.0e}")
    } else if value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn harm(signal: Signal) -> Harm {
        Harm {
            signal,
            new: Share {
                requests: 1204,
                bad: 25,
            },
            old: Share {
                requests: 30_000,
                bad: 0,
            },
            concurrent: false,
            e_value: 312_345.0,
            thresholds: None,
            quantiles: None,
        }
    }

    #[test]
    fn reasons_tell_their_numbers() {
        let reason = Reason::Share(harm(Signal::Errors));
        assert_eq!(
            reason.to_string(),
            "2.1 % of 1,204 requests failed, 0.0 % before (e-value 3e5)"
        );
        let slow = Harm {
            thresholds: Some(Thresholds {
                old: 0.02,
                new: 0.024,
            }),
            quantiles: Some((0.0199, 0.121)),
            concurrent: true,
            ..harm(Signal::P99)
        };
        assert_eq!(
            slow.to_string(),
            "p99 went from 20 ms to 121 ms: 2.1 % of 1,204 requests took longer than 24 ms, 0.0 % of the others \
             longer than 20 ms (e-value 3e5)"
        );
        let busy = Reason::Saturation {
            busy: 0.97,
            before: 0.4,
            seconds: 5,
        };
        assert_eq!(
            busy.to_string(),
            "workers were 97.0 % busy for 5 s, 40.0 % before"
        );
    }

    #[test]
    fn doubts_tell_what_is_missing() {
        let doubt = Doubt::TooFewRequests {
            requests: 60,
            excess_high: 0.0741,
            tolerance: 0.01,
        };
        assert_eq!(
            doubt.to_string(),
            "after 60 requests, up to 7.4 % more of them may be failing than before; at most 1.0 % is tolerated"
        );
        let doubt = Doubt::Suspicion {
            e_value: 12.0,
            needed: 20.0,
            harm: Box::new(harm(Signal::Rejections)),
        };
        assert!(
            doubt
                .to_string()
                .starts_with("evidence against it is 12 of the 20 that would roll it back: 2.1 %")
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_204_000), "1,204,000");
        assert_eq!(percent(0.000_12), "0.012 %");
        assert_eq!(duration(0.000_42), "0.42 ms");
        assert_eq!(duration(1.25), "1.2 s");
        assert_eq!(short_e(0.35), "0.3");
    }
}
