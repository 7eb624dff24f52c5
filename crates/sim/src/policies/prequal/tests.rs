use super::*;
use crate::policies::sample::{at, completed, load, request, servers};

/// Nothing is probed or removed by itself.
fn still() -> PrequalSettings {
    PrequalSettings {
        probes_per_query: 0.0,
        removals_per_query: 0.0,
        ..PrequalSettings::default()
    }
}

fn prequal(settings: PrequalSettings, count: u32) -> (Prequal, Rng) {
    let (mut policy, mut rng) = (Prequal::new(settings), Rng::seeded(9));
    policy.set_servers(at(0.0), &servers(count), &mut rng);
    (policy, rng)
}

/// Probes of `(in flight, latency in ms)` from servers 0, 1, …
fn probe(policy: &mut Prequal, seconds: f64, loads: &[(u32, u64)]) {
    for (server, &(in_flight, latency_ms)) in (0..).zip(loads) {
        policy.probed(at(seconds), server, Some(&load(in_flight, latency_ms)));
    }
}

#[test]
fn a_query_goes_to_the_cold_probe_of_least_latency() {
    let (mut policy, mut rng) = prequal(
        PrequalSettings {
            q_rif: 0.75,
            ..still()
        },
        4,
    );
    // The third of four counts in order is 4: only server 1 is hot, and it is the fastest.
    probe(&mut policy, 0.0, &[(4, 20), (9, 5), (1, 30), (2, 40)]);
    assert_eq!(policy.recent.quantile(0.75), 4);
    assert_eq!(policy.pick(at(0.1), &request(&[]), &mut rng), Some(0));
    // Its own query makes server 0 hot.
    assert_eq!(policy.pool.probe(0).map(|probe| probe.in_flight), Some(5));
    assert_eq!(policy.pick(at(0.1), &request(&[]), &mut rng), Some(2));
}

#[test]
fn if_all_are_hot_the_fewest_in_flight_win() {
    let (mut policy, mut rng) = prequal(
        PrequalSettings {
            q_rif: 0.5,
            ..still()
        },
        5,
    );
    probe(&mut policy, 0.0, &[(1, 1), (1, 1), (1, 1), (1, 1), (1, 1)]);
    policy.pool.retain(|_| false);
    policy.probed(at(0.1), 0, Some(&load(7, 1)));
    policy.probed(at(0.1), 1, Some(&load(5, 90)));
    policy.probed(at(0.1), 2, Some(&load(6, 1)));
    // Recent probes that have left the pool count too: the median is 1.
    assert_eq!(policy.recent.quantile(0.5), 1);
    assert_eq!(policy.pick(at(0.1), &request(&[]), &mut rng), Some(1));
}

#[test]
fn the_ends_of_the_quantile_are_in_flight_alone_and_latency_alone() {
    for (q_rif, expected) in [(0.0, 1), (1.0, 0)] {
        let (mut policy, mut rng) = prequal(PrequalSettings { q_rif, ..still() }, 2);
        probe(&mut policy, 0.0, &[(9, 10), (2, 50)]);
        assert_eq!(
            policy.pick(at(0.0), &request(&[]), &mut rng),
            Some(expected)
        );
    }
}

#[test]
fn fewer_than_two_probes_leave_it_to_chance() {
    let (mut policy, mut rng) = prequal(still(), 50);
    let mut picked = [0; 50];
    for turn in 0..500 {
        let now = f64::from(turn);
        policy.probed(at(now), 3, Some(&load(0, 1)));
        picked[policy.pick(at(now), &request(&[]), &mut rng).unwrap() as usize] += 1;
    }
    assert!(picked.iter().all(|count| *count < 40), "seed 9: {picked:?}");
}

