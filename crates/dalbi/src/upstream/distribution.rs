//! How long the test server takes to answer.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::quantity;

/// No sample is longer than this, so that a heavy tail cannot park a request for hours.
const LONGEST: Duration = Duration::from_secs(600);

/// A distribution of service times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Memoryless, by its mean.
    Exponential { mean: Duration },
    /// Bell-shaped, truncated at zero: what would be negative is drawn again.
    Normal { mean: Duration, deviation: Duration },
    /// Heavy-tailed: never below `minimum`; the smaller `shape`, the heavier (below 1 it has no mean).
    Pareto { minimum: Duration, shape: f64 },
    /// Anything between two bounds.
    Uniform { from: Duration, to: Duration },
}

impl Distribution {
    /// Draws one service time.
    pub(crate) fn sample(self, rng: &mut fastrand::Rng) -> Duration {
        // 1 - u keeps the logarithm's and the root's argument above zero.
        let mut open_unit = || 1.0 - rng.f64();
        let seconds = match self {
            Self::Constant(time) => return time,
            Self::Exponential { mean } => -open_unit().ln() * mean.as_secs_f64(),
            Self::Normal { mean, deviation } => {
                let (mean, deviation) = (mean.as_secs_f64(), deviation.as_secs_f64());
                // A mean is never negative, so that at least every other draw will do; the bound is for form.
                (0..64)
                    .map(|_| {
                        // Box-Muller; the second value is thrown away to keep this stateless.
                        let standard = (-2.0 * open_unit().ln()).sqrt() * (TAU * open_unit()).cos();
                        mean + deviation * standard
                    })
                    .find(|&seconds| seconds >= 0.0)
                    .unwrap_or(mean)
            }
            Self::Pareto { minimum, shape } => {
                minimum.as_secs_f64() / open_unit().powf(1.0 / shape)
            }
            Self::Uniform { from, to } => {
                from.as_secs_f64() + (to - from).as_secs_f64() * (1.0 - open_unit())
            }
        };
        Duration::try_from_secs_f64(seconds.max(0.0))
            .unwrap_or(LONGEST)
            .min(LONGEST)
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::Constant(Duration::ZERO)
    }
}

/// Why a `--latency` was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum DistributionError {
    #[error(transparent)]
    Quantity(#[from] quantity::QuantityError),
    #[error(
        "`{0}` is not a latency distribution: write `5ms`, `exp:10ms`, `normal:20ms,5ms`, `pareto:5ms,1.5` or `uniform:1ms,9ms`"
    )]
    Form(String),
    #[error("pareto shape `{0}` is not a number above 0")]
    Shape(String),
    #[error("uniform bounds `{0}` are the wrong way round")]
    Bounds(String),
}

impl FromStr for Distribution {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((kind, arguments)) = text.split_once(':') else {
            return Ok(Self::Constant(quantity::duration(text)?));
        };
        let two = || {
            arguments
                .split_once(',')
                .ok_or_else(|| DistributionError::Form(text.to_owned()))
        };
        match kind {
            "const" | "constant" => Ok(Self::Constant(quantity::duration(arguments)?)),
            "exp" | "exponential" => Ok(Self::Exponential {
                mean: quantity::duration(arguments)?,
            }),
            "normal" => {
                let (mean, deviation) = two()?;
                Ok(Self::Normal {
                    mean: quantity::duration(mean)?,
                    deviation: quantity::duration(deviation)?,
                })
            }
            "pareto" => {
                let (minimum, shape_text) = two()?;
                let shape: f64 = shape_text.trim().parse().unwrap_or(f64::NAN);
                if !(shape.is_finite() && shape > 0.0) {
                    return Err(DistributionError::Shape(shape_text.to_owned()));
                }
                Ok(Self::Pareto {
                    minimum: quantity::duration(minimum)?,
                    shape,
                })
            }
            "uniform" => {
                let (from, to) = two()?;
                let (from, to) = (quantity::duration(from)?, quantity::duration(to)?);
                if from > to {
                    return Err(DistributionError::Bounds(arguments.to_owned()));
                }
                Ok(Self::Uniform { from, to })
            }
            _ => Err(DistributionError::Form(text.to_owned())),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(time) => write!(f, "{time:?}"),
            Self::Exponential { mean } => write!(f, "exp:{mean:?}"),
            Self::Normal { mean, deviation } => write!(f, "normal:{mean:?},{deviation:?}"),
            Self::Pareto { minimum, shape } => write!(f, "pareto:{minimum:?},{shape}"),
            Self::Uniform { from, to } => write!(f, "uniform:{from:?},{to:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_ms(distribution: &str) -> f64 {
        let distribution: Distribution = distribution.parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let draws = 20_000;
        (0..draws)
            .map(|_| distribution.sample(&mut rng).as_secs_f64() * 1e3)
            .sum::<f64>()
            / f64::from(draws)
    }

    #[test]
    fn samples_have_the_mean_that_was_asked_for() {
        // Twenty thousand draws from seed 7; the tolerances are over four standard errors.
        for (text, expected, tolerance) in [
            ("5ms", 5.0, 1e-9),
            ("exp:10ms", 10.0, 0.3),
            ("normal:20ms,5ms", 20.0, 0.15),
            // 1.2876 times the untruncated mean.
            ("normal:20ms,20ms", 25.752, 0.5),
            ("uniform:1ms,9ms", 5.0, 0.08),
            ("pareto:5ms,3", 7.5, 0.2),
        ] {
            let mean = mean_ms(text);
            assert!(
                (mean - expected).abs() < tolerance,
                "{text}: mean {mean}, expected {expected}"
            );
        }
    }

    #[test]
    fn samples_stay_within_their_bounds() {
        let mut rng = fastrand::Rng::with_seed(8);
        let pareto: Distribution = "pareto:5ms,0.1".parse().unwrap();
        let uniform: Distribution = "uniform:1ms,9ms".parse().unwrap();
        let normal: Distribution = "normal:1ms,50ms".parse().unwrap();
        for _ in 0..10_000 {
            assert!((Duration::from_millis(5)..=LONGEST).contains(&pareto.sample(&mut rng)));
            let sample = uniform.sample(&mut rng);
            assert!(
                (Duration::from_millis(1)..=Duration::from_millis(9)).contains(&sample),
                "{sample:?}"
            );
            assert!(normal.sample(&mut rng) < Duration::from_secs(1));
        }
    }

    #[test]
    fn what_is_shown_parses_back() {
        for text in [
            "5ms",
            "exp:10ms",
            "normal:20ms,5ms",
            "pareto:5ms,1.5",
            "uniform:1ms,9ms",
        ] {
            let distribution: Distribution = text.parse().unwrap();
            assert_eq!(distribution.to_string(), text);
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, expected) in [
            ("gauss:1ms", "is not a latency distribution"),
            ("normal:1ms", "is not a latency distribution"),
            ("pareto:1ms,0", "pareto shape `0`"),
            ("uniform:9ms,1ms", "wrong way round"),
            ("exp:soon", "not a duration"),
        ] {
            let message = text.parse::<Distribution>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
