//! Durations, sizes and shares as people write them on a command line.

use std::time::Duration;

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuantityError {
    #[error("`{0}` is not a duration: write a number and a unit, such as `5ms`, `1.5s` or `2m`")]
    Duration(String),
    #[error("`{0}` is not a size: write a number and a unit, such as `512`, `1KiB` or `10MB`")]
    Size(String),
    #[error(
        "`{0}` is not a share: write a number from 0 to 1, such as `0.02`, or a percentage, such as `2%`"
    )]
    Share(String),
}

/// Parses `250us`, `5ms`, `1.5s`, `2m`, `1h` or a bare `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, QuantityError> {
    let refused = || QuantityError::Duration(text.to_owned());
    let (number, unit) = split(text).ok_or_else(refused)?;
    let seconds = match unit {
        "ns" => number * 1e-9,
        "us" | "µs" => number * 1e-6,
        "ms" => number * 1e-3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(refused()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

/// Parses `512`, `512B`, `1KiB`, `1.5MiB`, `1kB`, `10MB`, `1GiB` into bytes.
pub(crate) fn size_bytes(text: &str) -> Result<u64, QuantityError> {
    let refused = || QuantityError::Size(text.to_owned());
    let (number, unit) = split(text).ok_or_else(refused)?;
    let unit_bytes = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" | "K" | "k" => 1024.0,
        "MiB" | "M" => 1024.0 * 1024.0,
        "GiB" | "G" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(refused()),
    };
    let bytes = number * unit_bytes;
    // Past 2^53 a double no longer counts single bytes.
    if bytes > 9_007_199_254_740_992.0 {
        return Err(refused());
    }
    Ok(bytes.round() as u64)
}

/// Parses `0.02` or `2%` into a number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, QuantityError> {
    let refused = || QuantityError::Share(text.to_owned());
    let (number, unit) = split(text).ok_or_else(refused)?;
    let share = match unit {
        "" => number,
        "%" => number / 100.0,
        _ => return Err(refused()),
    };
    (0.0..=1.0)
        .contains(&share)
        .then_some(share)
        .ok_or_else(refused)
}

/// A non-negative decimal number and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    number.is_finite().then_some((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for bad in ["", "5", "ms", "-1s", "5 parsecs", "1e9s", "1.2.3s"] {
            assert_eq!(
                duration(bad),
                Err(QuantityError::Duration(bad.to_owned())),
                "{bad}"
            );
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size_bytes("0"), Ok(0));
        assert_eq!(size_bytes("1KiB"), Ok(1024));
        assert_eq!(size_bytes("1.5 MiB"), Ok(1_572_864));
        assert_eq!(size_bytes("10MB"), Ok(10_000_000));
        for bad in ["", "KiB", "-1", "1XB", "99999999999GiB"] {
            assert_eq!(
                size_bytes(bad),
                Err(QuantityError::Size(bad.to_owned())),
                "{bad}"
            );
        }
    }

    #[test]
    fn shares() {
        assert_eq!(share("0.02"), Ok(0.02));
        assert_eq!(share("2%"), Ok(0.02));
        assert_eq!(share("1"), Ok(1.0));
        for bad in ["", "1.1", "101%", "-0.1", "2 percent"] {
            assert_eq!(
                share(bad),
                Err(QuantityError::Share(bad.to_owned())),
                "{bad}"
            );
        }
    }
}
