//! E-values: how many times likelier the counts are if the new generation is worse than if it is not.
//!
//! The expectation of an e-value is at most 1 while the null hypothesis holds, at every moment at which one may
//! look (Ramdas, Grünwald, Vovk, Shafer: "Game-theoretic statistics and safe anytime-valid inference", 2023). By
//! Ville's inequality it then reaches 1/α at any time with probability at most α.

use crate::beta::{ln_beta, ln_upper_tail};

/// A beta distribution as a prior for a share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior {
    pub(crate) a: f64,
    pub(crate) b: f64,
}

impl Prior {
    /// For shares that are mostly near zero: nearly uniform in the share's logarithm, so that an arm without a bad
    /// event costs little.
    pub(crate) const RARE: Self = Self { a: 0.1, b: 1.0 };

    /// ln of the probability of one sequence with these counts, when its rate is drawn from the prior.
    pub(crate) fn ln_marginal(self, sample: Sample) -> f64 {
        ln_beta(self.a + sample.bad, self.b + sample.good()) - ln_beta(self.a, self.b)
    }
}

/// Requests and those of them that were bad; not whole where they were deflated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) requests: f64,
    pub(crate) bad: f64,
}

impl Sample {
    /// As if there had been `dispersion` times fewer of both.
    pub(crate) fn deflated(self, dispersion: f64) -> Self {
        Self {
            requests: self.requests / dispersion,
            bad: self.bad / dispersion,
        }
    }

    /// The share of bad ones; 0 without requests.
    pub(crate) fn share(self) -> f64 {
        if self.requests > 0.0 {
            (self.bad / self.requests).min(1.0)
        } else {
            0.0
        }
    }

    pub(crate) fn good(self) -> f64 {
        (self.requests - self.bad).max(0.0)
    }

    /// ln of the probability of one sequence with these counts at this rate.
    pub(crate) fn ln_likelihood(self, rate: f64) -> f64 {
        let ln_times = |count: f64, ln: f64| if count > 0.0 { count * ln } else { 0.0 };
        ln_times(self.bad, rate.ln()) + ln_times(self.good(), (-rate).ln_1p())
    }
}

impl std::ops::Add for Sample {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            bad: self.bad + other.bad,
        }
    }
}

impl std::ops::AddAssign for Sample {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::ops::Sub for Sample {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            requests: (self.requests - other.requests).max(0.0),
            bad: (self.bad - other.bad).max(0.0),
        }
    }
}

/// ln of the e-value of `on_new` of `all` bad events having fallen on the new arm, which gets each request with
/// probability `share` by lot. Null: each falls there with at most that probability.
///
/// The likelihood ratio θ^k (1-θ)^(m-k) / (s^k (1-s)^(m-k)), averaged over θ ~ Beta(1, 1/2) truncated to θ > s
/// (a method of mixtures, Robbins 1970). At every θ > s the ratio's factor for one more event has expectation at
/// most 1 if it falls on the new arm with probability at most s, whatever came before: bursts, drift and
/// correlation over time are in the null. Beta(1, 1/2) leans towards θ = 1, where all bad events are new ones.
pub(crate) fn ln_on_new_arm(share: f64, on_new: f64, all: f64) -> f64 {
    const A: f64 = 1.0;
    const B: f64 = 0.5;
    let elsewhere = (all - on_new).max(0.0);
    // P(θ > s) for Beta(1, b) is (1-s)^b, and B(1, b) is 1/b.
    let ln_prior = B * (-share).ln_1p() - B.ln();
    let (a, b) = (A + on_new, B + elsewhere);
    let ln_mixture = ln_beta(a, b) + ln_upper_tail(share, a, b) - ln_prior;
    ln_mixture - on_new * share.ln() - elsewhere * (-share).ln_1p()
}

