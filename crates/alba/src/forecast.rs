//! What is likely to arrive next, from how days went before.
//!
//! Holt–Winters (Winters 1960) with a damped trend (Gardner and McKenzie 1985), over counts per interval. It
//! adds up logarithms, because traffic scales: a day with five times the users has the same curve, five
//! times as high. It says how far off it was lately, and nothing at all while it would have been better to assume
//! that things stay as they are or come as a season ago.
//!
//! For warming up servers and for hints about scale; never for a single request.

use std::collections::VecDeque;

/// Longest season: a week of minutes.
const MAX_SEASON: usize = 7 * 24 * 60;

/// Share of the newest count in the level: follows a step within ten intervals.
const LEVEL: f64 = 0.2;

/// Share of the newest change of level in the trend: small, since most of a day's ups and downs are season.
const TREND: f64 = 0.02;

/// What is left of the trend an interval later: a rise does not go on for ever.
const DAMPING: f64 = 0.9;

/// Share of the newest deviation in the season: a few days make a new habit.
const SEASON: f64 = 0.25;

/// Share of the newest error in the usual one.
const SPREAD: f64 = 0.05;

/// The season learns from deviations of at most this many usual errors (as in Gelper, Fried and Croux 2010):
/// a step is the level's affair and must not be taken for a habit of that hour.
const CLIP: f64 = 2.0;

/// A forecast of counts per interval. Everything takes time proportional to one interval, not to a season.
#[derive(Debug, Clone)]
pub struct Forecast {
    season: usize,
    horizon: usize,
    /// The first season as it was, until it is whole.
    first: Vec<f64>,
    model: Option<Model>,
    /// The last season's counts and what was said of them `horizon` intervals before.
    past: VecDeque<Past>,
    errors: Errors,
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Expected count, at least 0.
    pub mean: f64,
    /// Mean absolute error of such predictions over the last season, made as far ahead as the horizon:
    /// those for nearer intervals are seldom worse.
    pub error: f64,
    /// This error over that of the better of "as now" and "as a season ago"; below 1 (MASE, Hyndman and
    /// Koehler 2006).
    pub scaled_error: f64,
}

#[derive(Debug, Clone)]
struct Model {
    /// Logarithm, as everything here.
    level: f64,
    trend: f64,
    /// The usual error of the next interval's forecast.
    spread: f64,
    /// Deviations from the level, by place in the season.
    seasonal: Box<[f64]>,
    /// Place of the next count.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Past {
    count: f64,
    /// What the model said of the interval `horizon` after this one.
    said: Option<f64>,
    /// What this count added to the errors.
    errors: Option<Errors>,
}

/// Sums of absolute errors.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    count: f64,
    model: f64,
    as_now: f64,
    as_a_season_ago: f64,
}

impl Forecast {
    /// `season` intervals (2 to 10,080: a week of minutes) make a period, mostly a day; up to `horizon`
    /// intervals (1 to a season) are looked ahead. Other values are taken as the nearest of these.
    pub fn new(season: usize, horizon: usize) -> Self {
        let season = season.clamp(2, MAX_SEASON);
        Self {
            season,
            horizon: horizon.clamp(1, season),
            first: Vec::new(),
            model: None,
            past: VecDeque::new(),
            errors: Errors::default(),
        }
    }

    /// An interval is over in which `count` came. Every interval is to be told, empty ones too.
    pub fn record(&mut self, count: u64) {
        let count = count as f64;
        if let Some(model) = &mut self.model {
            model.record(count);
        } else {
            self.first.push(count);
            if self.first.len() == self.season {
                self.model = Some(Model::new(&std::mem::take(&mut self.first)));
            }
        }
        let errors = self.compare(count);
        let said = self.model.as_ref().map(|model| model.ahead(self.horizon));
        self.past.push_back(Past {
            count,
            said,
            errors,
        });
        self.errors.add(errors, 1.0);
        if self.past.len() > self.season
            && let Some(oldest) = self.past.pop_front()
        {
            self.errors.add(oldest.errors, -1.0);
        }
    }

