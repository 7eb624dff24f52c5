//! When requests are due.

use std::time::Duration;

/// Offsets of a Poisson process from its start.
#[derive(Debug)]
pub(crate) struct Schedule {
    rng: fastrand::Rng,
    mean_gap_s: f64,
    at_s: f64,
    end_s: f64,
}

impl Schedule {
    /// `rate_per_s` arrivals per second on average until `duration` is over.
    pub(crate) fn new(rate_per_s: f64, duration: Option<Duration>, seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            mean_gap_s: 1.0 / rate_per_s,
            at_s: 0.0,
            end_s: duration.map_or(f64::INFINITY, |duration| duration.as_secs_f64()),
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // 1 - u is never zero, so the logarithm is finite.
        self.at_s -= (1.0 - self.rng.f64()).ln() * self.mean_gap_s;
        (self.at_s < self.end_s).then(|| Duration::from_secs_f64(self.at_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_the_rate_and_end() {
        let arrivals: Vec<_> = Schedule::new(1000.0, Some(Duration::from_secs(20)), 3).collect();
        // 20,000 expected, standard deviation 141.
        assert!(
            (19_400..20_600).contains(&arrivals.len()),
            "{}",
            arrivals.len()
        );
        assert!(arrivals.is_sorted());
        assert!(arrivals.last().unwrap() < &Duration::from_secs(20));
    }
}
