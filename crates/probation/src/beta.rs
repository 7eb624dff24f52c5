//! Logarithms of the gamma and beta functions, and of a beta distribution's tail.
//!
//! Everything stays in logarithms, because likelihoods of a million requests underflow at once.

/// Up to how many steps the continued fraction takes; it needs about the root of its larger argument.
const MOST_STEPS: u32 = 200_000;

/// ln Γ(x) for x > 0: Stirling's series (Abramowitz and Stegun 6.1.41), after moving x up to where it is exact to
/// the last digits.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let mut x = x;
    let mut moved = 1.0;
    while x < 10.0 {
        moved *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0
        - square
            * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))))
        / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - moved.ln()
}

/// ln B(a, b) for a, b > 0.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln P(θ > x) for θ ~ Beta(a, b) and 0 < x < 1.
pub(crate) fn ln_upper_tail(x: f64, a: f64, b: f64) -> f64 {
    // P(θ > x) = I_{1-x}(b, a).
    ln_incomplete(1.0 - x, b, a).min(0.0)
}

/// ln I_x(a, b), the regularized incomplete beta function, by the continued fraction DLMF 8.17.22 on the side where
/// it converges fast.
fn ln_incomplete(x: f64, a: f64, b: f64) -> f64 {
    let ln_front = a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b);
    if x < (a + 1.0) / (a + b + 2.0) {
        ln_front + continued_fraction(x, a, b).ln() - a.ln()
    } else {
        let other = (ln_front + continued_fraction(1.0 - x, b, a).ln() - b.ln()).exp();
        (-other.min(1.0)).ln_1p()
    }
}

/// Lentz's method for the continued fraction of I_x(a, b).
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    let not_zero = |value: f64| {
        if value.abs() < f64::MIN_POSITIVE {
            f64::MIN_POSITIVE
        } else {
            value
        }
    };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=MOST_STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / not_zero(1.0 + even * d);
        c = not_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / not_zero(1.0 + odd * d);
        c = not_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(got: f64, expected: f64, tolerance: f64) {
        assert!(
            (got - expected).abs() <= tolerance,
            "{got} is not {expected}"
        );
    }

    #[test]
    fn ln_gamma_is_the_factorial() {
        let mut factorial: f64 = 1.0;
        for n in 1..20_u32 {
            assert_near(ln_gamma(f64::from(n)), factorial.ln(), 1e-12);
            factorial *= f64::from(n);
        }
        assert_near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-13);
        assert_near(ln_gamma(0.1), 2.252_712_651_734_206, 1e-12);
        assert!(ln_gamma(1e9).is_finite());
    }

    #[test]
    fn the_tail_of_a_beta_is_that_of_a_binomial() {
        // P(Beta(k, n - k + 1) > x) = P(Binomial(n, x) < k).
        for (n, k, x) in [
            (10_i32, 3_i32, 0.1_f64),
            (10, 9, 0.5),
            (30, 1, 0.01),
            (25, 20, 0.9),
        ] {
            let mut below = 0.0;
            let mut choose = 1.0;
            for i in 0..k {
                below += choose * x.powi(i) * (1.0 - x).powi(n - i);
                choose *= f64::from(n - i) / f64::from(i + 1);
            }
            let tail = ln_upper_tail(x, f64::from(k), f64::from(n - k + 1)).exp();
            assert_near(tail, below, 1e-12);
        }
    }

    #[test]
    fn far_tails_stay_finite() {
        let far = ln_upper_tail(0.5, 1.0, 1e9);
        assert!(far.is_finite() && far < -1e8, "{far}");
        assert_near(ln_upper_tail(1e-6, 1e9, 1.0), 0.0, 1e-9);
        let half = ln_upper_tail(0.5, 1e8, 1e8);
        assert_near(half, 0.5_f64.ln(), 1e-3);
    }
}
