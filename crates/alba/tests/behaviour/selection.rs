//! Which endpoint each policy picks.

use std::time::Duration;

use alba::{Balancer, Completion, Outcome, PickRequest, Policy, Rng, Settings, Time};
use proptest::prelude::*;

use crate::world::{World, endpoints, policies};

const LEAST_REQUEST: Policy = Policy::LeastRequest { choices: 2 };

fn peak_ewma() -> Policy {
    Policy::PeakEwma {
        decay: Duration::from_secs(10),
        default_latency: Duration::from_millis(30),
    }
}

/// Whether `count` of `n` draws with probability `share` is within five standard deviations.
fn is_likely(count: u32, n: u32, share: f64) -> bool {
    let expected = f64::from(n) * share;
    let deviation = (expected * (1.0 - share)).sqrt();
    (f64::from(count) - expected).abs() <= 5.0 * deviation
}

#[test]
fn no_endpoints_no_pick() {
    for policy in policies() {
        let mut world = World::new(policy, &[], 1);
        assert!(world.try_pick(&[]).is_none());
        assert!(world.balancer.is_empty());
    }
}

#[test]
fn round_robin_goes_in_the_order_of_the_list() {
    let mut world = World::new(Policy::RoundRobin, &[1, 1, 1], 3);
    let order: Vec<u32> = (0..9).map(|_| world.pick().index()).collect();
    for pair in order.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % 3, "{order:?}");
    }
}

#[test]
fn round_robin_of_many_dispatchers_does_not_start_with_the_same_endpoint() {
    let mut firsts = [0; 4];
    for seed in 0..400 {
        firsts[World::new(Policy::RoundRobin, &[1; 4], seed).pick().index() as usize] += 1;
    }
    assert!(
        firsts.iter().all(|&count| is_likely(count, 400, 0.25)),
        "{firsts:?}"
    );
}

#[test]
fn least_request_of_two_takes_the_less_loaded() {
    let mut world = World::new(LEAST_REQUEST, &[1, 1], 5);
    let held: Vec<_> = (0..20).map(|_| world.pick()).collect();
    assert_eq!(world.in_flight(), [10, 10]);
    drop(held);
    assert_eq!(world.in_flight(), [0, 0]);
}

#[test]
fn least_request_evens_out_in_flight_per_weight() {
    let mut world = World::new(LEAST_REQUEST, &[1, 3], 5);
    let _held: Vec<_> = (0..40).map(|_| world.pick()).collect();
    assert_eq!(world.in_flight(), [10, 30]);
}

#[test]
fn least_request_with_as_many_choices_as_endpoints_compares_all() {
    let mut world = World::new(Policy::LeastRequest { choices: 9 }, &[1; 9], 5);
    let _held: Vec<_> = (0..90).map(|_| world.pick()).collect();
    assert_eq!(world.in_flight(), [10; 9]);
}

#[test]
fn more_choices_are_more_even() {
    let spread = |choices| {
        let mut world = World::new(Policy::LeastRequest { choices }, &[1; 50], 11);
        let _held: Vec<_> = (0..5_000).map(|_| world.pick()).collect();
        let in_flight = world.in_flight();
        in_flight.iter().max().unwrap() - in_flight.iter().min().unwrap()
    };
    let mut random = World::new(Policy::Random, &[1; 50], 11);
    let _held: Vec<_> = (0..5_000).map(|_| random.pick()).collect();
    let in_flight = random.in_flight();
    let by_chance = in_flight.iter().max().unwrap() - in_flight.iter().min().unwrap();
    let [two, five] = [spread(2), spread(5)];
    assert!(
        five <= two && two * 4 < by_chance,
        "5: {five}, 2: {two}, random: {by_chance}"
    );
}

#[test]
fn peak_ewma_prefers_the_faster() {
    let mut world = World::new(peak_ewma(), &[1; 3], 9);
    let mut counts = [0; 3];
    for _ in 0..3_000 {
        let pick = world.pick();
        counts[pick.index() as usize] += 1;
        world.pass(Duration::from_millis(if pick.index() == 2 {
            50
        } else {
            10
        }));
        world.complete(pick, Outcome::Success);
    }
    assert!(counts[2] < 300, "the slow one gets little: {counts:?}");
    assert!(counts[2] > 0, "but is tried again: {counts:?}");
}

#[test]
fn peak_ewma_sees_a_peak_at_once_and_forgets_it_slowly() {
    let mut world = World::new(peak_ewma(), &[1, 1], 9);
    for index in [0, 1] {
        let pick = world.pick_of(index);
        world.pass(Duration::from_millis(5));
        world.complete(pick, Outcome::Success);
    }
    let pick = world.pick_of(0);
    world.pass(Duration::from_secs(1));
    world.complete(pick, Outcome::Success);
    assert_eq!(world.shares(100), [0, 100]);
    world.pass(Duration::from_secs(30));
    let pick = world.pick_of(1);
    world.pass(Duration::from_millis(500));
    world.complete(pick, Outcome::Success);
    assert_eq!(
        world.shares(100),
        [100, 0],
        "e^-3 s is less than a fresh 0.5 s"
    );
}

#[test]
fn peak_ewma_avoids_an_endpoint_that_fails_fast() {
    let mut world = World::new(peak_ewma(), &[1; 5], 9);
    let mut counts = [0; 5];
    for _ in 0..2_000 {
        let pick = world.pick();
        counts[pick.index() as usize] += 1;
        if pick.index() == 3 {
            world.complete(pick, Outcome::ConnectFailure);
        } else {
            world.pass(Duration::from_millis(10));
            world.complete(pick, Outcome::Success);
        }
    }
    // 20 s pass; 5 s decay to the others' 10 ms in about 60 s.
    assert!((1..=2).contains(&counts[3]), "{counts:?}");
}

