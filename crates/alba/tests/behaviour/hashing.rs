//! Ring hash and maglev: what stays where it was, who gets how much, and bounded load.

use std::time::Duration;

use alba::{
    Balancer, Endpoint, EndpointId, LoadBound, Outcome, OutlierDetection, PickRequest, Policy, Rng,
    Settings, Time,
};
use proptest::prelude::*;

use crate::world::{World, endpoints};

fn ring(bound: Option<f64>) -> Policy {
    Policy::RingHash {
        minimum_ring_size: 1024,
        bound: LoadBound(bound),
    }
}

fn maglev(bound: Option<f64>) -> Policy {
    Policy::Maglev {
        table_size: 65_537,
        bound: LoadBound(bound),
    }
}

/// Request `i`'s hash.
fn hash(i: u64) -> u64 {
    Rng::seeded(i).u64()
}

/// Where each of `n` hashes goes.
fn homes(balancer: &Balancer, n: u64) -> Vec<EndpointId> {
    (0..n)
        .map(|i| {
            let request = PickRequest {
                hash: Some(hash(i)),
                ..PickRequest::default()
            };
            let pick = balancer.pick(Time::ZERO, &mut Rng::seeded(i), &request);
            pick.expect("an endpoint is available").id()
        })
        .collect()
}

#[test]
fn the_same_hash_goes_to_the_same_endpoint_in_any_dispatcher() {
    for policy in [ring(None), maglev(None)] {
        let settings = Settings::new(policy, None);
        let mut list = endpoints(&[1, 2, 3, 1, 1]);
        let one = homes(&Balancer::new(settings.clone(), &list, Time::ZERO), 500);
        list.reverse();
        let other = homes(&Balancer::new(settings, &list, Time::ZERO), 500);
        assert_eq!(one, other);
    }
}

#[test]
fn without_a_hash_picks_are_random() {
    for policy in [ring(None), maglev(Some(1.2))] {
        let shares = World::new(policy, &[1, 3], 4).shares(4_000);
        assert!((850..1_150).contains(&shares[0]), "{shares:?}");
    }
}

#[test]
fn an_ejection_moves_the_hashes_of_the_ejected_only_and_for_its_time() {
    let outlier = OutlierDetection {
        consecutive_5xx: 1,
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    };
    // Ring: none of the others moves. Maglev: few (Eisenbud and others, section 5.3).
    for (policy, moved_of_others) in [(ring(None), 0.0), (maglev(None), 0.02)] {
        let settings = Settings::new(policy, Some(outlier.clone()));
        let mut world = World::with(settings, &[1; 20], 1);
        let before = homes(&world.balancer, 5_000);
        world.answer(7, Outcome::ServerError, 1);
        let away = homes(&world.balancer, 5_000);
        let moved = before.iter().zip(&away).filter(|(a, b)| a != b);
        let of_others = moved.filter(|(a, _)| **a != EndpointId(7)).count();
        assert!(away.iter().all(|id| *id != EndpointId(7)));
        assert!(of_others as f64 <= moved_of_others * 5_000.0, "{of_others}");
        while world.ejected() == [7] {
            world.sweep();
        }
        assert_eq!(homes(&world.balancer, 5_000), before);
    }
}

#[test]
fn a_further_try_goes_to_where_the_hash_would_be_without_the_first() {
    let mut world = World::new(ring(None), &[1; 12], 1);
    for i in 0..500 {
        let home = world.try_pick_for(Some(hash(i)), &[]).unwrap().index();
        let second = world.try_pick_for(Some(hash(i)), &[home]).unwrap().index();
        let third = world
            .try_pick_for(Some(hash(i)), &[home, second])
            .unwrap()
            .index();
        world.set_health(home, false);
        assert_eq!(
            world.try_pick_for(Some(hash(i)), &[]).unwrap().index(),
            second
        );
        world.set_health(second, false);
        assert_eq!(
            world.try_pick_for(Some(hash(i)), &[]).unwrap().index(),
            third
        );
        world.set_health(home, true);
        world.set_health(second, true);
    }
}

#[test]
fn a_further_try_is_the_same_in_any_dispatcher() {
    let [mut one, mut other] = [1, 2].map(|seed| World::new(maglev(None), &[1; 12], seed));
    for i in 0..500 {
        let tried = [one.try_pick_for(Some(hash(i)), &[]).unwrap().index()];
        let second = one.try_pick_for(Some(hash(i)), &tried).unwrap().index();
        assert_eq!(
            other.try_pick_for(Some(hash(i)), &tried).unwrap().index(),
            second
        );
        assert!(!tried.contains(&second));
    }
}

#[test]
fn one_hot_hash_is_spread_as_far_as_the_bound_says() {
    for policy in [ring(Some(1.5)), maglev(Some(1.5))] {
        let mut world = World::new(policy.clone(), &[1; 10], 1);
        let held: Vec<_> = (0..1_000)
            .map(|_| world.try_pick_for(Some(42), &[]).unwrap())
            .collect();
        let in_flight = world.in_flight();
        assert_eq!(
            in_flight.iter().max(),
            Some(&150),
            "{policy:?}: {in_flight:?}"
        );
        assert!(
            in_flight.iter().filter(|&&n| n == 150).count() >= 5,
            "{in_flight:?}"
        );
        drop(held);
        // With nothing in flight the hash is at home again.
        let home = world.try_pick_for(Some(42), &[]).unwrap().index();
        assert_eq!(in_flight[home as usize], 150);
    }
}

