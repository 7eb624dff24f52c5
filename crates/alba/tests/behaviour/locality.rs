//! Priority levels, shares of localities, and further attempts elsewhere.

use std::time::Duration;

use alba::{
    Alba, DistributeRule, Endpoint, EndpointId, FailoverRule, LoadBound, Locality, LocalityPolicy,
    Outcome, OutlierDetection, PickRequest, Policy, Settings, SlowStart, Subset,
};

use crate::world::{World, policies};

/// `region/zone/sub-zone`, of which the end may be missing.
fn place(text: &str) -> Locality {
    let mut names = text.split('/').map(str::to_owned);
    let mut name = || names.next().unwrap_or_default();
    Locality {
        region: name(),
        zone: name(),
        sub_zone: name(),
    }
}

/// Endpoint `i` has id `i` and runs in `places[i]`.
fn endpoints(places: &[&str]) -> Vec<Endpoint> {
    let endpoint = |(id, text): (u64, &&str)| Endpoint {
        locality: place(text),
        ..Endpoint::new(EndpointId(id))
    };
    (0..).zip(places).map(endpoint).collect()
}

fn settings(policy: Policy, locality: LocalityPolicy) -> Settings {
    let mut settings = Settings::new(policy, None);
    settings.origin = place("here/z1/r1");
    settings.locality = locality;
    settings
}

fn failover(from: &str, to: &str) -> LocalityPolicy {
    let (from, to) = (from.to_owned(), to.to_owned());
    LocalityPolicy::Failover(vec![FailoverRule { from, to }])
}

/// What requests from `from` go to, in percent.
fn distribute(from: &str, to: &[(&str, u32)]) -> LocalityPolicy {
    LocalityPolicy::Distribute(vec![DistributeRule {
        from: place(from),
        to: to
            .iter()
            .map(|(to, percent)| (place(to), *percent))
            .collect(),
    }])
}

/// Ten endpoints here and ten in the region to fail over to.
fn two_regions() -> Vec<Endpoint> {
    let mut places = ["here/z1/r1"; 20];
    places[10..].fill("there/z1");
    endpoints(&places)
}

/// The share of `n` picks, each of another hash, that each endpoint gets.
fn shares(world: &mut World, n: u32) -> Vec<f64> {
    let mut counts = vec![0_u32; world.balancer.len()];
    for _ in 0..n {
        let hash = world.rng.u64();
        let pick = world
            .try_pick_for(Some(hash), &[])
            .expect("someone is well");
        counts[pick.index() as usize] += 1;
        world.complete(pick, Outcome::Cancelled);
    }
    let share = |count: &u32| f64::from(*count) / f64::from(n);
    counts.iter().map(share).collect()
}

#[track_caller]
fn assert_near(found: f64, expected: f64, what: &dyn std::fmt::Debug) {
    assert!(
        (found - expected).abs() < 0.03,
        "{found:.3} instead of {expected:.3}: {what:?}"
    );
}

#[test]
fn the_nearest_level_that_is_well_gets_all() {
    let places = [
        "far/z1",
        "there/z1",
        "here/z2/r1",
        "here/z1/r2",
        "here/z1/r1",
    ];
    for policy in policies() {
        let settings = settings(policy.clone(), failover("here", "there"));
        let mut world = World::of(settings, &endpoints(&places), 1);
        for nearest in (0..5_u32).rev() {
            let shares = shares(&mut world, 50);
            assert_eq!(shares[nearest as usize], 1.0, "{policy:?}: {shares:?}");
            world.set_health(nearest, false);
        }
        assert!(world.try_pick(&[]).is_none(), "nobody is left");
        world.set_health(2, true);
        assert_eq!(world.pick().index(), 2, "{policy:?}");
    }
}

