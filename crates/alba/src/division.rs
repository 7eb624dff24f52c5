//! How a list is divided by where endpoints run, and what share of the requests each part has.
//!
//! Levels by nearness and shares of localities are laid out as Istio does
//! (`pilot/pkg/networking/core/loadbalancer`), and loads are Envoy's ("Priority levels" and "Locality weighted
//! load balancing" in its architecture overview, `load_balancing_policies/common`), with one difference: its
//! health scores are whole percents, so that one healthy endpoint in a thousand counts for nothing.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use crate::pool::Slot;
use crate::{DistributeRule, Endpoint, FailoverRule, Locality, LocalityPolicy, Settings};

/// Envoy's `overprovisioning_factor`, 1.4, as a fraction: a level whose healthy share is exactly 5/7 must come
/// out as whole.
const OVERPROVISIONING: (u64, u64) = (7, 5);

/// In no part.
const NOWHERE: u32 = u32::MAX;

/// The parts of a balancer's list.
#[derive(Debug)]
pub(crate) struct Division {
    /// By position.
    part_of: Box<[u32]>,
    /// Round robin's turn in each part.
    cursors: Box<[AtomicU64]>,
    shares: Shares,
}

#[derive(Debug)]
enum Shares {
    /// Parts are priority levels, the first the most wanted.
    Levels,
    /// Parts are localities of such weights.
    Weights(Box<[f64]>),
}

/// What is picked from in one part.
#[derive(Debug, PartialEq)]
pub(crate) struct Portion {
    pub(crate) part: usize,
    /// Positions, in order; at least one.
    pub(crate) positions: Vec<u32>,
    /// Its share of the requests, 0 to 1; the shares of all portions make 1.
    pub(crate) load: f64,
}

/// One part's endpoints.
#[derive(Debug, Clone, Default)]
struct Members {
    all: Vec<u32>,
    available: Vec<u32>,
}

impl Division {
    /// `None` if all endpoints are picked from alike.
    pub(crate) fn new(settings: &Settings, endpoints: &[Endpoint]) -> Option<Self> {
        let origin = &settings.origin;
        match &settings.locality {
            LocalityPolicy::Prices => None,
            LocalityPolicy::Priorities => Self::levels(endpoints, |_| 0),
            LocalityPolicy::Failover(rules) => Self::levels(endpoints, |endpoint| {
                remoteness(origin, &endpoint.locality, rules)
            }),
            LocalityPolicy::Distribute(rules) => {
                let rule = rules.iter().find(|rule| covers(&rule.from, origin))?;
                Some(Self::weights(endpoints, rule))
            }
        }
    }

    /// By priority and then by remoteness, without the levels that nobody is in.
    fn levels(endpoints: &[Endpoint], remoteness: impl Fn(&Endpoint) -> u32) -> Option<Self> {
        let key = |endpoint: &Endpoint| (endpoint.priority, remoteness(endpoint));
        let mut keys: Vec<_> = endpoints.iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let level = |endpoint| {
            let found = keys.binary_search(&key(endpoint));
            found.expect("every endpoint's key is listed") as u32
        };
        (keys.len() > 1).then(|| Self {
            part_of: endpoints.iter().map(level).collect(),
            cursors: keys.iter().map(|_| AtomicU64::new(0)).collect(),
            shares: Shares::Levels,
        })
    }

    /// By locality. Localities that match the same pattern share its weight as their endpoints weigh.
    fn weights(endpoints: &[Endpoint], rule: &DistributeRule) -> Self {
        let mut parts: BTreeMap<&Locality, u32> = BTreeMap::new();
        // By part: the pattern that it matches, and what its endpoints weigh.
        let mut sums: Vec<(usize, f64)> = Vec::new();
        let mut whole = vec![0.0; rule.to.len()];
        let mut part_of = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let locality = &endpoint.locality;
            let matched = rule.to.iter().position(|(to, _)| covers(to, locality));
            let Some(matched) = matched.filter(|&matched| rule.to[matched].1 > 0) else {
                part_of.push(NOWHERE);
                continue;
            };
            let part = *parts.entry(locality).or_insert_with(|| {
                sums.push((matched, 0.0));
                sums.len() as u32 - 1
            });
            let weight = f64::from(endpoint.weight.max(1));
            sums[part as usize].1 += weight;
            whole[matched] += weight;
            part_of.push(part);
        }
        let weight = |&(matched, sum): &(usize, f64)| {
            let (_, percent) = rule.to[matched];
            f64::from(percent) * sum / whole[matched]
        };
        Self {
            part_of: part_of.into(),
            cursors: sums.iter().map(|_| AtomicU64::new(0)).collect(),
            shares: Shares::Weights(sums.iter().map(weight).collect()),
        }
    }

    /// Round robin's turn in a part.
    pub(crate) fn cursor(&self, part: usize) -> &AtomicU64 {
        &self.cursors[part]
    }

    /// What health and ejection leave, and whether there is panic anywhere.
    pub(crate) fn portions(&self, slots: &[Slot], min_health_percent: u32) -> (Vec<Portion>, bool) {
        let mut parts = vec![Members::default(); self.cursors.len()];
        for (position, (part, slot)) in (0_u32..).zip(self.part_of.iter().zip(slots)) {
            if *part == NOWHERE {
                continue;
            }
            let part = &mut parts[*part as usize];
            part.all.push(position);
            if slot.state.is_available() {
                part.available.push(position);
            }
        }
        let (mut portions, panicking) = match &self.shares {
            Shares::Levels => by_level(parts, min_health_percent),
            Shares::Weights(weights) => by_weight(parts, weights, min_health_percent),
        };
        portions.retain(|portion| !portion.positions.is_empty());
        let sum: f64 = portions.iter().map(|portion| portion.load).sum();
        for portion in &mut portions {
            portion.load /= sum;
        }
        (portions, panicking)
    }
}

