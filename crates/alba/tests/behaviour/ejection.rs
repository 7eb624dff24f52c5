//! When endpoints are put aside for what they answered, and when they come back.

use std::time::Duration;

use alba::{Outcome, OutlierDetection, Policy, Settings, Time};
use proptest::prelude::*;

use crate::world::{World, endpoints};

fn after(consecutive_5xx: u32) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx,
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    }
}

#[test]
fn a_full_run_of_errors_ejects() {
    let mut world = World::ejecting(after(3), 4);
    world.answer(2, Outcome::ServerError, 2);
    assert_eq!(world.ejected(), []);
    world.answer(2, Outcome::ServerError, 1);
    assert_eq!(world.ejected(), [2]);
    assert_eq!(world.balancer.available(), 3);
    assert_eq!(world.shares(300), [100, 100, 0, 100]);
}

#[test]
fn success_ends_a_run_and_cancellation_does_not() {
    let mut world = World::ejecting(after(3), 4);
    world.answer(2, Outcome::ServerError, 2);
    world.answer(2, Outcome::Success, 1);
    world.answer(2, Outcome::ServerError, 2);
    world.answer(2, Outcome::Cancelled, 5);
    assert_eq!(world.ejected(), []);
    world.answer(2, Outcome::ServerError, 1);
    assert_eq!(world.ejected(), [2]);
}

#[test]
fn nothing_local_or_remote_ejects_without_a_limit() {
    let mut world = World::ejecting(
        OutlierDetection {
            consecutive_local_origin_failures: 0,
            ..after(0)
        },
        4,
    );
    for outcome in [
        Outcome::ServerError,
        Outcome::GatewayError,
        Outcome::Reset,
        Outcome::Timeout,
    ] {
        world.answer(1, outcome, 50);
    }
    assert_eq!(world.ejected(), []);
}

#[test]
fn local_failures_count_as_gateway_errors_unless_split() {
    for outcome in [Outcome::ConnectFailure, Outcome::Timeout, Outcome::Reset] {
        let limits = OutlierDetection {
            consecutive_gateway_errors: 2,
            ..after(0)
        };
        let mut world = World::ejecting(limits.clone(), 4);
        world.answer(0, outcome, 2);
        assert_eq!(world.ejected(), [0], "{outcome:?}");

        let split = OutlierDetection {
            split_external_local_origin_errors: true,
            consecutive_local_origin_failures: 4,
            ..limits
        };
        let mut world = World::ejecting(split, 4);
        world.answer(0, outcome, 3);
        assert_eq!(world.ejected(), [], "{outcome:?}");
        world.answer(0, outcome, 1);
        assert_eq!(world.ejected(), [0], "{outcome:?}");
    }
}

#[test]
fn an_answer_of_any_kind_ends_a_run_of_local_failures() {
    let split = OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failures: 2,
        ..after(100)
    };
    for answer in [
        Outcome::Success,
        Outcome::ServerError,
        Outcome::GatewayError,
    ] {
        let mut world = World::ejecting(split.clone(), 4);
        world.answer(0, Outcome::ConnectFailure, 1);
        world.answer(0, answer, 1);
        world.answer(0, Outcome::ConnectFailure, 1);
        assert_eq!(world.ejected(), [], "{answer:?}");
        world.answer(0, Outcome::ConnectFailure, 1);
        assert_eq!(world.ejected(), [0], "{answer:?}");
    }
}

#[test]
fn another_5xx_ends_a_run_of_gateway_errors() {
    let limits = OutlierDetection {
        consecutive_gateway_errors: 2,
        ..after(0)
    };
    let mut world = World::ejecting(limits, 4);
    world.answer(0, Outcome::GatewayError, 1);
    world.answer(0, Outcome::ServerError, 1);
    world.answer(0, Outcome::GatewayError, 1);
    assert_eq!(world.ejected(), []);
    world.answer(0, Outcome::GatewayError, 1);
    assert_eq!(world.ejected(), [0]);
}