#[test]
fn peak_ewma_measures_to_the_first_byte() {
    let mut world = World::new(peak_ewma(), &[1], 9);
    let pick = world.pick();
    let first_byte = world.now + Duration::from_millis(20);
    world.pass(Duration::from_secs(60));
    let done = Completion::new(Outcome::Success, world.now).with_first_byte(first_byte);
    world.balancer.complete(pick, done);
    let latency = world
        .balancer
        .endpoints(world.now)
        .next()
        .unwrap()
        .latency
        .unwrap();
    assert!(
        (19.9..20.1).contains(&(latency.as_secs_f64() * 1e3)),
        "{latency:?}"
    );
}

#[test]
fn an_endpoint_nothing_is_known_of_is_tried_however_slow_it_is_assumed_to_be() {
    let policy = Policy::PeakEwma {
        decay: Duration::from_secs(1),
        default_latency: Duration::from_secs(60),
    };
    let mut world = World::new(policy, &[1, 1], 9);
    let pick = world.pick_of(0);
    world.pass(Duration::from_millis(1));
    world.complete(pick, Outcome::Success);
    let mut others = 0;
    for _ in 0..1_000 {
        let pick = world.pick();
        others += u32::from(pick.index() == 1);
        world.pass(Duration::from_millis(20));
        world.complete(pick, Outcome::Success);
    }
    assert!(others > 0);
}

#[test]
fn unhealthy_endpoints_are_not_picked() {
    for policy in policies() {
        let mut world = World::new(policy.clone(), &[1, 2, 3, 4], 13);
        world.set_health(1, false);
        world.set_health(2, false);
        world.set_health(99, false);
        assert_eq!(world.balancer.available(), 2);
        let shares = world.shares(200);
        assert_eq!((shares[1], shares[2]), (0, 0), "{policy:?}: {shares:?}");
        world.set_health(0, false);
        world.set_health(3, false);
        assert!(world.try_pick(&[]).is_none(), "{policy:?}");
        world.set_health(2, true);
        assert_eq!(world.pick().index(), 2, "{policy:?}");
    }
}

#[test]
fn all_tried_is_no_reason_not_to_pick() {
    for policy in policies() {
        let mut world = World::new(policy, &[1, 1], 13);
        assert!(world.try_pick(&[0, 1]).is_some());
    }
}

/// The indices of `n` picks of which some stay in flight, some succeed and some fail.
fn history(policy: Policy, weights: &[u32], seed: u64) -> Vec<u32> {
    let now = Time::ZERO;
    let balancer = Balancer::new(Settings::new(policy, None), &endpoints(weights), now);
    let mut rng = Rng::seeded(seed);
    let mut held = Vec::new();
    (0..200_u64)
        .map(|step| {
            let now = now + Duration::from_millis(step);
            let pick = balancer
                .pick(now, &mut rng, &PickRequest::default())
                .expect("all are healthy");
            let index = pick.index();
            match step % 3 {
                0 => held.push(pick),
                1 => balancer.complete(pick, Completion::new(Outcome::Success, now)),
                _ => balancer.complete(pick, Completion::new(Outcome::Reset, now)),
            }
            index
        })
        .collect()
}

proptest! {
    #[test]
    fn idle_shares_follow_weights(
        weights in prop::collection::vec(1_u32..20, 1..12),
        seed: u64,
    ) {
        let n = 4_000;
        let total = f64::from(weights.iter().sum::<u32>());
        for policy in [Policy::RoundRobin, Policy::Random, LEAST_REQUEST] {
            let shares = World::new(policy.clone(), &weights, seed).shares(n);
            for (count, weight) in shares.iter().zip(&weights) {
                let share = f64::from(*weight) / total;
                let good = match policy {
                    Policy::RoundRobin => (f64::from(*count) - f64::from(n) * share).abs() < 8.0,
                    _ => is_likely(*count, n, share),
                };
                prop_assert!(good, "{policy:?} {weights:?}: {shares:?}");
            }
        }
    }

    #[test]
    fn same_seed_same_picks(weights in prop::collection::vec(1_u32..9, 1..9), seed: u64) {
        for policy in policies() {
            let once = history(policy.clone(), &weights, seed);
            prop_assert_eq!(once, history(policy, &weights, seed));
        }
    }

    #[test]
    fn tried_only_if_nothing_else_is_left(
        weights in prop::collection::vec(1_u32..9, 1..9),
        tried: u16,
        sick: u16,
        seed: u64,
    ) {
        let chosen = |bits: u16| (0..weights.len() as u32).filter(move |i| bits >> i & 1 == 1);
        let tried: Vec<u32> = chosen(tried).collect();
        for policy in policies() {
            let mut world = World::new(policy, &weights, seed);
            chosen(sick).for_each(|i| world.set_health(i, false));
            let well: Vec<u32> =
                (0..weights.len() as u32).filter(|&i| sick >> i & 1 == 0).collect();
            let pick = world.try_pick(&tried);
            prop_assert_eq!(pick.is_none(), well.is_empty());
            if let Some(pick) = pick {
                prop_assert!(well.contains(&pick.index()));
                let untried_left = well.iter().any(|i| !tried.contains(i));
                prop_assert_eq!(tried.contains(&pick.index()), !untried_left);
            }
        }
    }
}
