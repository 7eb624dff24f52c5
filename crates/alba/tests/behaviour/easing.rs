//! Slow start: who is eased in, how fast, and by which policies.

use std::time::Duration;

use alba::{Outcome, OutlierDetection, Policy, Settings, SlowStart};

use crate::world::{World, endpoints, policies};

fn warmup(seconds: u64) -> SlowStart {
    SlowStart {
        duration: Duration::from_secs(seconds),
        aggression: 1.0,
        minimum_percent: 10.0,
    }
}

fn settings(policy: Policy) -> Settings {
    let mut settings = Settings::new(policy, None);
    settings.slow_start = Some(warmup(100));
    settings
}

impl World {
    /// A list of `count` equal endpoints from now on.
    fn resize(&mut self, count: usize) {
        let settings = self.balancer.settings().clone();
        self.balancer = self
            .balancer
            .apply(settings, &endpoints(&vec![1; count]), self.now);
    }

    /// Lets `seconds` pass, with every deadline kept.
    fn pass_with_deadlines(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.balancer.poll_timeout()
            && due <= end
        {
            assert!(due > self.now, "a deadline lies ahead");
            self.now = due;
            self.balancer.handle_timeout(due);
        }
        self.now = end;
    }

    fn weights(&self) -> Vec<f64> {
        let views = self.balancer.endpoints(self.now);
        views.map(|view| view.effective_weight).collect()
    }
}

#[test]
fn the_first_endpoints_have_their_whole_weight() {
    let mut world = World::with(settings(Policy::RoundRobin), &[1; 3], 1);
    assert_eq!(world.weights(), [1.0; 3]);
    assert_eq!(world.shares(30), [10; 3]);
    world
        .balancer
        .handle_timeout(world.balancer.poll_timeout().unwrap());
    assert_eq!(world.balancer.poll_timeout(), None, "nothing is left to do");
    let mut world = World::with(settings(Policy::RoundRobin), &[], 1);
    world.resize(3);
    assert_eq!(
        world.weights(),
        [1.0; 3],
        "a list that was empty is as good as new"
    );
}

#[test]
fn who_joins_gets_its_share_step_by_step() {
    for policy in [
        Policy::RoundRobin,
        Policy::Random,
        Policy::LeastRequest { choices: 2 },
    ] {
        let mut world = World::with(settings(policy.clone()), &[1; 3], 1);
        world.resize(4);
        for (seconds, share) in [(0, 0.1), (50, 0.5), (25, 0.75), (75, 1.0)] {
            world.pass_with_deadlines(seconds);
            assert!(
                (world.weights()[3] - share).abs() < 1e-9,
                "{:?}",
                world.weights()
            );
            let shares = world.shares(40_000);
            let expected = 40_000.0 * share / (3.0 + share);
            let error = f64::from(shares[3]) - expected;
            assert!(error.abs() < 400.0, "{policy:?} at {share}: {shares:?}");
        }
        assert_eq!(world.balancer.poll_timeout(), None);
    }
}

#[test]
fn least_request_fills_whom_it_eases_in_by_effective_weight() {
    let policy = Policy::LeastRequest { choices: 4 };
    let mut world = World::with(settings(policy), &[1; 3], 1);
    world.resize(4);
    world.pass_with_deadlines(50);
    let _held: Vec<_> = (0..350).map(|_| world.pick()).collect();
    assert_eq!(world.in_flight(), [100, 100, 100, 50]);
}

#[test]
fn who_is_well_again_is_eased_in_and_who_comes_back_from_an_ejection_is_not() {
    let mut settings = settings(Policy::RoundRobin);
    settings.outlier_detection = Some(OutlierDetection {
        consecutive_5xx: 1,
        base_ejection_time: Duration::from_secs(1),
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    });
    let mut world = World::with(settings, &[1; 4], 1);
    world.set_health(2, false);
    world.pass_with_deadlines(500);
    world.set_health(2, true);
    assert_eq!(world.weights(), [1.0, 1.0, 0.1, 1.0]);
    world.pass_with_deadlines(40);
    assert_eq!(world.weights(), [1.0, 1.0, 0.4, 1.0]);
    world.set_health(2, true);
    assert_eq!(world.weights(), [1.0, 1.0, 0.4, 1.0], "that was no news");
    world.pass_with_deadlines(100);
    world.answer(1, Outcome::ServerError, 1);
    assert_eq!(world.weights(), [1.0, 0.0, 1.0, 1.0]);
    world.pass_with_deadlines(20);
    assert_eq!(world.weights(), [1.0; 4]);
}

#[test]
fn reloads_do_not_start_it_again() {
    let mut world = World::with(settings(Policy::Random), &[1; 3], 1);
    world.resize(4);
    for _ in 0..25 {
        world.pass_with_deadlines(1);
        world.resize(4);
    }
    assert!(
        (world.weights()[3] - 0.25).abs() < 1e-9,
        "{:?}",
        world.weights()
    );
    let shares = world.shares(32_500);
    assert!((2_200..2_800).contains(&shares[3]), "{shares:?}");
}

#[test]
fn every_policy_still_picks() {
    for policy in policies() {
        let mut world = World::with(settings(policy.clone()), &[u32::MAX, 1], 1);
        let list = endpoints(&[u32::MAX, 1, u32::MAX]);
        let settings = world.balancer.settings().clone();
        world.balancer = world.balancer.apply(settings, &list, world.now);
        for _ in 0..10 {
            world.pass_with_deadlines(13);
            assert_eq!(world.shares(10).iter().sum::<u32>(), 10, "{policy:?}");
        }
    }
}
