//! What came of all scenarios: the learned policy against the best baseline of each, and the goals.

mod goals;
mod markdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::Row;
use crate::figures::Figures;

pub use goals::Goal;

/// The policy that is judged.
pub const JUDGED: &str = "alba";

/// The policy that knows everything.
pub const LIMIT: &str = "oracle";

/// Among baselines with nearly the fewest errors, the one with the lowest p99 is the best: a policy must
/// not win by failing. The same slack as the goal for errors.
const ERROR_SLACK: f64 = 0.0002;

/// A limit that is this near to the best baseline leaves no gap worth a share: 2 % is within the noise of
/// a p99 over five seeds.
const GAP_NOISE: f64 = 0.02;

/// Results of all scenarios and sizes.
#[derive(Debug, Clone)]
pub struct Scoreboard {
    /// One per scenario, variant and size, in the order of the rows.
    pub cells: Vec<Cell>,
}

/// One scenario or variant at one size; means over seeds.
#[derive(Debug, Clone)]
pub struct Cell {
    /// `file` or `file/variant`.
    pub scenario: String,
    /// Servers at the start.
    pub servers: u32,
    /// Dispatchers.
    pub dispatchers: u32,
    /// Work offered, as a share of all allocations.
    pub load: f64,
    /// By policy.
    pub means: BTreeMap<String, Mean>,
    /// The name of the best baseline, if any ran.
    pub best: Option<String>,
}

/// Means over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// Seeds.
    pub seeds: u32,
    /// Median, 99 % and 99.9 %, in milliseconds.
    pub p50_ms: f64,
    /// See above.
    pub p99_ms: f64,
    /// See above.
    pub p999_ms: f64,
    /// Standard error of `p99_ms`.
    pub p99_error_ms: f64,
    /// Mean latency, in milliseconds.
    pub mean_ms: f64,
    /// Share of requests without a good answer in time.
    pub error_rate: f64,
    /// Work of good answers as a share of what all servers could have done.
    pub useful_share: f64,
    /// Fairness between tenants.
    pub jain_tenants: Option<f64>,
    /// Share of attempts that went to another zone.
    pub remote_share: f64,
    /// Probes per request.
    pub probes_per_request: f64,
}

impl Scoreboard {
    /// Puts rows together by scenario, size and policy.
    pub fn new(rows: &[Row]) -> Self {
        let mut cells: Vec<Cell> = Vec::new();
        let mut grouped: Vec<BTreeMap<String, Vec<&Figures>>> = Vec::new();
        for row in rows {
            let place = cells.iter().position(|cell| cell.is_of(row));
            let index = place.unwrap_or_else(|| {
                cells.push(Cell {
                    scenario: row.scenario.clone(),
                    servers: row.servers,
                    dispatchers: row.dispatchers,
                    load: row.load,
                    means: BTreeMap::new(),
                    best: None,
                });
                grouped.push(BTreeMap::new());
                cells.len() - 1
            });
            grouped[index]
                .entry(row.policy.clone())
                .or_default()
                .push(&row.figures);
        }
        for (cell, figures) in cells.iter_mut().zip(grouped) {
            cell.means = figures
                .into_iter()
                .map(|(policy, figures)| (policy, Mean::of(&figures)))
                .collect();
            cell.best = cell.best_baseline();
        }
        Self { cells }
    }
}

impl Mean {
    fn of(figures: &[&Figures]) -> Self {
        let n = figures.len() as f64;
        let mean = |of: fn(&Figures) -> f64| figures.iter().map(|&one| of(one)).sum::<f64>() / n;
        let p99_ms = mean(|figures| figures.p99_ms);
        let squares: f64 = figures
            .iter()
            .map(|one| (one.p99_ms - p99_ms).powi(2))
            .sum();
        Self {
            seeds: figures.len() as u32,
            p50_ms: mean(|figures| figures.p50_ms),
            p99_ms,
            p999_ms: mean(|figures| figures.p999_ms),
            p99_error_ms: (squares / (n - 1.0).max(1.0) / n).sqrt(),
            mean_ms: mean(|figures| figures.mean_ms),
            error_rate: mean(|figures| figures.error_rate),
            useful_share: mean(|figures| figures.useful_share),
            jain_tenants: figures
                .iter()
                .all(|one| one.jain_tenants.is_some())
                .then(|| mean(|figures| figures.jain_tenants.unwrap_or(1.0))),
            remote_share: mean(|figures| figures.remote_share),
            probes_per_request: mean(|figures| figures.probes_per_request),
        }
    }
}

impl Cell {
    fn is_of(&self, row: &Row) -> bool {
        (self.scenario.as_str(), self.servers, self.dispatchers)
            == (row.scenario.as_str(), row.servers, row.dispatchers)
    }

    /// The file that the scenario is a variant of.
    pub fn file(&self) -> &str {
        self.scenario.split('/').next().unwrap_or(&self.scenario)
    }

    /// The judged policy.
    pub fn judged(&self) -> Option<&Mean> {
        self.means.get(JUDGED)
    }

    /// The full-information limit.
    pub fn limit(&self) -> Option<&Mean> {
        self.means.get(LIMIT)
    }

    /// The best baseline.
    pub fn best(&self) -> Option<&Mean> {
        self.means.get(self.best.as_ref()?)
    }

    /// Baselines with nearly the fewest errors, by name.
    fn contenders(&self) -> impl Iterator<Item = (&String, &Mean)> {
        let baselines = || {
            self.means
                .iter()
                .filter(|(name, _)| name.as_str() != LIMIT && !name.starts_with(JUDGED))
        };
        let fewest = baselines()
            .map(|(_, mean)| mean.error_rate)
            .fold(f64::INFINITY, f64::min);
        baselines().filter(move |(_, mean)| mean.error_rate <= fewest + ERROR_SLACK)
    }

    fn best_baseline(&self) -> Option<String> {
        self.contenders()
            .min_by(|(_, a), (_, b)| a.p99_ms.total_cmp(&b.p99_ms))
            .map(|(name, _)| name.clone())
    }

    /// The share of the p99 gap between best baseline and limit that is left open: 0 is the limit's p99, 1
    /// the best baseline's. `None` if there is no gap to speak of.
    pub fn open(&self) -> Option<f64> {
        let (best, judged, limit) = (self.best()?, self.judged()?, self.limit()?);
        let gap_ms = best.p99_ms - limit.p99_ms;
        (gap_ms > GAP_NOISE * limit.p99_ms).then(|| (judged.p99_ms - limit.p99_ms) / gap_ms)
    }

    /// Mean latency against the limit's.
    pub fn price_of_anarchy(&self) -> Option<f64> {
        Some(self.judged()?.mean_ms / self.limit()?.mean_ms)
    }
}
