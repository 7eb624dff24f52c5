//! Scales: from a value to a place on the page.

/// What an axis shows.
#[derive(Debug, Clone, Copy)]
pub struct Axis<'a> {
    /// What is shown, with its unit.
    pub label: &'a str,
    /// Equal distances are equal factors; values must be above 0.
    pub log: bool,
}

/// A range of values laid over a range of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    log: bool,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Covers all finite `values`, and something even if there are none.
    pub(super) fn over(log: bool, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let values = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (mut least, mut most) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
                (range.0.min(value), range.1.max(value))
            });
        if least > most {
            (least, most) = (1.0, 2.0);
        }
        if least == most {
            most = if log { least * 2.0 } else { least + 1.0 };
        }
        Self {
            log,
            least,
            most,
            from,
            to,
        }
    }

    /// Where a value is; one beyond the range is at its end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.log { value.ln() } else { value };
        let value = value.clamp(self.least, self.most);
        let share = (place(value) - place(self.least)) / (place(self.most) - place(self.least));
        self.from + share * (self.to - self.from)
    }

    /// Round values within the range: 1, 2 and 5 times powers of ten, or even steps of such a size.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let (least, most) = (self.least * (1.0 - 1e-9), self.most * (1.0 + 1e-9));
        let mut ticks = Vec::new();
        if self.log {
            let mut power = 10_f64.powf(self.least.log10().floor());
            while power <= most {
                ticks.extend([1.0, 2.0, 5.0].map(|step| step * power));
                power *= 10.0;
            }
        } else {
            let rough = (self.most - self.least) / 6.0;
            let power = 10_f64.powf(rough.log10().floor());
            let sizes = [1.0, 2.0, 5.0, 10.0].map(|size| size * power);
            let step = sizes
                .into_iter()
                .find(|size| *size >= rough)
                .unwrap_or(rough);
            let first = (self.least / step).ceil() as i64;
            let last = (self.most / step).floor() as i64;
            ticks.extend((first..=last).map(|count| count as f64 * step));
        }
        ticks.retain(|tick| (least..=most).contains(tick));
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_factors_are_equally_far_apart() {
        let scale = Scale::over(true, [1.0, 100.0].into_iter(), 0.0, 200.0);
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!((scale.at(0.1), scale.at(1e9)), (0.0, 200.0));
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn linear_steps_are_round() {
        let scale = Scale::over(false, [0.75, 1.74].into_iter(), 300.0, 100.0);
        let ticks = scale.ticks();
        assert_eq!(ticks.len(), 5, "{ticks:?}");
        assert!(
            (ticks[0] - 0.8).abs() < 1e-9 && (ticks[4] - 1.6).abs() < 1e-9,
            "{ticks:?}"
        );
        assert_eq!((scale.at(0.75), scale.at(1.74)), (300.0, 100.0));
    }

    #[test]
    fn nothing_and_one_value_have_a_scale_too() {
        for values in [vec![], vec![f64::NAN], vec![3.0]] {
            let scale = Scale::over(true, values.into_iter(), 0.0, 1.0);
            assert!(scale.at(3.0).is_finite() && !scale.ticks().is_empty());
        }
    }
}