impl Members {
    /// 1.4 times the share that is available, at most 1.
    fn health(&self) -> f64 {
        let (factor, divisor) = OVERPROVISIONING;
        let available = self.available.len() as u64 * factor;
        (available as f64 / (self.all.len() as u64 * divisor) as f64).min(1.0)
    }
}

/// Whether so few are available that health is ignored.
pub(crate) fn panics(available: usize, all: usize, min_health_percent: u32) -> bool {
    available as u64 * 100 < u64::from(min_health_percent.min(100)) * all as u64
}

/// Each level has as much of what is left as it is healthy. None panics while all together are whole; where
/// every one does, health says nothing and numbers count (Envoy's total panic).
fn by_level(parts: Vec<Members>, min_health_percent: u32) -> (Vec<Portion>, bool) {
    let whole = parts.iter().map(Members::health).sum::<f64>() >= 1.0;
    let may_panic =
        |part: &Members| !whole && panics(part.available.len(), part.all.len(), min_health_percent);
    let all_panic = parts.iter().all(may_panic);
    let (mut left, mut panicking) = (1.0, false);
    let portions = (0..).zip(parts).map(|(part, members)| {
        let load = if all_panic {
            members.all.len() as f64
        } else {
            members.health().min(left)
        };
        left -= load;
        let panics = load > 0.0 && may_panic(&members);
        panicking |= panics;
        let positions = if panics {
            members.all
        } else {
            members.available
        };
        Portion {
            part,
            positions,
            load,
        }
    });
    let portions = portions.collect();
    (portions, panicking)
}

/// Each locality has its weight, or less if it is not healthy. In panic they are all one, as in Envoy.
fn by_weight(
    mut parts: Vec<Members>,
    weights: &[f64],
    min_health_percent: u32,
) -> (Vec<Portion>, bool) {
    let sum = |count: fn(&Members) -> usize| parts.iter().map(count).sum::<usize>();
    let (available, all) = (sum(|part| part.available.len()), sum(|part| part.all.len()));
    if panics(available, all, min_health_percent) {
        let mut positions: Vec<u32> = parts
            .iter_mut()
            .flat_map(|part| part.all.drain(..))
            .collect();
        positions.sort_unstable();
        let load = 1.0;
        return (
            vec![Portion {
                part: 0,
                positions,
                load,
            }],
            true,
        );
    }
    let portions = (0..).zip(parts.into_iter().zip(weights));
    let portions = portions.map(|(part, (members, weight))| Portion {
        part,
        load: weight * members.health(),
        positions: members.available,
    });
    (portions.collect(), false)
}

/// How far away an endpoint is: 0 in the same place, 1 in the same zone, 2 in the same region, 3 in the region to
/// fail over to, or in any if none is named, 4 elsewhere. Everything is near while the origin is not known.
fn remoteness(origin: &Locality, place: &Locality, rules: &[FailoverRule]) -> u32 {
    if origin.region.is_empty() {
        return 0;
    }
    if place.region == origin.region {
        return match (place.zone == origin.zone, place.sub_zone == origin.sub_zone) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
    }
    match rules.iter().find(|rule| rule.from == origin.region) {
        Some(rule) if rule.to != place.region => 4,
        _ => 3,
    }
}