    /// The count of the interval that is `ahead` from the last one, 1 to the horizon.
    ///
    /// `None` beyond it, before errors are known for a whole season (two seasons and a horizon), and while
    /// one of the simple guesses was better over the last season.
    pub fn predict(&self, ahead: usize) -> Option<Prediction> {
        let model = self.model.as_ref()?;
        if ahead == 0 || ahead > self.horizon || self.errors.count < self.season as f64 {
            return None;
        }
        let Errors { model: error, .. } = self.errors;
        let simple = self.errors.as_now.min(self.errors.as_a_season_ago);
        (error < simple).then(|| Prediction {
            mean: model.ahead(ahead),
            error: error.max(0.0) / self.errors.count,
            scaled_error: error.max(0.0) / simple,
        })
    }

    /// How far off everybody was about `count`.
    fn compare(&self, count: f64) -> Option<Errors> {
        let then = self.past.len().checked_sub(self.horizon)?;
        let then = self.past[then];
        // The oldest is a season ago once a season is known.
        let season_ago = self
            .past
            .front()
            .filter(|_| self.past.len() == self.season)?;
        Some(Errors {
            count: 1.0,
            model: (then.said? - count).abs(),
            as_now: (then.count - count).abs(),
            as_a_season_ago: (season_ago.count - count).abs(),
        })
    }
}

impl Model {
    fn new(first: &[f64]) -> Self {
        let level = first.iter().map(|count| count.ln_1p()).sum::<f64>() / first.len() as f64;
        Self {
            level,
            trend: 0.0,
            spread: 0.1,
            seasonal: first.iter().map(|count| count.ln_1p() - level).collect(),
            next: 0,
        }
    }

    fn record(&mut self, count: f64) {
        let count = count.ln_1p();
        let seasonal = &mut self.seasonal[self.next];
        let before = self.level;
        let expected = before + DAMPING * self.trend;
        self.level = expected + LEVEL * (count - *seasonal - expected);
        self.trend = DAMPING * self.trend + TREND * (self.level - before - DAMPING * self.trend);
        let error = (count - *seasonal - expected).abs();
        let deviation = count - self.level - *seasonal;
        *seasonal += SEASON * deviation.clamp(-CLIP * self.spread, CLIP * self.spread);
        let error = error.min(2.0 * CLIP * self.spread);
        self.spread = (self.spread + SPREAD * (error - self.spread)).max(1e-3);
        self.next = (self.next + 1) % self.seasonal.len();
    }

    fn ahead(&self, intervals: usize) -> f64 {
        // The sum of the damped trend over so many intervals.
        let damped = DAMPING * (1.0 - DAMPING.powi(intervals as i32)) / (1.0 - DAMPING);
        let seasonal = self.seasonal[(self.next + intervals - 1) % self.seasonal.len()];
        (self.level + damped * self.trend + seasonal)
            .exp_m1()
            .max(0.0)
    }
}

