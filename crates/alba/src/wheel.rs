//! Weights laid end to end on a circle.
//!
//! Member `i` owns as many consecutive places as it weighs. A random place gives a weighted draw; visiting
//! the places in a well-spread order gives smooth weighted round robin.

/// The circle. Weights are divided by their greatest common divisor first.
#[derive(Debug)]
pub(crate) enum Wheel {
    /// All weights are equal: member `i` owns place `i`.
    Even {
        /// Members.
        len: u64,
    },
    /// Weights differ.
    Weighted {
        /// Running sums of the weights: member `i` owns the places from `ends[i - 1]` to just below
        /// `ends[i]`.
        ends: Box<[u64]>,
        /// In what order members take their turns.
        order: Order,
    },
}

/// The order of one round.
#[derive(Debug)]
pub(crate) enum Order {
    /// Member by member.
    Listed(Box<[u32]>),
    /// Place by place, each this many further.
    Stride(u64),
}

/// A listed order takes members × places steps to make; up to this many (some 50 µs) it is listed.
const MAX_LISTING_STEPS: u64 = 1 << 16;

impl Wheel {
    pub(crate) fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let divisor = weights.clone().fold(0, |a, b| gcd(a, u64::from(b))).max(1);
        let mut places = 0_u64;
        let ends: Box<[u64]> = weights
            .map(|weight| {
                // Cannot overflow: fewer than 2^32 members of less than 2^32 each.
                places += u64::from(weight) / divisor;
                places
            })
            .collect();
        let len = ends.len() as u64;
        if places == len {
            return Self::Even { len };
        }
        let order = if places.saturating_mul(len) <= MAX_LISTING_STEPS {
            Order::Listed(listed(&ends))
        } else {
            Order::Stride(stride(places))
        };
        Self::Weighted { ends, order }
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
        let turn = turn % places;
        match self {
            Self::Even { .. } => turn as usize,
            Self::Weighted {
                order: Order::Listed(members),
                ..
            } => members[turn as usize] as usize,
            Self::Weighted {
                order: Order::Stride(stride),
                ..
            } => {
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

/// One round of nginx's smooth weighted round robin (`ngx_http_upstream_get_peer`): before each turn every
/// member gains its weight, the richest takes the turn and pays the sum of all weights.
fn listed(ends: &[u64]) -> Box<[u32]> {
    let mut before = 0;
    let weights: Vec<i64> = ends
        .iter()
        .map(|end| {
            let weight = end - before;
            before = *end;
            i64::try_from(weight).expect("a listed round is short")
        })
        .collect();
    let places: i64 = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    (0..places)
        .map(|_| {
            let mut richest = 0;
            for member in 0..weights.len() {
                credit[member] += weights[member];
                if credit[member] > credit[richest] {
                    richest = member;
                }
            }
            credit[richest] -= places;
            richest as u32
        })
        .collect()
}

/// A step that visits every place once per round (it shares no divisor with `places`) and spreads any run
/// of visits about as evenly as a fixed step can.
///
/// By the three-distance theorem (Sós 1958) the visits to an arc come at no more than three different gaps,
/// which are the closer to each other the smaller the partial quotients of `step / places` are; the golden
/// section's are all 1, so steps near it are looked at. On a small circle none may be good; those are listed.
fn stride(places: u64) -> u64 {
    /// 1 / golden ratio in units of 2^-64.
    const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15;
    const NEARBY: u64 = 64;
    let ideal = ((u128::from(places) * GOLDEN) >> 64) as u64;
    (ideal.saturating_sub(NEARBY)..=ideal.saturating_add(NEARBY))
        .filter_map(|step| Some((largest_quotient(step, places)?, step)))
        .min()
        .map_or(1, |(_, step)| step)
}

/// The largest partial quotient of the continued fraction of `step / places`; `None` if they share a divisor.
fn largest_quotient(step: u64, places: u64) -> Option<u64> {
    let (mut a, mut b, mut largest) = (places, step, 0);
    while b != 0 {
        largest = largest.max(a / b);
        (a, b) = (b, a % b);
    }
    (a == 1).then_some(largest)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(wheel: &Wheel, turns: u64) -> String {
        (0..turns)
            .map(|turn| char::from(b'a' + wheel.turn(turn) as u8))
            .collect()
    }

    #[test]
    fn small_rounds_are_those_of_nginx() {
        let wheel = Wheel::new([5, 1, 1].into_iter());
        assert_eq!(letters(&wheel, 14), "aabacaaaabacaa");
        let wheel = Wheel::new([20, 10, 10].into_iter());
        assert_eq!(letters(&wheel, 4), "abca", "weights are reduced first");
    }

    #[test]
    fn equal_weights_go_in_the_order_of_the_list() {
        assert_eq!(letters(&Wheel::new([7, 7, 7].into_iter()), 7), "abcabca");
    }

    #[test]
    fn places_beyond_32_bits_do_not_overflow() {
        let wheel = Wheel::new([u32::MAX, u32::MAX - 1, u32::MAX - 4].into_iter());
        let mut counts = [0_u32; 3];
        for turn in (u64::MAX - 3_000)..u64::MAX {
            counts[wheel.turn(turn)] += 1;
        }
        assert!(
            counts.iter().all(|count| (990..=1010).contains(count)),
            "{counts:?}"
        );
    }

    /// Counts over one round from `start`, the worst deviation of any member from its share along the
    /// way, and each member's longest wait in units of its mean wait.
    fn measure(weights: &[u32], start: u64) -> (Vec<u64>, f64, f64) {
        let wheel = Wheel::new(weights.iter().copied());
        let places = wheel.places();
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let mut counts = vec![0_u64; weights.len()];
        let mut last = vec![None; weights.len()];
        let (mut deviation, mut wait) = (0_f64, 0_f64);
        for step in 0..places {
            let member = wheel.turn(start + step);
            counts[member] += 1;
            let share = f64::from(weights[member]) / total;
            if let Some(before) = last[member].replace(step) {
                wait = wait.max((step - before) as f64 * share);
            }
            for (count, weight) in counts.iter().zip(weights) {
                let due = (step + 1) as f64 * f64::from(*weight) / total;
                deviation = deviation.max((*count as f64 - due).abs());
            }
        }
        (counts, deviation, wait)
    }

    proptest! {
        #[test]
        fn every_round_is_exact_and_spread(
            weights in prop::collection::vec(1_u32..60, 1..60),
            start in 0_u64..1 << 40,
        ) {
            let (counts, deviation, wait) = measure(&weights, start);
            let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b)));
            let expected: Vec<u64> = weights.iter().map(|w| u64::from(*w) / divisor).collect();
            prop_assert_eq!(counts, expected);
            prop_assert!(deviation < 4.0, "off by {} turns", deviation);
            prop_assert!(wait < 4.0, "waited {} times the mean", wait);
        }

        #[test]
        fn owners_have_as_many_places_as_they_weigh(
            weights in prop::collection::vec(1_u32..9, 1..20),
        ) {
            let wheel = Wheel::new(weights.iter().copied());
            let mut counts = vec![0_u64; weights.len()];
            (0..wheel.places()).for_each(|place| counts[wheel.owner(place)] += 1);
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert_eq!(count * u64::from(weights[0]), counts[0] * u64::from(*weight));
            }
        }
    }
}