#[test]
fn the_reuse_budget_is_the_papers() {
    let reuse = |probes_per_query, removals_per_query, servers| {
        let settings = PrequalSettings {
            probes_per_query,
            removals_per_query,
            ..PrequalSettings::default()
        };
        settings.reuse(servers)
    };
    // (1 + 1) / (0.84 × 3 − 1)
    assert!((reuse(3.0, 1.0, 100) - 2.0 / 1.52).abs() < 1e-9);
    assert!((reuse(1.0, 0.25, 100) - 2.0 / 0.59).abs() < 1e-9);
    assert_eq!(reuse(10.0, 1.0, 1_000), 1.0);
    assert_eq!(reuse(3.0, 1.0, 10), f64::INFINITY);
}

#[test]
fn fractions_of_the_reuse_budget_are_rounded_at_random() {
    let settings = PrequalSettings {
        probes_per_query: 3.0,
        ..PrequalSettings::default()
    };
    let (mut policy, mut rng) = prequal(settings, 100);
    let mut uses = 0;
    for _ in 0..200 {
        probe(&mut policy, 0.0, &[(1, 1), (1, 1), (1, 1), (1, 1), (1, 1)]);
        policy.pick(at(0.0), &request(&[]), &mut rng);
        probe(&mut policy, 0.0, &[(1, 1)]);
        let left = policy.pool.probe(0).map_or(0, |probe| probe.uses_left);
        assert!(left == 1 || left == 2, "{left}");
        uses += left;
    }
    // 2 / 1.52 = 1.316 on average.
    assert!((240..=286).contains(&uses), "seed 9: {uses}");
}

#[test]
fn a_probe_directs_as_many_queries_as_its_budget_and_no_more() {
    let settings = PrequalSettings {
        pool: 1,
        delta: 2.0,
        probes_per_query: 1.0,
        ..still()
    };
    // (1 + 2) / (1 − 1/2) = 6 uses with two servers.
    let (mut policy, mut rng) = prequal(
        PrequalSettings {
            pool: 16,
            ..settings
        },
        32,
    );
    assert_eq!(policy.settings.reuse(32), 6.0);
    probe(&mut policy, 0.0, &[(0, 1), (99, 99)]);
    let picks: Vec<_> = (0..6)
        .map(|_| policy.pick(at(0.0), &request(&[]), &mut rng))
        .collect();
    assert_eq!(picks, vec![Some(0); 6]);
    assert_eq!(policy.pool.servers(), [1]);
}

#[test]
fn probes_age_out_and_the_pool_drops_its_oldest() {
    let settings = PrequalSettings { pool: 3, ..still() };
    let (mut policy, mut rng) = prequal(settings, 5);
    for server in 0..4 {
        policy.probed(at(0.1 * f64::from(server)), server, Some(&load(1, 1)));
    }
    assert_eq!(policy.pool.servers(), [1, 2, 3]);
    policy.probed(at(0.5), 2, Some(&load(1, 1)));
    assert_eq!(
        policy.pool.servers(),
        [1, 3, 2],
        "the newer replaces the older"
    );
    policy.pick(at(1.2), &request(&[]), &mut rng);
    assert_eq!(policy.pool.servers(), [3, 2]);
    policy.probed(at(1.2), 4, None);
    assert_eq!(policy.pool.servers(), [3, 2], "a lost probe says nothing");
}

#[test]
fn each_query_removes_the_oldest_and_the_worst_in_turn() {
    let settings = PrequalSettings {
        removals_per_query: 0.5,
        q_rif: 0.5,
        ..still()
    };
    let (mut policy, mut rng) = prequal(settings, 6);
    let loads = [(1, 9), (8, 2), (1, 7), (1, 1), (9, 3), (1, 8)];
    probe(&mut policy, 0.0, &loads);
    let mut after = |policy: &mut Prequal| {
        policy.pick(at(0.0), &request(&[]), &mut rng);
        policy.pick(at(0.0), &request(&[]), &mut rng);
        policy.pool.servers()
    };
    // Queries go to server 3 and then elsewhere, since it gets hot; half a removal each.
    assert_eq!(after(&mut policy), [1, 2, 3, 4, 5], "the oldest");
    assert_eq!(
        after(&mut policy),
        [1, 2, 3, 5],
        "the hot one with the most in flight"
    );
    assert_eq!(after(&mut policy), [2, 3, 5], "the oldest");
}