/// ln of the e-value of `new` having a higher rate than `baseline`. Null: its rate is at most the baseline's.
///
/// Universal inference (Wasserman, Ramdas, Balakrishnan, PNAS 2020, section 8): each arm's probability with its
/// rate drawn from the prior, over the greatest that any two rates of the null can give both.
pub(crate) fn ln_two_samples(prior: Prior, baseline: Sample, new: Sample) -> f64 {
    let together = baseline + new;
    let ln_null = if baseline.requests > 0.0 && new.share() <= baseline.share() {
        baseline.ln_likelihood(baseline.share()) + new.ln_likelihood(new.share())
    } else {
        together.ln_likelihood(together.share())
    };
    prior.ln_marginal(baseline) + prior.ln_marginal(new) - ln_null
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(requests: f64, bad: f64) -> Sample {
        Sample { requests, bad }
    }

    #[test]
    fn nothing_seen_is_no_evidence() {
        assert!(ln_on_new_arm(0.1, 0.0, 0.0).abs() < 1e-12);
        let nothing = Sample::default();
        assert!(ln_two_samples(Prior::RARE, nothing, nothing).abs() < 1e-12);
    }

    #[test]
    fn the_mixture_agrees_with_quadrature() {
        for (share, k, m) in [
            (0.1_f64, 3_i32, 3_i32),
            (0.1, 2, 9),
            (0.5, 7, 8),
            (0.9, 4, 12),
        ] {
            // θ = 1 - u² (1-s) takes the prior's pole at 1 away: it becomes uniform in u.
            let steps = 20_000;
            let sum: f64 = (0..steps)
                .map(|i| {
                    let u = (f64::from(i) + 0.5) / f64::from(steps);
                    let theta = 1.0 - u * u * (1.0 - share);
                    (theta / share).powi(k) * ((1.0 - theta) / (1.0 - share)).powi(m - k)
                })
                .sum();
            let expected = sum / f64::from(steps);
            let got = ln_on_new_arm(share, f64::from(k), f64::from(m)).exp();
            assert!(
                (got / expected - 1.0).abs() < 1e-6,
                "{got} is not {expected}"
            );
        }
    }

    /// The definition: Σ P(k) E(k) over all outcomes of m events under the null's edge.
    #[test]
    fn the_expectation_over_all_outcomes_is_one() {
        for (share, m) in [(0.1_f64, 20_i32), (0.5, 12), (0.01, 50)] {
            let mut sum = 0.0;
            let mut choose = 1.0;
            for k in 0..=m {
                let probability = choose * share.powi(k) * (1.0 - share).powi(m - k);
                sum += probability * ln_on_new_arm(share, f64::from(k), f64::from(m)).exp();
                choose *= f64::from(m - k) / f64::from(k + 1);
            }
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
    }

    /// The same for two samples, on a grid of rates in the null.
    #[test]
    fn two_samples_expect_at_most_one_in_the_null() {
        let binomial = |n: i32, p: f64| -> Vec<f64> {
            let mut choose = 1.0;
            (0..=n)
                .map(|k| {
                    let probability = choose * p.powi(k) * (1.0 - p).powi(n - k);
                    choose *= f64::from(n - k) / f64::from(k + 1);
                    probability
                })
                .collect()
        };
        for prior in [Prior::RARE, Prior { a: 1.0, b: 1.0 }] {
            for (p0, p1) in [
                (0.01, 0.01),
                (0.1, 0.05),
                (0.5, 0.5),
                (0.9, 0.9),
                (0.2, 0.2),
            ] {
                let (n0, n1) = (30, 20);
                let (old, new) = (binomial(n0, p0), binomial(n1, p1));
                let mut sum = 0.0;
                for (k0, q0) in old.iter().enumerate() {
                    for (k1, q1) in new.iter().enumerate() {
                        let e = ln_two_samples(
                            prior,
                            sample(f64::from(n0), k0 as f64),
                            sample(f64::from(n1), k1 as f64),
                        );
                        sum += q0 * q1 * e.exp();
                    }
                }
                assert!(sum <= 1.0 + 1e-9, "{prior:?} {p0} {p1}: {sum}");
            }
        }
    }

    #[test]
    fn extremes_stay_finite_and_on_their_side() {
        let e = ln_on_new_arm(0.1, 1e8, 1e9);
        assert!(e.is_finite() && e < 1.0, "{e}");
        assert!(ln_on_new_arm(0.1, 0.0, 1e9) < 0.0);
        assert!(ln_on_new_arm(0.1, 1e9, 1e9) > 1e9);
        assert!(ln_on_new_arm(1e-4, 1e9, 1e9).is_finite());
        let even = ln_two_samples(Prior::RARE, sample(1e9, 1e6), sample(1e9, 1e6));
        assert!(even.is_finite() && even < 0.0, "{even}");
        assert!(ln_two_samples(Prior::RARE, sample(1e9, 0.0), sample(1e9, 1e9)) > 1e8);
        assert!(ln_two_samples(Prior::RARE, sample(0.0, 0.0), sample(1e9, 1e9)) <= 0.0);
    }

    proptest! {
        #[test]
        fn more_bad_events_on_the_new_arm_are_more_evidence(
            share in 0.001..0.999_f64, on_new in 0..2000_u32, elsewhere in 0..2000_u32,
        ) {
            let (k, m) = (f64::from(on_new), f64::from(on_new + elsewhere));
            let here = ln_on_new_arm(share, k, m);
            prop_assert!(ln_on_new_arm(share, k + 1.0, m + 1.0) > here - 1e-9);
            prop_assert!(ln_on_new_arm(share, k, m + 1.0) < here + 1e-9);
        }

        #[test]
        fn a_rate_that_is_not_higher_is_no_evidence(
            n0 in 1..100_000_u32, n1 in 1..100_000_u32, p in 0.0..=1.0_f64, less in 0.0..=1.0_f64,
        ) {
            let old = sample(f64::from(n0), (f64::from(n0) * p).floor());
            let new = sample(f64::from(n1), (f64::from(n1) * old.share() * less).floor());
            prop_assert!(ln_two_samples(Prior::RARE, old, new) <= 1e-6);
        }

        #[test]
        fn more_bad_ones_of_as_many_are_more_evidence(
            n0 in 1..10_000_u32, n1 in 2..10_000_u32, p0 in 0.0..0.5_f64, p1 in 0.0..1.0_f64,
        ) {
            let old = sample(f64::from(n0), (f64::from(n0) * p0).floor());
            let bad = (f64::from(n1) * p1).floor();
            let new = sample(f64::from(n1), bad);
            let worse = sample(f64::from(n1), bad + 1.0);
            prop_assume!(new.share() > old.share() && worse.bad <= worse.requests);
            let prior = Prior { a: 1.0, b: 1.0 };
            let (less, more) = (ln_two_samples(prior, old, new), ln_two_samples(prior, old, worse));
            prop_assert!(more >= less - 1e-9);
        }
    }
}
