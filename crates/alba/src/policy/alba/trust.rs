//! How far a deviation from the mean can be trusted, learned from what came after it.
//!
//! An endpoint that stands out may be different or have been lucky. Of all that once stood out by x, the next
//! measurements stood out by some y: the slope of y on x, a regression through the origin, is what part of a
//! deviation to believe. It shrinks estimates as far as they deserve (Efron and Morris 1977), class by class of
//! how good the evidence is, and no further.

use crate::sums::Sums;

/// What one comparison leaves of all before it.
const KEPT: f64 = 0.9995;

/// Slopes by class.
#[derive(Debug)]
pub(crate) struct Trust {
    slopes: [Sums; Self::CLASSES],
    /// Believed before anything is learned.
    prior: [f64; Self::CLASSES],
    /// Sum of squared deviations that outweighs the prior.
    prior_weight: f64,
}

impl Trust {
    /// Classes of evidence.
    pub(super) const CLASSES: usize = 5;

    pub(super) fn new(prior: [f64; Self::CLASSES], prior_weight: f64) -> Self {
        Self {
            slopes: std::array::from_fn(|_| Sums::default()),
            prior,
            prior_weight,
        }
    }

    /// Learns from a deviation and the one that was measured after it.
    pub(super) fn compare(&self, class: usize, before: f64, after: f64) {
        self.slopes[class].add(KEPT, before * after, before * before);
    }

    /// By class, what part of a deviation to believe, 0 to 1.
    pub(super) fn all(&self) -> [f64; Self::CLASSES] {
        std::array::from_fn(|class| {
            let (products, squares) = self.slopes[class].load();
            let slope =
                (products + self.prior[class] * self.prior_weight) / (squares + self.prior_weight);
            slope.clamp(0.0, 1.0)
        })
    }
}

/// The class of `value` between ascending bounds.
pub(super) fn class(value: f64, bounds: [f64; Trust::CLASSES - 1]) -> usize {
    bounds.iter().take_while(|bound| value >= **bound).count()
}