#[test]
fn an_ejected_endpoint_comes_back_with_the_first_sweep_after_its_time() {
    let mut world = World::ejecting(after(1), 4);
    world.pass(Duration::from_secs(1));
    let start = world.now;
    world.answer(1, Outcome::Timeout, 1);
    let mut seen = Vec::new();
    while world.ejected() == [1] {
        world.sweep();
        seen.push(world.now.since(start).as_secs());
    }
    assert_eq!(
        seen,
        [9, 19, 29, 39],
        "30 s are over at the sweep after 39 s"
    );
    assert_eq!(world.shares(400), [100; 4]);
}

/// Ejects endpoint 0 and returns how long it is told to stay away.
fn eject(world: &mut World) -> u64 {
    let pick = world.pick_of(0);
    world.complete(pick, Outcome::ServerError);
    let view = world
        .balancer
        .endpoints(world.now)
        .next()
        .expect("endpoint 0 exists");
    view.ejected_until
        .expect("one error ejects")
        .since(world.now)
        .as_secs()
}

fn sweep_until_back(world: &mut World) {
    while world.ejected() == [0] {
        world.sweep();
    }
}

#[test]
fn ejections_in_a_row_last_longer_and_good_sweeps_are_credited() {
    let mut world = World::ejecting(after(1), 2);
    for expected in [30, 60, 90] {
        assert_eq!(eject(&mut world), expected);
        sweep_until_back(&mut world);
    }
    world.sweep();
    world.sweep();
    assert_eq!(
        eject(&mut world),
        60,
        "three in a row, less two good sweeps, and this one"
    );
    sweep_until_back(&mut world);
    for _ in 0..10 {
        world.sweep();
    }
    assert_eq!(eject(&mut world), 30);
    let view = world.balancer.endpoints(world.now).next().unwrap();
    assert_eq!(view.ejections, 5);
}

#[test]
fn no_ejection_lasts_longer_than_five_minutes_or_the_base_time() {
    let mut world = World::ejecting(after(1), 2);
    let longest = (0..20).map(|_| {
        let seconds = eject(&mut world);
        sweep_until_back(&mut world);
        seconds
    });
    assert_eq!(longest.max(), Some(300));
    let hour = Duration::from_secs(3600);
    let mut world = World::ejecting(
        OutlierDetection {
            base_ejection_time: hour,
            ..after(1)
        },
        2,
    );
    assert_eq!(eject(&mut world), 3600);
    sweep_until_back(&mut world);
    assert_eq!(eject(&mut world), 3600);
}

#[test]
fn counts_start_anew_after_an_ejection() {
    let mut world = World::ejecting(after(3), 2);
    let in_flight: Vec<_> = (0..5).map(|_| world.pick_of(0)).collect();
    for pick in in_flight {
        world.complete(pick, Outcome::ServerError);
    }
    assert_eq!(world.ejected(), [0]);
    sweep_until_back(&mut world);
    world.answer(0, Outcome::ServerError, 2);
    assert_eq!(world.ejected(), [], "the two late errors are forgotten");
}

#[test]
fn one_may_always_be_ejected_however_small_the_share() {
    let limits = OutlierDetection {
        max_ejection_percent: 10,
        ..after(1)
    };
    let mut world = World::ejecting(limits, 3);
    world.answer(0, Outcome::ServerError, 1);
    world.answer(1, Outcome::ServerError, 9);
    assert_eq!(world.ejected(), [0]);
}

#[test]
fn all_ejected_means_no_pick_without_panic() {
    let mut world = World::ejecting(after(1), 1);
    world.answer(0, Outcome::ServerError, 1);
    assert!(world.try_pick(&[]).is_none());
    assert_eq!(world.balancer.available(), 0);
}