#[test]
fn without_a_rule_other_regions_are_one_level() {
    let places = ["there/z1", "far/z1", "here/z2"];
    for locality in [
        LocalityPolicy::Failover(Vec::new()),
        failover("far", "there"),
    ] {
        let mut world = World::of(settings(Policy::Random, locality), &endpoints(&places), 2);
        assert_eq!(shares(&mut world, 50), [0.0, 0.0, 1.0]);
        world.set_health(2, false);
        let shares = shares(&mut world, 4000);
        assert_near(shares[0], 0.5, &"there");
        assert_near(shares[1], 0.5, &"far");
    }
}

#[test]
fn nothing_is_near_or_far_while_the_origin_is_not_known() {
    let mut settings = settings(Policy::Random, failover("here", "there"));
    settings.origin = Locality::default();
    let mut world = World::of(settings, &endpoints(&["here/z1", "there/z1", ""]), 3);
    for share in shares(&mut world, 6000) {
        assert_near(share, 1.0 / 3.0, &"each");
    }
}

#[test]
fn priorities_come_before_places() {
    let mut list = endpoints(&["here/z1/r1", "far/z1", "there/z1"]);
    list[0].priority = 7;
    list[1].priority = 2;
    list[2].priority = 2;
    let orders = [
        (failover("here", "there"), vec![vec![2], vec![1], vec![0]]),
        (LocalityPolicy::Priorities, vec![vec![1, 2], vec![0]]),
    ];
    for (locality, levels) in orders {
        let mut world = World::of(settings(Policy::RoundRobin, locality), &list, 4);
        for level in levels {
            let shares = shares(&mut world, 100);
            let used: Vec<u32> = (0..3).filter(|&i| shares[i as usize] > 0.0).collect();
            assert_eq!(used, level);
            for index in level {
                world.set_health(index, false);
            }
        }
    }
}

#[test]
fn load_spills_as_a_level_loses_endpoints() {
    for policy in policies() {
        let settings = settings(policy.clone(), failover("here", "there"));
        let mut world = World::of(settings, &two_regions(), 5);
        let mut ill = 0;
        for (healthy, expected) in [
            (10, 1.0),
            (8, 1.0),
            (7, 0.98),
            (5, 0.7),
            (2, 0.28),
            (0, 0.0),
        ] {
            while ill < 10 - healthy {
                world.set_health(ill, false);
                ill += 1;
            }
            let shares = shares(&mut world, 4000);
            let what = (&policy, healthy);
            assert_near(shares[..10].iter().sum(), expected, &what);
            assert_eq!(shares[..ill as usize].iter().sum::<f64>(), 0.0, "{what:?}");
            let spilled: Vec<&f64> = shares[10..].iter().filter(|share| **share > 0.0).collect();
            let all = if expected < 1.0 { 10 } else { 0 };
            assert_eq!(spilled.len(), all, "{what:?}");
        }
    }
}

#[test]
fn an_ejected_endpoint_counts_as_ill() {
    let mut settings = settings(Policy::RoundRobin, LocalityPolicy::Failover(Vec::new()));
    settings.outlier_detection = Some(OutlierDetection {
        consecutive_5xx: 1,
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    });
    let mut world = World::of(settings, &endpoints(&["here/z1/r1", "here/z2"]), 6);
    let pick = world.pick();
    assert_eq!(pick.index(), 0);
    world.complete(pick, Outcome::ServerError);
    assert_eq!(world.ejected(), [0]);
    assert_eq!(shares(&mut world, 20), [0.0, 1.0]);
    world.pass(Duration::from_secs(60));
    world.balancer.handle_timeout(world.now);
    assert_eq!(shares(&mut world, 20), [1.0, 0.0], "and comes back");
}

