//! Confidence sequences: intervals that hold the truth at all times at once, so that one may look after every tick.

use serde::{Deserialize, Serialize};

use crate::{
    e_value::{Prior, Sample},
    histogram::Histogram,
};

/// An estimate and the interval that holds the truth with the confidence asked for, at all times at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// What was seen.
    pub estimate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// The share of bad requests, 0..=1: all rates whose likelihood is not `1/alpha` times smaller than the prior
/// mixture's (Robbins 1970; Ville's inequality makes it hold at all times). Each side alone errs with at most
/// `alpha`, too, and both together with at most `alpha`.
pub(crate) fn proportion(prior: Prior, sample: Sample, alpha: f64) -> Interval {
    let estimate = sample.share();
    if sample.requests <= 0.0 {
        return Interval {
            estimate,
            low: 0.0,
            high: 1.0,
        };
    }
    let least = prior.ln_marginal(sample) + alpha.ln();
    let holds = |rate: f64| sample.ln_likelihood(rate) >= least;
    Interval {
        estimate,
        low: edge(estimate, 0.0, holds),
        high: edge(estimate, 1.0, holds),
    }
}

/// The `q` quantile of latency in seconds, widened to whole buckets; an upper end that is the last bound may as well
/// be longer. None without counts or bounds.
///
/// Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
/// identification" (Bernoulli 2022), theorem 1 with the beta-binomial mixture: of `n` latencies, the number below
/// the true quantile is binomial with rate `q`; all ranks that the mixture does not exclude are possible ones.
pub(crate) fn quantile(histogram: &Histogram, q: f64, alpha: f64) -> Option<Interval> {
    let estimate = histogram.quantile(q)?;
    let total = histogram.total() as f64;
    // Centred on q and worth a few observations: tight from some dozens of requests on.
    let prior = Prior {
        a: 4.0 * q,
        b: 4.0 * (1.0 - q),
    };
    let holds = |rank: f64| {
        let sample = Sample {
            requests: total,
            bad: rank,
        };
        prior.ln_marginal(sample) - sample.ln_likelihood(q) <= -alpha.ln()
    };
    let low = edge(q * total, 0.0, holds).floor();
    let high = (edge(q * total, total, holds) + 1.0).ceil();
    let last = histogram.bounds().last().copied()?;
    Some(Interval {
        estimate,
        low: histogram.bucket_of_rank(low).map_or(0.0, |bucket| {
            if low < 1.0 {
                0.0
            } else {
                histogram.lower(bucket)
            }
        }),
        // Ranks beyond the last one say nothing about how long it may be.
        high: match histogram.bucket_of_rank(high) {
            Some(bucket) => histogram.bounds().get(bucket).copied().unwrap_or(last),
            None => last,
        },
    })
}

/// Where `holds`, which is true at `inside`, ends on the way to `limit`; `limit` if it does not.
fn edge(inside: f64, limit: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if holds(limit) {
        return limit;
    }
    let (mut inside, mut outside) = (inside, limit);
    for _ in 0..100 {
        let middle = 0.5 * (inside + outside);
        if middle == inside || middle == outside {
            break;
        }
        if holds(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    // The outer one: what is told as excluded is excluded.
    outside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(requests: f64, bad: f64) -> Sample {
        Sample { requests, bad }
    }

    #[test]
    fn nothing_seen_excludes_nothing() {
        let interval = proportion(Prior::RARE, Sample::default(), 0.05);
        assert_eq!((interval.low, interval.high), (0.0, 1.0));
    }

    #[test]
    fn it_is_about_as_narrow_as_it_can_be() {
        // Without failures, at a fixed time, the upper end would be ln(20)/n = 0.003.
        let none = proportion(Prior::RARE, sample(1000.0, 0.0), 0.05);
        assert_eq!(none.low, 0.0);
        assert!((0.003..0.005).contains(&none.high), "{none:?}");
        let half = proportion(Prior { a: 1.0, b: 1.0 }, sample(1e4, 5e3), 0.05);
        assert!(half.low > 0.48 && half.high < 0.52, "{half:?}");
        let many = proportion(Prior::RARE, sample(1e9, 1e6), 0.05);
        assert!(many.low > 0.000_99 && many.high < 0.001_01, "{many:?}");
    }

    /// The share of 2,000 seeded sequences that ever leave the interval.
    #[test]
    fn it_holds_at_all_times_at_once() {
        let mut rng = fastrand::Rng::with_seed(5);
        for rate in [0.01, 0.3] {
            let mut missed = 0;
            for _ in 0..1000 {
                let mut seen = Sample::default();
                for n in 1..=400 {
                    seen.requests += 1.0;
                    seen.bad += f64::from(u8::from(rng.f64() < rate));
                    // Any subset of times to look at has to hold.
                    if n % 5 == 0 {
                        let interval = proportion(Prior::RARE, seen, 0.05);
                        if rate < interval.low || rate > interval.high {
                            missed += 1;
                            break;
                        }
                    }
                }
            }
            assert!(missed <= 50, "{rate}: {missed} of 1000");
        }
    }

    #[test]
    fn quantiles_hold_at_all_times_at_once() {
        let bounds: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
        let mut rng = fastrand::Rng::with_seed(6);
        for q in [0.5, 0.99] {
            let mut missed = 0;
            for _ in 0..500 {
                let mut histogram = Histogram::new(&bounds);
                for n in 1..=400 {
                    // Uniform: the quantile of q is q.
                    histogram.record(rng.f64());
                    if n % 10 == 0 {
                        let interval = quantile(&histogram, q, 0.05).unwrap();
                        // The last bucket has no upper bound.
                        let high = if interval.high >= 0.99 {
                            1.0
                        } else {
                            interval.high
                        };
                        if q < interval.low || q > high {
                            missed += 1;
                            break;
                        }
                    }
                }
            }
            assert!(missed <= 25, "{q}: {missed} of 500");
        }
    }

    #[test]
    fn a_quantile_narrows_with_more_latencies() {
        let bounds: Vec<f64> = (1..1000).map(|i| f64::from(i) / 1000.0).collect();
        let width = |each: u64| {
            let histogram = Histogram::from_counts(&bounds, &vec![each; 1000]);
            let interval = quantile(&histogram, 0.5, 0.05).unwrap();
            assert!(interval.low <= 0.5 && interval.high >= 0.5);
            interval.high - interval.low
        };
        assert!(width(100) < width(1) / 5.0);
        assert_eq!(quantile(&Histogram::default(), 0.5, 0.05), None);
    }

    proptest! {
        #[test]
        fn the_estimate_is_inside_and_less_alpha_is_wider(
            n in 1..1_000_000_u32, share in 0.0..=1.0_f64, alpha in 0.001..0.2_f64,
        ) {
            let seen = sample(f64::from(n), (f64::from(n) * share).floor());
            let wide = proportion(Prior::RARE, seen, alpha / 2.0);
            let narrow = proportion(Prior::RARE, seen, alpha);
            prop_assert!(narrow.low <= narrow.estimate && narrow.estimate <= narrow.high);
            prop_assert!(wide.low <= narrow.low + 1e-12 && narrow.high <= wide.high + 1e-12);
        }
    }
}
