//! Ejection for a success rate below the others', and for failing too large a share.

use std::time::Duration;

use alba::{FailurePercentage, Outcome, OutlierDetection, SuccessRate};

use crate::world::World;

/// Nothing but these rules ejects.
fn only(
    success_rate: Option<SuccessRate>,
    failure_percentage: Option<FailurePercentage>,
) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 0,
        max_ejection_percent: 100,
        success_rate,
        failure_percentage,
        ..OutlierDetection::default()
    }
}

fn by_success_rate() -> OutlierDetection {
    only(Some(SuccessRate::default()), None)
}

fn by_failure_percentage() -> OutlierDetection {
    only(None, Some(FailurePercentage::default()))
}

impl World {
    /// `requests` to each endpoint, of which each fails as many as are listed.
    fn fail(&mut self, requests: u32, failures: &[u32]) {
        for (index, &failures) in (0..).zip(failures) {
            if !self.ejected().contains(&index) {
                self.answer(index, Outcome::ServerError, failures);
                self.answer(index, Outcome::Success, requests - failures);
            }
        }
    }
}

#[test]
fn an_endpoint_far_below_the_others_is_ejected_at_the_sweep() {
    let mut world = World::ejecting(by_success_rate(), 6);
    world.fail(100, &[1, 0, 2, 20, 1, 0]);
    assert_eq!(world.ejected(), []);
    world.sweep();
    assert_eq!(world.ejected(), [3]);
    (0..3).for_each(|_| world.sweep());
    assert_eq!(world.ejected(), [], "30 s are over");
}

#[test]
fn the_rule_is_a_number_of_standard_deviations() {
    // Rates 1, 1, 1, 1 and r: the last is 2 deviations below the mean, whatever r is.
    for (stdev_factor, ejects) in [(1.9, true), (2.1, false), (-1.0, true)] {
        let rule = SuccessRate {
            stdev_factor,
            ..SuccessRate::default()
        };
        let mut world = World::ejecting(only(Some(rule), None), 5);
        world.fail(100, &[0, 0, 0, 0, 30]);
        world.sweep();
        assert_eq!(world.ejected() == [4], ejects, "{stdev_factor}");
    }
}

#[test]
fn all_failing_alike_ejects_none_by_rate_and_all_by_percentage() {
    let failures = [90; 6];
    let mut world = World::ejecting(by_success_rate(), 6);
    world.fail(100, &failures);
    world.sweep();
    assert_eq!(world.ejected(), []);
    let mut world = World::ejecting(by_failure_percentage(), 6);
    world.fail(100, &failures);
    world.sweep();
    assert_eq!(world.ejected(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_threshold_itself_is_too_much() {
    let mut world = World::ejecting(by_failure_percentage(), 6);
    world.fail(100, &[0, 84, 85, 100, 0, 0]);
    world.sweep();
    assert_eq!(world.ejected(), [2, 3]);
}

#[test]
fn too_few_endpoints_or_requests_say_nothing() {
    for rule in [by_success_rate(), by_failure_percentage()] {
        let volume = if rule.success_rate.is_some() { 100 } else { 50 };
        let mut world = World::ejecting(rule.clone(), 4);
        world.fail(volume, &[0, 0, 0, volume]);
        world.sweep();
        assert_eq!(world.ejected(), [], "four endpoints");

        let mut world = World::ejecting(rule.clone(), 6);
        world.fail(volume - 1, &[0, 0, 0, 0, 0, volume - 1]);
        world.sweep();
        assert_eq!(world.ejected(), [], "too few requests");
        world.fail(volume - 1, &[0, 0, 0, 0, 0, volume - 1]);
        world.sweep();
        assert_eq!(world.ejected(), [], "counted from sweep to sweep");

        // Five with enough requests, of six.
        let mut world = World::ejecting(rule, 6);
        world.fail(volume, &[0, 0, 0, 0]);
        world.answer(5, Outcome::Timeout, volume);
        world.answer(5, Outcome::Cancelled, volume);
        world.sweep();
        assert_eq!(world.ejected(), [5]);
    }
}

#[test]
fn not_more_are_away_than_allowed() {
    let mut rule = by_failure_percentage();
    rule.max_ejection_percent = 20;
    let mut world = World::ejecting(rule, 10);
    world.fail(100, &[100; 10]);
    world.sweep();
    assert_eq!(world.ejected().len(), 2);
}

#[test]
fn enforcement_is_a_chance() {
    let rule = |enforcement_percent| FailurePercentage {
        enforcement_percent,
        ..FailurePercentage::default()
    };
    let mut ejected = 0;
    for round in 0..40 {
        let mut world = World::ejecting(only(None, Some(rule(50))), 10);
        world
            .balancer
            .handle_timeout(world.now + Duration::from_millis(round));
        world.fail(50, &[50; 10]);
        world.pass(Duration::from_millis(10_000 + 997 * round));
        world.balancer.handle_timeout(world.now);
        ejected += world.ejected().len();
    }
    assert!((150..250).contains(&ejected), "{ejected} of 400");
    let mut world = World::ejecting(only(None, Some(rule(0))), 10);
    world.fail(50, &[50; 10]);
    world.sweep();
    assert_eq!(world.ejected(), []);
}

#[test]
fn ejections_in_a_row_last_longer() {
    let mut world = World::ejecting(by_failure_percentage(), 6);
    let mut lasted = Vec::new();
    for _ in 0..3 {
        world.fail(100, &[0, 0, 0, 0, 0, 100]);
        world.sweep();
        let start = world.now;
        while world.ejected() == [5] {
            world.sweep();
        }
        lasted.push(world.now.since(start).as_secs());
    }
    assert_eq!(lasted, [30, 60, 90]);
}