#[test]
fn panic_picks_among_all() {
    let limits = OutlierDetection {
        min_health_percent: 50,
        ..after(1)
    };
    let mut world = World::ejecting(limits, 4);
    world.answer(0, Outcome::ServerError, 1);
    world.answer(1, Outcome::ServerError, 1);
    assert!(!world.balancer.is_panicking(), "half is not less than half");
    assert_eq!(world.shares(100), [0, 0, 50, 50]);
    world.set_health(2, false);
    assert!(world.balancer.is_panicking());
    assert_eq!(world.balancer.available(), 1);
    assert_eq!(world.shares(100), [25; 4]);
    let weights: Vec<f64> = world
        .balancer
        .endpoints(world.now)
        .map(|view| view.effective_weight)
        .collect();
    assert_eq!(weights, [1.0; 4]);
    world.set_health(2, true);
    assert_eq!(world.shares(100), [0, 0, 50, 50]);
}

#[test]
fn a_good_check_does_not_end_an_ejection() {
    let mut world = World::ejecting(after(1), 2);
    world.answer(0, Outcome::ServerError, 1);
    world.set_health(0, false);
    world.set_health(0, true);
    assert_eq!(world.ejected(), [0]);
}

#[test]
fn no_timer_without_outlier_detection() {
    let world = World::new(Policy::RoundRobin, &[1, 1], 1);
    assert_eq!(world.balancer.poll_timeout(), None);
    world.balancer.handle_timeout(Time::from_nanos(u64::MAX));
}

#[test]
fn a_zero_interval_does_not_make_a_busy_loop() {
    let limits = OutlierDetection {
        interval: Duration::ZERO,
        ..after(1)
    };
    let mut world = World::ejecting(limits, 2);
    let start = world.now;
    (0..10).for_each(|_| world.sweep());
    assert!(world.now.since(start) >= Duration::from_millis(10));
}

#[test]
fn frequent_reloads_do_not_put_the_sweep_off() {
    let mut world = World::ejecting(after(1), 2);
    let start = world.now;
    world.answer(0, Outcome::ServerError, 1);
    while world.ejected() == [0] {
        world.pass(Duration::from_millis(50));
        let settings = world.balancer.settings().clone();
        world.balancer = world
            .balancer
            .apply(settings, &endpoints(&[1, 1]), world.now);
        world.balancer.handle_timeout(world.now);
        assert!(world.now.since(start).as_secs() <= 40, "still away");
    }
    assert!(world.now.since(start).as_secs() >= 30, "came back too soon");
}

#[test]
fn switching_ejection_off_brings_endpoints_back() {
    let mut world = World::ejecting(after(1), 2);
    world.answer(0, Outcome::ServerError, 1);
    let ancestor = world.balancer;
    let settings = Settings::new(Policy::RoundRobin, None);
    world.balancer = ancestor.apply(settings, &endpoints(&[1, 1]), world.now);
    assert_eq!(world.ejected(), []);
    assert_eq!(world.balancer.available(), 2);
    assert_eq!(
        ancestor.available(),
        2,
        "requests on the older snapshot see it too"
    );
}

proptest! {
    #[test]
    fn never_more_away_than_allowed_but_one(
        endpoints in 1_usize..30,
        percent in 0_u32..=100,
        events in prop::collection::vec((0_u32..30, any::<bool>(), 0_u64..20), 1..200),
    ) {
        let limits = OutlierDetection { max_ejection_percent: percent, ..after(1) };
        let mut world = World::ejecting(limits, endpoints);
        let allowed = (endpoints * percent as usize / 100).max(1);
        let mut most = 0;
        for (index, good, seconds) in events {
            world.pass(Duration::from_secs(seconds));
            world.balancer.handle_timeout(world.now);
            if world.balancer.available() == 0 {
                continue;
            }
            // An endpoint that is away is not picked: whoever is picked instead answers.
            let others: Vec<u32> = (0..endpoints as u32).filter(|&i| i != index).collect();
            let pick = world.try_pick(&others).unwrap();
            let outcome = if good { Outcome::Success } else { Outcome::GatewayError };
            world.complete(pick, outcome);
            most = most.max(world.ejected().len());
            prop_assert_eq!(world.balancer.available(), endpoints - world.ejected().len());
        }
        prop_assert!(most <= allowed, "{} away, {} allowed", most, allowed);
    }
}
