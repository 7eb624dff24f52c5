//! What a successor keeps.

use std::time::Duration;

use alba::{
    Balancer, Completion, Endpoint, EndpointId, Outcome, OutlierDetection, PickRequest, Policy,
    Rng, Settings, Time,
};
use proptest::prelude::*;

use crate::world::{World, endpoints, policies};

fn settings() -> Settings {
    let outlier = OutlierDetection {
        consecutive_5xx: 1,
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    };
    Settings::new(Policy::RoundRobin, Some(outlier))
}

#[test]
fn surviving_endpoints_keep_everything() {
    let mut world = World::with(settings(), &[1, 1, 1], 1);
    world.answer(0, Outcome::ServerError, 1);
    world.set_health(1, false);
    let held = world.pick_of(2);
    let quick = world.pick_of(2);
    world.pass(Duration::from_millis(40));
    world.complete(quick, Outcome::Success);
    let before: Vec<String> = world
        .balancer
        .endpoints(world.now)
        .map(|view| format!("{view:?}"))
        .collect();

    let same = world
        .balancer
        .apply(settings(), &endpoints(&[1, 1, 1]), world.now);
    let after: Vec<String> = same
        .endpoints(world.now)
        .map(|view| format!("{view:?}"))
        .collect();
    assert_eq!(after, before);
    assert!(after[2].contains("in_flight: 1"), "{after:?}");
    drop(held);
}

#[test]
fn identity_is_the_id_not_the_position() {
    let mut world = World::new(Policy::RoundRobin, &[1, 1, 1], 1);
    let held = world.pick_of(2);
    let shuffled = [
        Endpoint::new(EndpointId(7)),
        Endpoint::new(EndpointId(2)).with_weight(5),
    ];
    world.balancer = world
        .balancer
        .apply(Settings::default(), &shuffled, world.now);
    assert_eq!(world.in_flight(), [0, 1]);
    let views: Vec<_> = world.balancer.endpoints(world.now).collect();
    assert_eq!(
        (views[1].id, views[1].configured_weight),
        (EndpointId(2), 5)
    );
    drop(held);
    assert_eq!(world.in_flight(), [0, 0]);
}

#[test]
fn picks_may_be_completed_on_any_balancer_of_the_lineage() {
    let mut world = World::with(settings(), &[1, 1], 1);
    let (old_pick, other_pick) = (world.pick_of(0), world.pick_of(1));
    let old = world.balancer;
    world.balancer = old.apply(settings(), &endpoints(&[1, 1]), world.now);
    let new_pick = world.pick_of(1);

    world.complete(old_pick, Outcome::ServerError);
    assert_eq!(
        world.ejected(),
        [0],
        "an old pick's error counts on the successor"
    );
    old.complete(new_pick, Completion::new(Outcome::ServerError, world.now));
    assert_eq!(
        world.ejected(),
        [0, 1],
        "and a new pick's error counts if told to the ancestor"
    );
    assert!(world.try_pick(&[]).is_none());
    world.complete(other_pick, Outcome::Cancelled);
    assert_eq!(world.in_flight(), [0, 0]);
}

#[test]
fn a_pick_outlives_its_endpoint() {
    let mut world = World::with(settings(), &[1, 1], 1);
    let pick = world.pick_of(1);
    world.balancer = world
        .balancer
        .apply(settings(), &endpoints(&[1]), world.now);
    assert_eq!(pick.id(), EndpointId(1));
    world.complete(pick, Outcome::ServerError);
    assert_eq!(world.ejected(), []);
    assert_eq!(world.shares(10), [10]);
}

#[test]
fn round_robin_goes_on_where_it_was() {
    let mut world = World::new(Policy::RoundRobin, &[1; 5], 4);
    let mut last = world.pick().index();
    for _ in 0..20 {
        let settings = world.balancer.settings().clone();
        world.balancer = world
            .balancer
            .apply(settings, &endpoints(&[1; 5]), world.now);
        let next = world.pick().index();
        assert_eq!(next, (last + 1) % 5);
        last = next;
    }
}

#[test]
fn an_id_in_two_positions_is_one_endpoint() {
    let twice = [Endpoint::new(EndpointId(3)), Endpoint::new(EndpointId(3))];
    let balancer = Balancer::new(Settings::default(), &twice, Time::ZERO);
    let mut rng = Rng::seeded(1);
    let _pick = balancer
        .pick(Time::ZERO, &mut rng, &PickRequest::default())
        .unwrap();
    let in_flight: Vec<u32> = balancer
        .endpoints(Time::ZERO)
        .map(|view| view.in_flight)
        .collect();
    assert_eq!(in_flight, [1, 1]);
}

proptest! {
    /// Any sequence of picks, completions and reloads: in-flight is what is held, never less.
    #[test]
    fn in_flight_is_what_is_held(
        policy in 0..6_usize,
        seed: u64,
        steps in prop::collection::vec((0_u8..4, any::<u16>()), 1..300),
    ) {
        let now = Time::ZERO;
        let settings = Settings::new(policies()[policy].clone(), None);
        let mut balancer = Balancer::new(settings.clone(), &endpoints(&[1, 2, 3]), now);
        let mut rng = Rng::seeded(seed);
        let mut held = Vec::new();
        for (what, choice) in steps {
            match what {
                0 | 1 => held.extend(balancer.pick(now, &mut rng, &PickRequest::default())),
                2 if !held.is_empty() => {
                    let pick = held.swap_remove(usize::from(choice) % held.len());
                    balancer.complete(pick, Completion::new(Outcome::Success, now));
                }
                2 => {}
                _ => {
                    // Endpoint 0 always stays; the others come and go.
                    let list: Vec<Endpoint> = (0..8)
                        .filter(|id| *id == 0 || choice >> id & 1 == 1)
                        .map(|id| Endpoint::new(EndpointId(id)))
                        .collect();
                    balancer = balancer.apply(settings.clone(), &list, now);
                }
            }
            for view in balancer.endpoints(now).filter(|view| view.id == EndpointId(0)) {
                let expected = held.iter().filter(|pick| pick.id() == view.id).count();
                prop_assert_eq!(view.in_flight as usize, expected);
            }
        }
        drop(held);
        prop_assert!(balancer.endpoints(now).all(|view| view.in_flight == 0));
    }
}