/// Whether `pattern`, whose fields match anything if they are empty or `*`, matches `place`.
pub(crate) fn covers(pattern: &Locality, place: &Locality) -> bool {
    let matches = |pattern: &str, text: &str| matches!(pattern, "" | "*") || pattern == text;
    matches(&pattern.region, &place.region)
        && matches(&pattern.zone, &place.zone)
        && matches(&pattern.sub_zone, &place.sub_zone)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::EndpointState;
    use crate::{EndpointId, Policy, Time};

    /// A slot for each endpoint, well or not.
    fn slots(health: impl IntoIterator<Item = bool>) -> Vec<Slot> {
        let slot = |(id, healthy)| {
            let state = EndpointState::new(EndpointId(id), Time::ZERO);
            state.set_healthy(healthy);
            Slot {
                state: Arc::new(state),
                weight: 1,
                price_s: 0.0,
            }
        };
        (0..).zip(health).map(slot).collect()
    }

    fn settings(locality: LocalityPolicy) -> Settings {
        let mut settings = Settings::new(Policy::Random, None);
        settings.locality = locality;
        settings
    }

    /// Loads in percent of levels that have so many healthy endpoints of so many.
    fn loads(levels: &[(u32, u32)], min_health_percent: u32) -> (Vec<f64>, bool) {
        let (mut endpoints, mut health) = (Vec::new(), Vec::new());
        for (level, (healthy, all)) in (0_u32..).zip(levels) {
            for number in 0..*all {
                let mut endpoint = Endpoint::new(EndpointId(endpoints.len() as u64));
                // Numbers that are skipped are no levels.
                endpoint.priority = 3 * level;
                endpoints.push(endpoint);
                health.push(number < *healthy);
            }
        }
        let division = Division::new(&settings(LocalityPolicy::Priorities), &endpoints);
        let division = division.expect("there are several levels");
        let (portions, panicking) = division.portions(&slots(health), min_health_percent);
        let mut loads = vec![0.0; levels.len()];
        for portion in &portions {
            loads[portion.part] = (portion.load * 1000.0).round() / 10.0;
        }
        (loads, panicking)
    }

    #[test]
    fn loads_are_those_of_envoys_tables() {
        for (levels, expected) in [
            (&[(100, 100), (100, 100)][..], &[100.0, 0.0][..]),
            (&[(72, 100), (100, 100)], &[100.0, 0.0]),
            (&[(5, 7), (7, 7)], &[100.0, 0.0]),
            (&[(71, 100), (100, 100)], &[99.4, 0.6]),
            (&[(50, 100), (100, 100)], &[70.0, 30.0]),
            (&[(25, 100), (100, 100)], &[35.0, 65.0]),
            (&[(0, 100), (100, 100)], &[0.0, 100.0]),
            (&[(25, 100), (25, 100)], &[50.0, 50.0]),
            (&[(25, 100), (0, 100), (25, 100)], &[50.0, 0.0, 50.0]),
            (&[(50, 100), (20, 100), (100, 100)], &[70.0, 28.0, 2.0]),
            (&[(0, 100), (1, 1000)], &[0.0, 100.0]),
        ] {
            assert_eq!(loads(levels, 0), (expected.to_vec(), false), "{levels:?}");
        }
    }

    #[test]
    fn levels_panic_only_where_all_together_are_not_whole() {
        assert_eq!(loads(&[(1, 10), (8, 10)], 50), (vec![14.0, 86.0], false));
        let one = loads(&[(2, 10), (5, 10)], 50);
        assert_eq!(one, (vec![28.6, 71.4], true), "28 and 70, of 98");
        let all = loads(&[(2, 10), (0, 30)], 50);
        assert_eq!(all, (vec![25.0, 75.0], true), "by their numbers");
        assert_eq!(loads(&[(0, 10), (0, 30)], 0).0, [0.0, 0.0]);
    }

    #[test]
    fn patterns_match_as_in_istio() {
        let place = |text: &str| {
            let mut names = text.split('/').map(str::to_owned);
            let mut name = || names.next().unwrap_or_default();
            Locality {
                region: name(),
                zone: name(),
                sub_zone: name(),
            }
        };
        for (pattern, text, expected) in [
            ("*", "a/b/c", true),
            ("a/*", "a/b/c", true),
            ("a", "a/b/c", true),
            ("a/b/*", "a/b", true),
            ("a/b/c", "a/b/c", true),
            ("a/b/c", "a/b", false),
            ("a/*", "b/a", false),
            ("", "", true),
        ] {
            let found = covers(&place(pattern), &place(text));
            assert_eq!(found, expected, "{pattern} and {text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_lost_in_one_level_is_found_in_others(
            levels in prop::collection::vec((0_u32..20, 1_u32..20), 2..6),
            min_health_percent in 0_u32..110,
        ) {
            let levels: Vec<_> = levels.iter().map(|(healthy, all)| (*healthy.min(all), *all)).collect();
            let (loads, panicking) = loads(&levels, min_health_percent);
            let sum: f64 = loads.iter().sum();
            let healthy: u32 = levels.iter().map(|(healthy, _)| healthy).sum();
            if healthy > 0 || panicking {
                prop_assert!((sum - 100.0).abs() < 0.5, "{} in all", sum);
            } else {
                prop_assert_eq!(sum, 0.0);
            }
            for ((healthy, _), load) in levels.iter().zip(&loads) {
                prop_assert!(panicking || *healthy > 0 || *load == 0.0, "nobody is there to answer");
            }
        }
    }
}
