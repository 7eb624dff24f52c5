//! When the test server takes longer than its service times say.

use std::str::FromStr;
use std::time::Duration;

use crate::quantity;

/// By which factors service times are multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slowness {
    /// At all times, as on an old machine.
    pub(crate) factor: f64,
    /// In spells.
    pub(crate) antagonist: Option<Antagonist>,
    /// At first.
    pub(crate) warm_up: Option<WarmUp>,
    /// Of the spells.
    pub(crate) seed: u64,
}

impl Default for Slowness {
    fn default() -> Self {
        Self {
            factor: 1.0,
            antagonist: None,
            warm_up: None,
            seed: 1,
        }
    }
}

impl Slowness {
    /// The factor for a request whose work begins this long after the server started.
    pub(crate) fn factor(&self, at: Duration) -> f64 {
        let antagonist = self
            .antagonist
            .filter(|antagonist| antagonist.is_there(at, self.seed))
            .map_or(1.0, |antagonist| antagonist.factor);
        let warm_up = self.warm_up.map_or(1.0, |warm_up| warm_up.factor(at));
        self.factor * antagonist * warm_up
    }
}

/// Somebody else on the same machine, who comes and goes: `10s:0.3:3x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Antagonist {
    spell: Duration,
    /// Share of the spells in which it is there.
    share: f64,
    factor: f64,
}

impl Antagonist {
    /// Each spell is drawn by itself from the seed, so that the answer depends on nothing but time.
    fn is_there(&self, at: Duration, seed: u64) -> bool {
        // Servers that start together have their spells begin at different times.
        let offset = self.spell.mul_f64(fastrand::Rng::with_seed(seed).f64());
        let spell = (at + offset).as_nanos() / self.spell.as_nanos();
        // The golden ratio's bits, as SplitMix64 has them, spread neighbouring numbers over all seeds.
        let spread = (spell as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(spread));
        // The first draw still shows what the seeds have in common.
        rng.u64(..);
        rng.f64() < self.share
    }
}

/// Empty caches and code not compiled yet: `30s:3x` takes three times as long at first and ever less for
/// half a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WarmUp {
    time: Duration,
    factor: f64,
}

impl WarmUp {
    fn factor(&self, at: Duration) -> f64 {
        let left = 1.0 - at.as_secs_f64() / self.time.as_secs_f64();
        1.0 + (self.factor - 1.0) * left.max(0.0)
    }
}

/// Why an option was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum SlownessError {
    #[error(transparent)]
    Quantity(#[from] quantity::QuantityError),
    #[error("`{0}` is not a factor: write a number above 0 and `x`, such as `2x`")]
    Factor(String),
    #[error(
        "`{0}` is not an antagonist: write how long, in which share of the time and how slow, such as `10s:0.3:3x`"
    )]
    Antagonist(String),
    #[error("`{0}` is not a warm-up: write how long and how slow at first, such as `30s:3x`")]
    WarmUp(String),
    #[error("`{0}` has no time; write one above 0, such as `10s`")]
    NoTime(String),
}

/// Parses `2x`; the `x` may be left out.
pub(crate) fn factor(text: &str) -> Result<f64, SlownessError> {
    let number = text.trim().trim_end_matches('x').parse();
    number
        .ok()
        .filter(|factor: &f64| {
            factor.is_finite() && (0.0..=1000.0).contains(factor) && *factor > 0.0
        })
        .ok_or_else(|| SlownessError::Factor(text.to_owned()))
}

impl FromStr for Antagonist {
    type Err = SlownessError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        let [spell, share, slower] = parts[..] else {
            return Err(SlownessError::Antagonist(text.to_owned()));
        };
        Ok(Self {
            spell: time(spell)?,
            share: quantity::share(share)?,
            factor: factor(slower)?,
        })
    }
}

impl FromStr for WarmUp {
    type Err = SlownessError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (length, slower) = text
            .split_once(':')
            .ok_or_else(|| SlownessError::WarmUp(text.to_owned()))?;
        Ok(Self {
            time: time(length)?,
            factor: factor(slower)?,
        })
    }
}

fn time(text: &str) -> Result<Duration, SlownessError> {
    let time = quantity::duration(text)?;
    if time.is_zero() {
        return Err(SlownessError::NoTime(text.to_owned()));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_antagonist_is_there_in_its_share_of_spells_of_its_length() {
        let antagonist: Antagonist = "10s:0.3:3x".parse().unwrap();
        let slowness = Slowness {
            antagonist: Some(antagonist),
            seed: 5,
            ..Slowness::default()
        };
        let factors: Vec<f64> = (0..200_000)
            .map(|tenth| slowness.factor(seconds(f64::from(tenth) / 10.0)))
            .collect();
        assert!(factors.iter().all(|&factor| factor == 1.0 || factor == 3.0));
        // 2000 spells, 600 expected, standard deviation 20.
        let slow = factors.iter().filter(|&&factor| factor == 3.0).count() as f64 / 100.0;
        assert!((500.0..700.0).contains(&slow), "{slow}");
        let changes = factors.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // Two of three changes of spell leave it as it was: 840 expected.
        assert!((700..980).contains(&changes), "{changes}");
        // Another seed, other spells.
        let other = Slowness {
            seed: 6,
            ..slowness
        };
        assert!((0..100).any(|spell| {
            let at = seconds(f64::from(spell) * 10.0);
            slowness.factor(at) != other.factor(at)
        }));
    }

    #[test]
    fn warm_up_ends() {
        let slowness = Slowness {
            factor: 2.0,
            warm_up: Some("30s:3x".parse().unwrap()),
            ..Slowness::default()
        };
        let factors = [0.0, 15.0, 30.0, 300.0].map(|at| slowness.factor(seconds(at)));
        assert_eq!(factors, [6.0, 4.0, 2.0, 2.0]);
    }

    #[test]
    fn refusals_say_what_to_write() {
        assert_eq!(factor("1.5x"), Ok(1.5));
        assert_eq!(factor("2"), Ok(2.0));
        for text in ["", "x", "0x", "-1x", "1e9x", "NaNx"] {
            let message = factor(text).unwrap_err().to_string();
            assert!(message.contains("is not a factor"), "{text}: {message}");
        }
        for (text, expected) in [
            ("10s", "such as `10s:0.3:3x`"),
            ("10s:2:3x", "not a share"),
            ("soon:0.3:3x", "not a duration"),
            ("0:0.3:3x", "has no time"),
        ] {
            let message = text.parse::<Antagonist>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let message = "30s".parse::<WarmUp>().unwrap_err().to_string();
        assert!(message.contains("such as `30s:3x`"), "{message}");
    }
}