#[test]
fn a_level_in_panic_uses_all_its_endpoints() {
    for policy in policies() {
        let mut settings = settings(policy.clone(), failover("here", "there"));
        settings.outlier_detection = Some(OutlierDetection {
            min_health_percent: 50,
            ..OutlierDetection::default()
        });
        let mut world = World::of(settings, &two_regions(), 7);
        (0..8).for_each(|index| world.set_health(index, false));
        assert!(!world.balancer.is_panicking(), "the other level is whole");
        let calm = shares(&mut world, 2000);
        assert_eq!(calm[..8].iter().sum::<f64>(), 0.0, "{policy:?}");

        (10..15).for_each(|index| world.set_health(index, false));
        assert!(world.balancer.is_panicking());
        let partly = shares(&mut world, 4000);
        assert_near(partly[..10].iter().sum(), 28.0 / 98.0, &policy);
        assert!(partly[..10].iter().all(|share| *share > 0.0), "{policy:?}");
        assert_eq!(partly[10..15].iter().sum::<f64>(), 0.0, "{policy:?}");

        (15..20).for_each(|index| world.set_health(index, false));
        let whole = shares(&mut world, 4000);
        assert_near(whole[..10].iter().sum(), 0.5, &policy);
        assert!(whole.iter().all(|share| *share > 0.0), "{policy:?}");
    }
}

#[test]
fn localities_get_the_shares_of_the_rule() {
    // The pattern's 20 % go to two zones, of one and three endpoints.
    let places = [
        "here/z1/r1",
        "here/z1/r1",
        "here/z1/r1",
        "here/z1/r1",
        "here/z2",
        "there/z1",
        "there/z2",
        "there/z2",
        "there/z2",
        "far/z1",
    ];
    let locality = distribute(
        "here/*",
        &[("here/z1/*", 70), ("here/z2", 10), ("there/*", 20)],
    );
    for policy in policies() {
        let settings = settings(policy.clone(), locality.clone());
        let mut world = World::of(settings, &endpoints(&places), 8);
        let all = shares(&mut world, 6000);
        assert_near(all[..4].iter().sum(), 0.7, &policy);
        assert_near(all[4], 0.1, &policy);
        assert_near(all[5], 0.05, &policy);
        assert_near(all[6..9].iter().sum(), 0.15, &policy);
        assert_eq!(all[9], 0.0, "{policy:?}: no share was given");

        // Half of the first: 70 × 1.4 × 0.5 of 79.
        world.set_health(0, false);
        world.set_health(1, false);
        let half = shares(&mut world, 6000);
        assert_near(half[..4].iter().sum(), 49.0 / 79.0, &policy);
        assert_near(half[4], 10.0 / 79.0, &policy);

        (2..5).for_each(|index| world.set_health(index, false));
        let one = shares(&mut world, 4000);
        assert_near(one[5], 0.25, &policy);
        (5..9).for_each(|index| world.set_health(index, false));
        assert!(world.try_pick(&[]).is_none(), "{policy:?}");
    }
}

#[test]
fn without_a_rule_for_the_origin_all_are_alike() {
    let locality = distribute("there", &[("there", 100)]);
    let mut world = World::of(
        settings(Policy::Random, locality),
        &endpoints(&["here/z1/r1", "there/z1"]),
        9,
    );
    assert_near(shares(&mut world, 4000)[0], 0.5, &"each");
}

#[test]
fn in_panic_weights_count_for_nothing() {
    let mut settings = settings(
        Policy::RoundRobin,
        distribute("here", &[("here", 90), ("there", 10)]),
    );
    settings.outlier_detection = Some(OutlierDetection {
        min_health_percent: 30,
        ..OutlierDetection::default()
    });
    let mut list = two_regions();
    list.push(endpoints(&["far"])[0].clone());
    list[20].id = EndpointId(20);
    let mut world = World::of(settings, &list, 10);
    (0..15).for_each(|index| world.set_health(index, false));
    let shares = shares(&mut world, 2000);
    assert!(world.balancer.is_panicking());
    assert_near(shares[..10].iter().sum(), 0.5, &"here");
    assert_eq!(shares[20], 0.0, "no share was given");
}