#[test]
fn without_hot_probes_the_slowest_is_the_worst() {
    let mut pool = Pool::default();
    for (server, latency_ms) in [(0, 5), (1, 50), (2, 7)] {
        let probe = Probe {
            server,
            in_flight: 1,
            latency: Duration::from_millis(latency_ms),
            received: at(0.0),
            uses_left: 1,
        };
        pool.insert(probe, 16);
    }
    pool.remove_worst(1);
    assert_eq!(pool.servers(), [0, 2]);
}

#[test]
fn probe_rates_may_be_fractions_and_targets_differ() {
    let settings = PrequalSettings {
        probes_per_query: 1.5,
        ..still()
    };
    let (mut policy, mut rng) = prequal(settings, 3);
    let mut sizes = Vec::new();
    for _ in 0..6 {
        let mut out = Vec::new();
        policy.pick(at(0.0), &request(&[]), &mut rng);
        policy.probes(at(0.0), &mut rng, &mut out);
        sizes.push(out.len());
        out.sort_unstable();
        out.dedup();
        assert_eq!(out.len(), sizes[sizes.len() - 1], "without replacement");
    }
    assert_eq!(sizes, [1, 2, 1, 2, 1, 2]);
}

#[test]
fn an_idle_client_probes_if_told_to() {
    let idle = Some(Duration::from_millis(200));
    let (mut policy, mut rng) = prequal(
        PrequalSettings {
            idle,
            probes_per_query: 2.0,
            ..still()
        },
        8,
    );
    assert_eq!(policy.next_tick(), Some(at(0.2)));
    policy.pick(at(0.1), &request(&[]), &mut rng);
    let mut out = Vec::new();
    policy.probes(at(0.1), &mut rng, &mut out);
    policy.tick(policy.next_tick().unwrap(), &mut rng);
    policy.probes(at(0.3), &mut rng, &mut out);
    assert_eq!(out.len(), 4);
    assert_eq!(policy.next_tick().map(|due| due.since(at(0.3))), idle);
}

/// So many answers of each server, by number.
fn answer(policy: &mut Prequal, seconds: f64, counts: &[usize], outcome: Outcome) {
    for (server, &count) in (0..).zip(counts) {
        for _ in 0..count {
            let done = completed(server, seconds, outcome, None);
            policy.complete(at(seconds), &done, &mut Rng::seeded(0));
        }
    }
}

#[test]
fn a_failing_server_is_passed_over_until_it_is_forgotten() {
    let (mut policy, mut rng) = prequal(still(), 3);
    answer(&mut policy, 0.0, &[0, 5, 5], Outcome::Success);
    answer(&mut policy, 0.0, &[1, 0, 0], Outcome::ServerError);
    probe(&mut policy, 0.0, &[(0, 1), (5, 20), (5, 30)]);
    assert_eq!(policy.pick(at(0.0), &request(&[]), &mut rng), Some(1));
    // One failure against one imagined success: below a tenth after ln 9 × 10 s.
    policy.take_mean(at(23.0));
    assert!(policy.is_averse(0, at(21.0)) && !policy.is_averse(0, at(23.0)));
}

#[test]
fn one_that_attracts_all_requests_is_passed_over_and_none_if_all_fail() {
    let (mut policy, _) = prequal(still(), 10);
    let mut failures = [0; 10];
    failures[4] = 1_000;
    answer(&mut policy, 1.0, &[5; 10], Outcome::Success);
    answer(&mut policy, 1.0, &failures, Outcome::ServerError);
    policy.take_mean(at(1.0));
    assert!(policy.is_averse(4, at(1.0)) && !policy.is_averse(3, at(1.0)));
    answer(&mut policy, 1.0, &[1_000; 10], Outcome::Timeout);
    policy.take_mean(at(2.0));
    assert!((0..10).all(|server| !policy.is_averse(server, at(2.0))));
}