impl Errors {
    fn add(&mut self, errors: Option<Self>, sign: f64) {
        if let Some(errors) = errors {
            self.count += sign * errors.count;
            self.model += sign * errors.model;
            self.as_now += sign * errors.as_now;
            self.as_a_season_ago += sign * errors.as_a_season_ago;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::Rng;

    const DAY: usize = 96;

    /// Counts of interval `at`: a day's curve around 1000, with noise of this share.
    fn diurnal(at: usize, noise: f64, rng: &mut Rng) -> f64 {
        let curve = 1_000.0 + 600.0 * (TAU * at as f64 / DAY as f64).sin();
        // Sum of three uniforms: a variance of 1/4.
        let bell = rng.unit() + rng.unit() + rng.unit() - 1.5;
        curve * (1.0 + 2.0 * noise * bell)
    }

    fn after(intervals: usize, horizon: usize, count: impl FnMut(usize) -> f64) -> Forecast {
        let mut forecast = Forecast::new(DAY, horizon);
        (0..intervals)
            .map(count)
            .for_each(|count| forecast.record(count.max(0.0) as u64));
        forecast
    }

    #[test]
    fn nothing_is_said_before_errors_are_known_for_a_season() {
        let mut rng = Rng::seeded(1);
        let mut forecast = Forecast::new(DAY, 4);
        // Each day is busier than the one before, so that the day before is no good guess.
        let mut grown = |at| (diurnal(at, 0.0, &mut rng) * (1 + at / DAY) as f64) as u64;
        for at in 0..2 * DAY + 2 {
            forecast.record(grown(at));
            assert_eq!(forecast.predict(1), None, "after {at}");
        }
        forecast.record(grown(2 * DAY + 2));
        assert!(forecast.predict(1).is_some());
        assert_eq!(forecast.predict(0), None);
        assert!(forecast.predict(4).is_some());
        assert_eq!(forecast.predict(5), None, "beyond the horizon");
    }

    #[test]
    fn a_daily_curve_is_foreseen_as_far_off_as_is_said() {
        for seed in 1..6 {
            let mut rng = Rng::seeded(seed);
            let mut forecast = after(6 * DAY, 4, |at| diurnal(at, 0.04, &mut rng));
            let (mut off, mut said) = (0.0, 0.0);
            for at in 6 * DAY..7 * DAY {
                let prediction = forecast.predict(4).expect("it wins");
                assert!(prediction.scaled_error < 1.0, "seed {seed}: {prediction:?}");
                let mut ahead = Rng::seeded(0);
                off += (prediction.mean - diurnal(at + 3, 0.0, &mut ahead)).abs();
                said += prediction.error;
                forecast.record(diurnal(at, 0.04, &mut rng) as u64);
            }
            // What is said includes the noise, of which nobody can foresee more.
            assert!(off < said && said < 4_500.0, "seed {seed}: {off} {said}");
        }
    }

    #[test]
    fn a_random_walk_is_left_to_the_simple_guess() {
        for seed in 1..6 {
            let mut rng = Rng::seeded(seed);
            let mut walk = 100_000.0;
            let forecast = after(5 * DAY, 1, |_| {
                walk += 1_000.0 * (rng.unit() - 0.5);
                walk
            });
            assert_eq!(forecast.predict(1), None, "seed {seed}");
        }
    }

    #[test]
    fn a_step_is_followed_within_hours_and_shows_in_the_error() {
        let mut rng = Rng::seeded(7);
        let mut forecast = after(5 * DAY, 1, |at| diurnal(at, 0.02, &mut rng));
        let before = forecast.predict(1).expect("it wins").error;
        for at in 5 * DAY..5 * DAY + 24 {
            forecast.record((5.0 * diurnal(at, 0.02, &mut rng)) as u64);
        }
        if let Some(prediction) = forecast.predict(1) {
            assert!(prediction.error > 2.0 * before, "{prediction:?}");
        }
        for at in 5 * DAY + 24..9 * DAY {
            forecast.record((5.0 * diurnal(at, 0.02, &mut rng)) as u64);
        }
        let prediction = forecast.predict(1).expect("it wins again");
        let actual = 5.0 * diurnal(9 * DAY, 0.0, &mut rng);
        assert!(
            (prediction.mean - actual).abs() < 0.1 * actual,
            "{prediction:?}"
        );
    }

    #[test]
    fn odd_sizes_and_silence_are_harmless() {
        let mut forecast = Forecast::new(0, 0);
        (0..100).for_each(|_| forecast.record(0));
        assert_eq!(forecast.predict(1), None, "nothing is easier than nothing");
        let forecast = Forecast::new(usize::MAX, usize::MAX);
        assert_eq!(
            (forecast.season, forecast.horizon),
            (MAX_SEASON, MAX_SEASON)
        );
    }
}
