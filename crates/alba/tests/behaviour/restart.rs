//! What goes from one process to the next.

use std::time::Duration;

use alba::{
    Aged, Alba, Completion, Learned, LearnedEndpoint, Outcome, OutlierDetection, Policy, Rng,
    Settings, SlowStart, Time,
};

use crate::world::{World, policies};

const ENDPOINTS: usize = 8;
const PICKS: usize = 1000;

fn settings(policy: Policy) -> Settings {
    let outlier = OutlierDetection {
        consecutive_5xx: 5,
        max_ejection_percent: 50,
        ..OutlierDetection::default()
    };
    let mut settings = Settings::new(policy, Some(outlier));
    settings.slow_start = Some(SlowStart {
        duration: Duration::from_secs(60),
        aggression: 1.0,
        minimum_percent: 10.0,
    });
    settings
}

/// A world in which endpoint `i` takes `i` times as long as the first, the last but one sometimes fails, and the last
/// is ejected.
fn experienced(policy: Policy, seed: u64) -> World {
    let mut world = World::with(settings(policy), &[1; ENDPOINTS], seed);
    for round in 0..2000 {
        let pick = world.pick();
        let index = pick.index();
        let sent = world.now;
        world.pass(Duration::from_millis(2));
        let answered = sent + Duration::from_millis(5) * (index + 1);
        let outcome = match index {
            6 if round % 3 == 0 => Outcome::GatewayError,
            _ => Outcome::Success,
        };
        let done = Completion::new(outcome, answered).with_first_byte(answered);
        world.balancer.complete(pick, done);
    }
    world.set_health(5, false);
    if world.ejected().is_empty() {
        world.answer(7, Outcome::ServerError, 5);
    }
    world.pass(Duration::from_millis(700));
    world
}

/// The same endpoints in a process that knows nothing of them; its clock started elsewhere.
fn cold(policy: Policy) -> World {
    let mut world = World::with(settings(policy), &[1; ENDPOINTS], 0);
    world.now = Time::from_nanos(200_000_000_000);
    world
}

/// What each draws with the same numbers, in picks that leave nothing behind.
fn picks(world: &mut World) -> Vec<u32> {
    world.rng = Rng::seeded(99);
    (0..PICKS)
        .map(|_| {
            let pick = world.pick();
            let index = pick.index();
            world.complete(pick, Outcome::Cancelled);
            index
        })
        .collect()
}

fn same(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).filter(|(a, b)| a == b).count()
}

#[test]
fn a_restored_balancer_picks_as_the_one_before() {
    for (seed, policy) in (1..).zip(policies()) {
        let mut before = experienced(policy.clone(), seed);
        let mut after = cold(policy.clone());
        let learned = before.balancer.learned(before.now);
        after.balancer.restore(&learned, after.now);
        assert_eq!(after.ejected(), before.ejected(), "{policy:?}");
        let views = |world: &World| -> Vec<_> {
            let views = world.balancer.endpoints(world.now);
            views
                .map(|view| {
                    let left = view.ejected_until.map(|until| until.since(world.now));
                    (view.healthy, view.latency, left)
                })
                .collect()
        };
        assert_eq!(views(&after), views(&before), "{policy:?}");
        let expected = picks(&mut before);
        // Numbers are rounded on the way, which may turn a close call.
        let agreed = same(&picks(&mut after), &expected);
        assert!(agreed >= PICKS * 99 / 100, "{policy:?}: {agreed}");
    }
}

#[test]
fn a_cold_one_does_not() {
    let policy = Policy::Alba(Alba::default());
    let mut before = experienced(policy.clone(), 7);
    let expected = picks(&mut before);
    let agreed = same(&picks(&mut cold(policy)), &expected);
    assert!(agreed < PICKS * 9 / 10, "{agreed}");
}

#[test]
fn what_was_learned_survives_being_restored_and_told_again() {
    let before = experienced(Policy::Alba(Alba::default()), 3);
    let learned = before.balancer.learned(before.now);
    let after = cold(Policy::Alba(Alba::default()));
    after.balancer.restore(&learned, after.now);
    let again = after.balancer.learned(after.now);
    assert_eq!(again.pool, learned.pool);
    assert_eq!(again.endpoints.len(), ENDPOINTS);
    for (again, learned) in again.endpoints.iter().zip(&learned.endpoints) {
        assert_eq!(again.ejected_for_s, learned.ejected_for_s);
        assert_eq!(again.ejections_in_row, learned.ejections_in_row);
        assert_eq!(again.healthy, learned.healthy);
    }
}

#[test]
fn the_absurd_and_the_unknown_are_ignored() {
    for absurd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        let mut learned = Learned::default();
        let pair = [absurd; 2];
        (learned.pool.others, learned.pool.ratios) = (pair, pair);
        (learned.pool.reported, learned.pool.failing) = (pair, absurd);
        learned.pool.late_s = Some(absurd);
        (learned.pool.reports, learned.pool.slowness) = ([pair; 5], [pair; 5]);
        learned.pool.line.time = pair;
        learned.pool.line.queue = pair;
        learned.pool.line.fit = pair;
        learned.pool.line.answers = u32::MAX;
        let value = |value, age_s| Some(Aged { value, age_s });
        for id in 0..=ENDPOINTS as u64 {
            let mut endpoint = LearnedEndpoint::default();
            endpoint.id = id;
            endpoint.latency = value(absurd, 0.0);
            endpoint.penalty = value(1.0, absurd);
            endpoint.others = value(absurd, absurd);
            (endpoint.ratios, endpoint.outcomes) = (pair, pair);
            endpoint.draining_for_s = absurd;
            endpoint.joined_ago_s = Some(absurd);
            endpoint.ejected_for_s = Some(absurd);
            endpoint.ejections_in_row = u32::MAX;
            learned.endpoints.push(endpoint);
        }
        for policy in policies() {
            let (mut restored, mut fresh) = (cold(policy.clone()), cold(policy.clone()));
            restored.balancer.restore(&learned, restored.now);
            assert_eq!(
                picks(&mut restored),
                picks(&mut fresh),
                "{policy:?} {absurd}"
            );
        }
    }
}

#[test]
fn no_more_are_put_aside_than_may_be() {
    let mut learned = Learned::default();
    for id in 0..ENDPOINTS as u64 {
        let mut endpoint = LearnedEndpoint::default();
        endpoint.id = id;
        endpoint.ejected_for_s = Some(10.0);
        learned.endpoints.push(endpoint);
    }
    let world = cold(Policy::RoundRobin);
    world.balancer.restore(&learned, world.now);
    assert_eq!(world.ejected(), [0, 1, 2, 3]);
}
