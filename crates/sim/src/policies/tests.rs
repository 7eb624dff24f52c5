//! The published rules of the baselines that are the real balancer under another of its policies.

use alba::{Locality, Outcome, Rng, Time};

use super::sample::{at, servers};
use super::{NAMES, Setup, by_name};
use crate::policy::{Done, Policy, Request, Server};

/// A policy with attempts that are named and remembered.
struct Dispatcher {
    policy: Box<dyn Policy>,
    rng: Rng,
    attempts: Vec<(Server, Time)>,
}

impl Dispatcher {
    fn new(name: &str, count: u32, seed: u64) -> Self {
        let setup = Setup {
            dispatcher: 0,
            dispatchers: 1,
            locality: Locality::default(),
            work_s: 0.02,
        };
        let mut rng = Rng::seeded(seed);
        let mut policy = by_name(name).unwrap().policy(&setup);
        policy.set_servers(at(0.0), &servers(count), &mut rng);
        Self {
            policy,
            rng,
            attempts: Vec::new(),
        }
    }

    /// Sends a request; its attempt is the number of those before it.
    fn pick(&mut self, seconds: f64) -> Server {
        let request = Request {
            attempt: self.attempts.len() as u32,
            tried: &[],
            class: 0,
            zone: 0,
            truth: &[],
        };
        let picked = self
            .policy
            .pick(at(seconds), &request, &mut self.rng)
            .unwrap();
        self.attempts.push((picked, at(seconds)));
        picked
    }

    fn end(&mut self, attempt: usize, seconds: f64, outcome: Outcome) {
        let (server, sent) = self.attempts[attempt];
        let done = Done {
            attempt: attempt as u32,
            server,
            class: 0,
            sent,
            outcome,
            report: None,
        };
        self.policy.complete(at(seconds), &done, &mut self.rng);
    }

    /// Sends requests until one has gone to each of `count` servers, and returns those by server. The
    /// others are cancelled.
    fn one_each(&mut self, count: usize) -> Vec<usize> {
        let mut holders = vec![None; count];
        while holders.contains(&None) {
            let attempt = self.attempts.len();
            let server = self.pick(0.0) as usize;
            match holders[server] {
                None => holders[server] = Some(attempt),
                Some(_) => self.end(attempt, 0.0, Outcome::Cancelled),
            }
        }
        holders.into_iter().flatten().collect()
    }
}

#[test]
fn every_name_makes_a_policy_that_picks() {
    for name in NAMES {
        assert_eq!(by_name(name).unwrap().name(), *name);
        if *name != "oracle" {
            assert!(Dispatcher::new(name, 4, 1).pick(0.0) < 4, "{name}");
        }
    }
    assert!(by_name("no such policy").is_none());
}

#[test]
fn round_robin_takes_turns() {
    let mut dispatcher = Dispatcher::new("round_robin", 5, 11);
    let picks: Vec<Server> = (0..50).map(|_| dispatcher.pick(0.0)).collect();
    for pair in picks.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % 5, "{picks:?}");
    }
}

#[test]
fn random_is_uniform_whatever_is_in_flight() {
    let mut dispatcher = Dispatcher::new("random", 5, 12);
    let mut counts = [0; 5];
    (0..10_000).for_each(|_| counts[dispatcher.pick(0.0) as usize] += 1);
    assert!(
        counts.iter().all(|n| (1_850..2_150).contains(n)),
        "seed 12: {counts:?}"
    );
}

#[test]
fn least_request_takes_the_fewest_own_in_flight_of_all() {
    let mut dispatcher = Dispatcher::new("least_request", 8, 13);
    let mut rng = Rng::seeded(14);
    let mut in_flight = [0_u32; 8];
    let mut open = Vec::new();
    for _ in 0..500 {
        let least = in_flight.iter().min().copied().unwrap();
        let picked = dispatcher.pick(0.0);
        assert_eq!(in_flight[picked as usize], least, "seed 13: {in_flight:?}");
        in_flight[picked as usize] += 1;
        open.push(dispatcher.attempts.len() - 1);
        while rng.below(2) == 0 && !open.is_empty() {
            let attempt = open.swap_remove(rng.below(open.len() as u32) as usize);
            in_flight[dispatcher.attempts[attempt].0 as usize] -= 1;
            dispatcher.end(attempt, 0.0, Outcome::Success);
        }
    }
}

#[test]
fn least_request_breaks_ties_at_random() {
    let mut first = [0; 4];
    for seed in 0..800 {
        first[Dispatcher::new("least_request", 4, seed).pick(0.0) as usize] += 1;
    }
    assert!(first.iter().all(|n| (150..250).contains(n)), "{first:?}");
}

/// Two different random servers are compared: with loads all different, the most loaded is never picked
/// and the others win against those below them.
#[test]
fn p2c_takes_the_lesser_of_two_different_ones() {
    let mut dispatcher = Dispatcher::new("p2c", 3, 15);
    // Loads of 0, 1 and 2 at servers 0, 1 and 2.
    let mut loads = [0; 3];
    while loads != [0, 1, 2] {
        let attempt = dispatcher.attempts.len();
        let server = dispatcher.pick(0.0) as usize;
        if loads[server] < server {
            loads[server] += 1;
        } else {
            dispatcher.end(attempt, 0.0, Outcome::Cancelled);
        }
    }
    let mut counts = [0; 3];
    for _ in 0..3_000 {
        let attempt = dispatcher.attempts.len();
        counts[dispatcher.pick(0.0) as usize] += 1;
        dispatcher.end(attempt, 0.0, Outcome::Cancelled);
    }
    assert_eq!(counts[2], 0, "seed 15: {counts:?}");
    assert!((1_900..2_100).contains(&counts[0]), "seed 15: {counts:?}");
}

/// Linkerd's load is `latency × (pending + 1)`, or the penalty if that is more.
#[test]
fn peak_ewma_weighs_latency_by_pending_and_fears_failures() {
    let mut dispatcher = Dispatcher::new("peak_ewma", 2, 16);
    let holders = dispatcher.one_each(2);
    dispatcher.end(holders[0], 0.010, Outcome::Success);
    dispatcher.end(holders[1], 0.025, Outcome::Success);
    // 10 ms × 1, then × 2 against 25 ms × 1, then 10 ms × 3 against it.
    let picks = [(); 3].map(|()| dispatcher.pick(0.025));
    assert_eq!(picks, [0, 0, 1]);

    let failed = dispatcher.attempts.len() - 3;
    dispatcher.end(failed, 0.030, Outcome::ServerError);
    // Now 5 s against 25 ms × 2, × 3, …
    let picks = [(); 5].map(|()| dispatcher.pick(0.030));
    assert_eq!(picks, [1; 5]);
}