#[test]
fn a_bound_below_one_is_taken_as_one() {
    for bound in [0.0, 1.0, f64::NAN] {
        let mut world = World::new(ring(Some(bound)), &[1; 10], 1);
        let _held: Vec<_> = (0..1_000)
            .map(|_| world.try_pick_for(Some(42), &[]).unwrap())
            .collect();
        assert_eq!(world.in_flight(), [100; 10], "{bound}");
    }
}

#[test]
fn odd_sizes_are_clamped() {
    for policy in [
        Policy::RingHash {
            minimum_ring_size: 0,
            bound: LoadBound(None),
        },
        Policy::Maglev {
            table_size: 0,
            bound: LoadBound(None),
        },
    ] {
        let mut world = World::new(policy, &[1, u32::MAX], 1);
        for i in 0..100 {
            assert!(world.try_pick_for(Some(hash(i)), &[]).is_some());
        }
    }
}

#[test]
fn a_reload_goes_from_one_policy_to_another() {
    let mut world = World::new(ring(Some(2.0)), &[1; 4], 1);
    let held = world.try_pick_for(Some(1), &[]);
    let settings = Settings::new(Policy::RoundRobin, None);
    let next = world
        .balancer
        .apply(settings, &endpoints(&[1; 4]), world.now);
    let ring = std::mem::replace(&mut world.balancer, next);
    assert_eq!(world.shares(8), [2; 4]);
    drop(held);
    let settings = Settings::new(maglev(Some(1.0)), None);
    world.balancer = ring.apply(settings, &endpoints(&[1; 4]), world.now);
    world.pass(Duration::from_secs(1));
    let _held: Vec<_> = (0..8)
        .map(|_| world.try_pick_for(Some(3), &[]).unwrap())
        .collect();
    assert_eq!(
        world.in_flight(),
        [2; 4],
        "the count of all in flight did not drift"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Of a list that loses its last endpoint, only that one's hashes move, but for what the ring's other
    /// size or the table's other turns move.
    #[test]
    fn a_shorter_list_moves_little(count in 3_u64..40) {
        for policy in [ring(None), maglev(None)] {
            let settings = Settings::new(policy.clone(), None);
            let list: Vec<_> = (0..count).map(|id| Endpoint::new(EndpointId(id))).collect();
            let (last, rest) = list.split_last().unwrap();
            let before = homes(&Balancer::new(settings.clone(), &list, Time::ZERO), 2_000);
            let after = homes(&Balancer::new(settings, rest, Time::ZERO), 2_000);
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b && **a != last.id).count();
            let share = moved as f64 / 2_000.0;
            prop_assert!(share <= 1.5 / count as f64 + 0.01, "{policy:?}: {share} of others moved");
        }
    }

    #[test]
    fn shares_follow_weights(weights in prop::collection::vec(1_u32..10, 2..12), seed: u64) {
        let n = 20_000;
        let total = f64::from(weights.iter().sum::<u32>());
        for (policy, off) in [(ring(None), 0.25), (maglev(None), 0.01)] {
            let mut world = World::new(policy.clone(), &weights, seed);
            let mut counts = vec![0; weights.len()];
            for i in 0..n {
                let pick = world.try_pick_for(Some(hash(seed ^ i)), &[]).unwrap();
                counts[pick.index() as usize] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let expected = n as f64 * f64::from(*weight) / total;
                // A ring of k places for an endpoint is off by about its k-th root of chance; five
                // deviations of the draws on top.
                let places = 1024.0 * f64::from(*weight) / total;
                let chance = if off > 0.1 { 4.5 / places.sqrt() } else { off };
                let limit = expected * chance + 5.0 * expected.sqrt();
                let error = (f64::from(*count) - expected).abs();
                prop_assert!(error <= limit, "{policy:?} {weights:?}: {counts:?}");
            }
        }
    }

    /// However picks come and go, none takes an endpoint past ⌈bound × (all + 1) × share⌉.
    #[test]
    fn the_bound_holds(
        weights in prop::collection::vec(1_u32..5, 1..10),
        bound in 1.0_f64..2.0,
        steps in prop::collection::vec((any::<bool>(), 0_u64..6, any::<u16>()), 1..300),
    ) {
        let total = f64::from(weights.iter().sum::<u32>());
        for policy in [ring(Some(bound)), maglev(Some(bound))] {
            let mut world = World::new(policy, &weights, 1);
            let mut held = Vec::new();
            for &(comes, key, which) in &steps {
                if comes || held.is_empty() {
                    let all = held.len() as f64 + 1.0;
                    let pick = world.try_pick_for(Some(hash(key)), &[]).unwrap();
                    let index = pick.index() as usize;
                    let allowed = (bound * all * f64::from(weights[index]) / total).ceil().max(1.0);
                    let has = world.in_flight()[index];
                    prop_assert!(f64::from(has) <= allowed + 1e-6, "{has} of {allowed}");
                    held.push(pick);
                } else {
                    drop(held.swap_remove(usize::from(which) % held.len()));
                }
            }
        }
    }
}