#[test]
fn turns_stay_even_within_each_level() {
    let locality = failover("here", "there");
    let mut world = World::of(settings(Policy::RoundRobin, locality), &two_regions(), 11);
    (0..5).for_each(|index| world.set_health(index, false));
    let counts = world.shares(997);
    for level in [&counts[5..10], &counts[10..]] {
        let (least, most) = (level.iter().min().unwrap(), level.iter().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
    }
}

#[test]
fn the_same_key_stays_where_it_was() {
    for policy in policies() {
        if !matches!(policy, Policy::RingHash { .. } | Policy::Maglev { .. }) {
            continue;
        }
        for locality in [
            failover("here", "there"),
            distribute("here", &[("here", 60), ("there", 40)]),
        ] {
            let mut world = World::of(settings(policy.clone(), locality), &two_regions(), 12);
            let homes = |world: &mut World| -> Vec<u32> {
                let home = |hash| {
                    let pick = world.try_pick_for(Some(hash), &[]).unwrap();
                    pick.index()
                };
                (0..2000_u64)
                    .map(|key| key.wrapping_mul(0x9E37_79B9_7F4A_7C15))
                    .map(home)
                    .collect()
            };
            let before = homes(&mut world);
            assert_eq!(homes(&mut world), before, "{policy:?}");
            (0..5).for_each(|index| world.set_health(index, false));
            let after = homes(&mut world);
            let in_use = |home: &&u32| **home >= 5;
            let kept = before.iter().filter(in_use).count() as f64;
            let moved = before
                .iter()
                .zip(&after)
                .filter(|(before, after)| **before >= 5 && before != after);
            // Three tenths spill into the other level; from ill endpoints of a table some more move.
            assert!((moved.count() as f64) < 0.45 * kept, "{policy:?}");
            assert!(after.iter().all(|home| *home >= 5), "{policy:?}");
            (0..5).for_each(|index| world.set_health(index, true));
            assert_eq!(homes(&mut world), before, "{policy:?}");
        }
    }
}

#[test]
fn slow_start_eases_within_a_level() {
    let mut settings = settings(Policy::Random, failover("here", "there"));
    settings.slow_start = Some(SlowStart {
        duration: Duration::from_secs(100),
        aggression: 1.0,
        minimum_percent: 10.0,
    });
    let mut world = World::of(settings, &two_regions(), 13);
    world.set_health(0, false);
    world.set_health(0, true);
    world.pass(Duration::from_secs(1));
    world.balancer.handle_timeout(world.now);
    let shares = shares(&mut world, 20_000);
    assert_eq!(shares[10..].iter().sum::<f64>(), 0.0, "the level is well");
    assert!((0.005..0.02).contains(&shares[0]), "{}", shares[0]);
}

#[test]
fn crossings_have_no_price_where_levels_are_given() {
    let mut prices = Alba::default();
    prices.zone_price = Duration::from_secs(1);
    let prices = Policy::Alba(prices);
    let places = ["here/z1", "here/z2"];
    let mut near = World::of(
        settings(prices.clone(), LocalityPolicy::Prices),
        &endpoints(&places),
        14,
    );
    assert_eq!(shares(&mut near, 100), [1.0, 0.0]);
    let mut alike = World::of(
        settings(prices, LocalityPolicy::Priorities),
        &endpoints(&places),
        14,
    );
    assert_near(shares(&mut alike, 4000)[0], 0.5, &"each");
}

#[test]
fn a_bound_on_load_is_one_of_each_level() {
    let policy = Policy::RingHash {
        minimum_ring_size: 1024,
        bound: LoadBound(Some(2.0)),
    };
    let settings = settings(policy, failover("here", "there"));
    let mut world = World::of(settings, &two_regions(), 17);
    (0..5).for_each(|index| world.set_health(index, false));
    // A key that belongs to the level with three tenths of the requests.
    let far = (0..100).find(|key| {
        let pick = world.try_pick_for(Some(*key), &[]);
        pick.expect("someone is well").index() >= 10
    });
    let held: Vec<_> = (0..100)
        .map(|_| world.try_pick_for(far, &[]).expect("someone is well"))
        .collect();
    let in_flight = world.in_flight();
    assert_eq!(in_flight[10..].iter().sum::<u32>(), 100, "{in_flight:?}");
    // Twice a tenth of 30 is allowed, which 100 exceed: then the emptiest is taken. Of all that is in flight twice
    // a tenth would be 20.
    assert!(in_flight[10..].iter().all(|n| *n <= 11), "{in_flight:?}");
    drop(held);
}

#[test]
fn a_subset_is_taken_of_each_level() {
    let mut settings = settings(Policy::RoundRobin, failover("here", "there"));
    settings.subset = Some(Subset { size: 4, key: 1 });
    let mut world = World::of(settings, &two_regions(), 18);
    let used = |shares: &[f64]| shares.iter().filter(|share| **share > 0.0).count();
    let before = shares(&mut world, 200);
    assert_eq!((used(&before[..10]), used(&before[10..])), (4, 0));
    (0..5).for_each(|index| world.set_health(index, false));
    let after = shares(&mut world, 200);
    assert_eq!((used(&after[..10]), used(&after[10..])), (4, 4));
}

/// Where the next attempt goes after `tried`.
fn retried(world: &mut World, tried: &[u32], avoid_localities: bool) -> u32 {
    let tried: Vec<_> = tried.iter().map(|&i| EndpointId(u64::from(i))).collect();
    let request = PickRequest {
        tried: &tried,
        avoid_localities,
        hash: Some(world.rng.u64()),
        ..PickRequest::default()
    };
    let pick = world.balancer.pick(world.now, &mut world.rng, &request);
    pick.expect("someone is well").index()
}

#[test]
fn further_attempts_go_to_other_localities_if_asked() {
    let places = [
        "here/z1/r1",
        "here/z1/r1",
        "here/z1/r1",
        "here/z2",
        "here/z2",
        "there/z1",
    ];
    for policy in policies() {
        for locality in [
            LocalityPolicy::Prices,
            failover("here", "there"),
            distribute("here", &[("here/z1", 98), ("*", 2)]),
        ] {
            let settings = settings(policy.clone(), locality.clone());
            let mut world = World::of(settings, &endpoints(&places), 15);
            let what = (&policy, &locality);
            for _ in 0..100 {
                let second = retried(&mut world, &[0], true);
                assert!(second >= 3, "{second}: {what:?}");
                let third = retried(&mut world, &[0, 3], true);
                assert_eq!(third, 5, "{what:?}");
                let fourth = retried(&mut world, &[0, 3, 5], true);
                assert!([1, 2, 4].contains(&fourth), "{fourth}: {what:?}");
            }
            world.set_health(5, false);
            for _ in 0..100 {
                let third = retried(&mut world, &[0, 3], true);
                assert!([1, 2, 4].contains(&third), "{third}: {what:?}");
            }
        }
    }
}

#[test]
fn further_attempts_stay_in_their_level_otherwise() {
    let places = ["here/z1/r1", "here/z1/r1", "here/z2"];
    for policy in policies() {
        let settings = settings(policy.clone(), LocalityPolicy::Failover(Vec::new()));
        let mut world = World::of(settings, &endpoints(&places), 16);
        for _ in 0..100 {
            assert_eq!(retried(&mut world, &[0], false), 1, "{policy:?}");
            let third = retried(&mut world, &[0, 1], false);
            assert!(third < 2, "{policy:?}");
        }
        let mut again = [false; 3];
        (0..100).for_each(|_| again[retried(&mut world, &[], true) as usize] = true);
        assert_eq!(again, [true, true, false], "none counts as tried");
    }
}
