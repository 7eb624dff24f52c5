//! Weights laid end to end on a circle.
//!
//! Member `i` owns `weight[i]` consecutive places. A random place gives a weighted draw; turning the wheel
//! by a fixed stride gives smooth weighted round robin.

/// The circle. Weights are divided by their greatest common divisor first.
#[derive(Debug)]
pub(crate) enum Wheel {
    /// All weights are equal: member `i` owns place `i`.
    Even {
        /// Members.
        len: u64,
    },
    /// Member `i` owns the places from `ends[i - 1]` to just below `ends[i]`.
    Weighted {
        /// Running sums of the weights.
        ends: Box<[u64]>,
        /// See [`stride`].
        stride: u64,
    },
}

impl Wheel {
    pub(crate) fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let divisor = weights.clone().fold(0, |a, b| gcd(a, u64::from(b))).max(1);
        let mut sum = 0_u64;
        let ends: Box<[u64]> = weights
            .map(|weight| {
                // Cannot overflow: fewer than 2^32 members of less than 2^32 each.
                sum += u64::from(weight) / divisor;
                sum
            })
            .collect();
        let len = ends.len() as u64;
        if sum == len {
            Self::Even { len }
        } else {
            Self::Weighted {
                ends,
                stride: stride(sum),
            }
        }
    }

    /// Sum of the (reduced) weights.
    pub(crate) fn places(&self) -> u64 {
        match self {
            Self::Even { len } => *len,
            Self::Weighted { ends, .. } => ends.last().copied().unwrap_or(0),
        }
    }

    /// The member that owns `place`, which must be below [`Wheel::places`].
    pub(crate) fn owner(&self, place: u64) -> usize {
        match self {
            Self::Even { .. } => place as usize,
            Self::Weighted { ends, .. } => ends.partition_point(|end| *end <= place),
        }
    }

    /// The member whose turn is the `turn`-th: over any [`Wheel::places`] turns in a row each member comes
    /// up exactly as often as its weight says, and evenly spread. The wheel must not be empty.
    pub(crate) fn turn(&self, turn: u64) -> usize {
        let places = self.places();
        match self {
            Self::Even { .. } => (turn % places) as usize,
            Self::Weighted { stride, .. } => {
                let turn = turn % places;
                let place = if places <= u64::from(u32::MAX) {
                    turn * stride % places
                } else {
                    (u128::from(turn) * u128::from(*stride) % u128::from(places)) as u64
                };
                self.owner(place)
            }
        }
    }
}

/// A step that visits every place once per round (it shares no divisor with `places`) and, being close to
/// the golden section of the circle, spreads any run of visits as evenly as a fixed step can: by the
/// three-distance theorem (Sós 1958) the visits to an arc come at no more than three different gaps.
fn stride(places: u64) -> u64 {
    /// 1 / golden ratio in units of 2^-64.
    const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15;
    let ideal = ((u128::from(places) * GOLDEN) >> 64) as u64;
    (0..places)
        .flat_map(|distance| [ideal.checked_sub(distance), ideal.checked_add(distance)])
        .flatten()
        .find(|step| *step > 0 && *step < places.max(2) && gcd(*step, places) == 1)
        .unwrap_or(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
