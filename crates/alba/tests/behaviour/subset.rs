//! Which part of a large list a dispatcher uses.

use std::collections::BTreeSet;

use alba::{
    Alba, Balancer, Endpoint, EndpointId, LoadReport, Locality, Outcome, Policy, Settings, Subset,
    Time,
};
use proptest::prelude::*;

use crate::world::{World, endpoints, policies};

fn settings(size: u32, key: u64, zone: &str) -> Settings {
    let mut settings = Settings::new(Policy::RoundRobin, None);
    settings.subset = Some(Subset { size, key });
    settings.origin = locality(zone);
    settings
}

fn locality(zone: &str) -> Locality {
    Locality {
        region: "eu".to_owned(),
        zone: zone.to_owned(),
        sub_zone: String::new(),
    }
}

/// `count` endpoints, of which the first `near` are in zone a and the others in zone b.
fn two_zones(near: u64, count: u64) -> Vec<Endpoint> {
    (0..count)
        .map(|id| {
            let mut endpoint = Endpoint::new(EndpointId(id));
            endpoint.locality = locality(if id < near { "a" } else { "b" });
            endpoint
        })
        .collect()
}

/// The ids in use.
fn used(balancer: &Balancer) -> BTreeSet<u64> {
    let views = balancer.endpoints(Time::ZERO);
    let used = views.filter(|view| view.effective_weight > 0.0);
    used.map(|view| view.id.0).collect()
}

fn chosen(settings: Settings, list: &[Endpoint]) -> BTreeSet<u64> {
    used(&Balancer::new(settings, list, Time::ZERO))
}

#[test]
fn picks_are_of_the_subset() {
    for policy in policies() {
        let mut world = World::new(policy.clone(), &[1; 50], 3);
        let mut settings = world.balancer.settings().clone();
        settings.subset = Some(Subset { size: 7, key: 3 });
        world.balancer = world
            .balancer
            .apply(settings, &endpoints(&[1; 50]), world.now);
        assert_eq!(world.balancer.available(), 50);
        let mut seen = BTreeSet::new();
        for _ in 0..500 {
            let pick = world.pick();
            seen.insert(pick.id().0);
            world.complete(pick, Outcome::Cancelled);
        }
        assert_eq!(seen, used(&world.balancer), "{policy:?}");
        assert_eq!(seen.len(), 7, "{policy:?}");
    }
}

#[test]
fn a_list_that_is_not_longer_is_used_whole() {
    for size in [10, 11, u32::MAX] {
        assert_eq!(chosen(settings(size, 1, "a"), &two_zones(5, 10)).len(), 10);
    }
    assert_eq!(chosen(settings(0, 1, "a"), &two_zones(5, 10)).len(), 1);
}

#[test]
fn every_endpoint_is_in_about_as_many_parts() {
    const DISPATCHERS: u64 = 4_000;
    let list = two_zones(0, 100);
    let mut counts = vec![0_u32; 100];
    for key in 0..DISPATCHERS {
        for id in chosen(settings(20, key, ""), &list) {
            counts[id as usize] += 1;
        }
    }
    // 800 expected, with a standard deviation of 25.
    assert!(
        counts.iter().all(|count| (675..925).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn half_is_of_the_own_zone_as_far_as_it_reaches() {
    let near = |near, size| {
        let used = chosen(settings(size, 9, "a"), &two_zones(near, 1_000));
        assert_eq!(used.len(), size as usize);
        used.iter().filter(|id| **id < near).count()
    };
    assert_eq!(near(0, 20), 0);
    assert_eq!(near(3, 20), 3);
    assert!((10..=13).contains(&near(50, 20)), "{}", near(50, 20));
    assert_eq!(near(1_000, 21), 21);
    // Most of all are near: so are most of those that are left.
    assert!((15..=20).contains(&near(900, 20)), "{}", near(900, 20));
    let elsewhere = chosen(settings(20, 9, "c"), &two_zones(500, 1_000));
    assert_eq!(
        elsewhere,
        chosen(settings(20, 9, ""), &two_zones(500, 1_000))
    );
}

#[test]
fn one_that_fails_is_replaced_and_comes_back() {
    let world = World::with(settings(5, 2, ""), &[1; 30], 1);
    let before = used(&world.balancer);
    let gone = *before.first().unwrap();
    world.set_health(gone as u32, false);
    let without = used(&world.balancer);
    assert_eq!(without.len(), 5);
    assert_eq!(before.difference(&without).collect::<Vec<_>>(), [&gone]);
    world.set_health(gone as u32, true);
    assert_eq!(used(&world.balancer), before);
}

#[test]
fn one_that_was_replaced_is_not_picked_for_its_fresh_report() {
    let mut world = World::new(Policy::Alba(Alba::default()), &[1; 60], 3);
    let mut settings = world.balancer.settings().clone();
    settings.subset = Some(Subset { size: 20, key: 3 });
    world.balancer = world
        .balancer
        .apply(settings, &endpoints(&[1; 60]), world.now);
    let before = used(&world.balancer);
    let gone = *before.first().unwrap() as u32;
    world.set_health(gone, false);
    let without = used(&world.balancer);
    let stand_in = *without.difference(&before).next().unwrap();
    let idle = LoadReport {
        in_flight: Some(0),
        ..LoadReport::default()
    };
    world
        .balancer
        .observe(EndpointId(stand_in), &idle, world.now);
    let picked = |world: &mut World| {
        let picks: Vec<_> = (0..200).map(|_| world.pick()).collect();
        picks.iter().any(|pick| pick.id().0 == stand_in)
    };
    assert!(picked(&mut world), "it is used while it stands in");
    world.set_health(gone, true);
    world
        .balancer
        .observe(EndpointId(stand_in), &idle, world.now);
    assert!(!picked(&mut world));
}

#[test]
fn what_is_tried_does_not_leave_the_subset() {
    let mut world = World::with(settings(2, 2, ""), &[1; 30], 1);
    let both: Vec<u32> = used(&world.balancer).iter().map(|id| *id as u32).collect();
    let pick = world.try_pick(&both[..1]).unwrap();
    assert_eq!(pick.index(), both[1]);
    let pick = world.try_pick(&both).unwrap();
    assert!(both.contains(&pick.index()));
}

proptest! {
    /// An endpoint that comes or goes changes one member at most.
    #[test]
    fn little_changes(
        near in 0_u64..60, count in 2_u64..60, size in 1_u32..40, key: u64, gone: prop::sample::Index,
    ) {
        let list = two_zones(near.min(count), count);
        let before = chosen(settings(size, key, "a"), &list);
        let mut rest = list;
        let gone = rest.remove(gone.index(count as usize)).id.0;
        let after = chosen(settings(size, key, "a"), &rest);
        let out: Vec<_> = before.difference(&after).collect();
        prop_assert!(out.is_empty() && !before.contains(&gone) || out == [&gone], "{out:?}");
        prop_assert!(after.difference(&before).count() <= 1);
    }
}
