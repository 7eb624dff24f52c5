//! How far an old report can be trusted, learned from what newer reports said.

use std::time::Duration;

use crate::sums::Sums;

/// Upper bounds of the age classes; older reports make up the last class.
const CLASSES_MS: [u64; 4] = [30, 100, 300, 1000];

/// What is believed before anything is learned, and after how many reports of one request's deviation
/// learning outweighs it.
const PRIOR: [f64; Trust::CLASSES] = [0.9, 0.8, 0.6, 0.3, 0.1];
const PRIOR_WEIGHT: f64 = 10.0;

/// What one comparison leaves of all before it.
const KEPT: f64 = 0.998;

/// For each class of age, the slope of a regression through the origin: of how far the next report of an
/// endpoint lay from the pool's mean on how far the one before did. 1: loads stay as they are; 0: the report
/// says no more than the mean; reports that make dispatchers herd come out below their worth, as they should.
#[derive(Debug, Default)]
pub(crate) struct Trust([Sums; Self::CLASSES]);

impl Trust {
    /// Classes of age.
    pub(super) const CLASSES: usize = 5;

    /// The class of a report of this age.
    pub(super) fn class(age: Duration) -> usize {
        let age_ms = age.as_millis() as u64;
        CLASSES_MS
            .iter()
            .position(|bound| age_ms < *bound)
            .unwrap_or(CLASSES_MS.len())
    }

    /// Learns from two reports in a row, each as its deviation from the mean, `age` apart.
    pub(super) fn compare(&self, before: f64, after: f64, age: Duration) {
        self.0[Self::class(age)].add(KEPT, before * after, before * before);
    }

    /// By class, what part of a deviation is left, 0 to 1.
    pub(super) fn all(&self) -> [f64; Self::CLASSES] {
        std::array::from_fn(|class| {
            let (products, squares) = self.0[class].load();
            ((products + PRIOR[class] * PRIOR_WEIGHT) / (squares + PRIOR_WEIGHT)).clamp(0.0, 1.0)
        })
    }
}
