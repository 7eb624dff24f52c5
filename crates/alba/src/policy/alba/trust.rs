//! How far a deviation from the mean can be trusted, learned from what came after it.
//!
//! An endpoint that stands out may be different or have been lucky. Of all that once stood out by x, the next
//! measurements stood out by some y: the slope of y on x, a regression through the origin, is what part of a
//! deviation to believe. It shrinks estimates as far as they deserve (Efron and Morris 1977), class by class of
//! how good the evidence is, and no further.

use crate::atomic_f32::AtomicF32;
use crate::learned::{LARGEST, within};
use crate::sums::Sums;

/// What one comparison leaves of all before it.
const KEPT: f64 = 0.9995;

/// Slopes by class.
#[derive(Debug)]
pub(crate) struct Trust {
    slopes: [Sums; Self::CLASSES],
    /// What part to believe: worked out when something is learned, since picks read it far more often.
    believed: [AtomicF32; Self::CLASSES],
    /// Believed before anything is learned.
    prior: [f64; Self::CLASSES],
}

/// Sum of squared deviations that outweighs the prior.
const PRIOR_WEIGHT: f64 = 10.0;

impl Trust {
    /// Classes of evidence.
    pub(super) const CLASSES: usize = 5;

    pub(super) fn new(prior: [f64; Self::CLASSES]) -> Self {
        Self {
            slopes: std::array::from_fn(|_| Sums::default()),
            believed: prior.map(AtomicF32::new),
            prior,
        }
    }

    /// Learns from a deviation and the one that was measured after it.
    pub(super) fn compare(&self, class: usize, before: f64, after: f64) {
        self.slopes[class].add(KEPT, before * after, before * before);
        self.believe(class);
    }

    /// What was compared so far.
    pub(super) fn slopes(&self) -> [[f64; 2]; Self::CLASSES] {
        std::array::from_fn(|class| self.slopes[class].load().into())
    }

    /// Takes what was compared before; what is absurd is ignored.
    pub(super) fn restore(&self, slopes: &[[f64; 2]; Self::CLASSES]) {
        for (class, [products, squares]) in slopes.iter().enumerate() {
            if products.abs() <= LARGEST && within(*squares, LARGEST).is_some() {
                self.slopes[class].store(*products, *squares);
                self.believe(class);
            }
        }
    }

    fn believe(&self, class: usize) {
        let (products, squares) = self.slopes[class].load();
        let slope = (products + self.prior[class] * PRIOR_WEIGHT) / (squares + PRIOR_WEIGHT);
        self.believed[class].store(slope.clamp(0.0, 1.0));
    }

    /// What part of a deviation to believe, 0 to 1.
    pub(super) fn part(&self, class: usize) -> f64 {
        self.believed[class].load()
    }
}

/// The class of `value` between ascending bounds.
pub(super) fn class<T: PartialOrd + Copy>(value: T, bounds: [T; Trust::CLASSES - 1]) -> usize {
    let [a, b, c, d] = bounds.map(|bound| usize::from(value >= bound));
    a + b + c + d
}
