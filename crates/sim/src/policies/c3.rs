//! C3's replica ranking (Suresh, Canini, Schmid, Feldmann, NSDI 2015, section 3.1).
//!
//! A server's score is `R − 1/µ + q̂³ × 1/µ`, the least wins, where `R` is the response time that the
//! dispatcher saw, `1/µ` the time that the server says it took, and `q̂ = 1 + outstanding × n + q` is the
//! queue that a request would meet: own outstanding requests there, as if all `n` dispatchers had as many,
//! and the queue that the server reported. `R`, `1/µ` and `q` are moving averages in which a new sample
//! counts 0.9 (`updateEma` of the authors' simulator, lalithsuresh/absim, `simulations/client.py`). A server
//! that has not answered yet is taken for one with an empty queue that is as fast as the others are on
//! average; the simulator's score of 0 would send it everything until it does.
//!
//! Servers here share their cores instead of queueing, so the reported requests in flight stand for the
//! queue and the reported latency for the service time, as in Prequal's comparison (NSDI 2024, section 5.2).
//! Without a report the response time stands for both. Failures are no samples: the paper has none, and
//! counted, a server that fails at once would look fast.
//!
//! Left out: the cubic rate control (section 3.2). It holds requests back at the client while every replica
//! is over its rate; here a request that arrives is sent.

use alba::{Locality, Outcome, Rng, Time};

use super::members::Members;
use crate::policy::{Done, Policy, Request, Server};

/// Weight of a new sample.
const ALPHA: f64 = 0.9;
/// Weight of a new sample in what is usual.
const USUAL: f64 = 0.01;

/// C3's ranking.
#[derive(Debug)]
pub(crate) struct C3 {
    members: Members<Replica>,
    /// The paper's `n`.
    dispatchers: f64,
    /// Over all servers, for those that have not answered.
    usual: Option<Averages>,
}

/// What is known of a server.
#[derive(Debug, Default)]
struct Replica {
    outstanding: u32,
    averages: Option<Averages>,
}

#[derive(Debug, Clone, Copy)]
struct Averages {
    response_s: f64,
    service_s: f64,
    queue: f64,
}

impl C3 {
    /// One of `dispatchers` clients of the same servers.
    pub(crate) fn new(dispatchers: u32) -> Self {
        Self {
            members: Members::default(),
            dispatchers: f64::from(dispatchers),
            usual: None,
        }
    }

    /// What is assumed of a server that has not answered; before any has, only the queue matters.
    fn usual(&self) -> Averages {
        let unknown = Averages {
            response_s: 1.0,
            service_s: 1.0,
            queue: 0.0,
        };
        Averages {
            queue: 0.0,
            ..self.usual.unwrap_or(unknown)
        }
    }
}

impl Replica {
    fn score(&self, dispatchers: f64, usual: Averages) -> f64 {
        let averages = self.averages.unwrap_or(usual);
        let queue = 1.0 + f64::from(self.outstanding) * dispatchers + averages.queue;
        averages.response_s - averages.service_s + queue.powi(3) * averages.service_s
    }
}

impl Averages {
    /// What these become by a new sample.
    fn mixed(self, sample: Self, weight: f64) -> Self {
        let mix = |old: f64, new: f64| weight * new + (1.0 - weight) * old;
        Self {
            response_s: mix(self.response_s, sample.response_s),
            service_s: mix(self.service_s, sample.service_s),
            queue: mix(self.queue, sample.queue),
        }
    }
}

impl Policy for C3 {
    fn set_servers(&mut self, _now: Time, servers: &[(Server, Locality)], _rng: &mut Rng) {
        self.members.set(servers);
    }

    fn pick(&mut self, _now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        let n = self.dispatchers;
        let usual = self.usual();
        let picked = self
            .members
            .cheapest(request.tried, rng, |_, replica| replica.score(n, usual))?;
        self.members[picked].outstanding += 1;
        Some(picked)
    }

    fn complete(&mut self, now: Time, done: &Done, _rng: &mut Rng) {
        let replica = &mut self.members[done.server];
        replica.outstanding = replica.outstanding.saturating_sub(1);
        if done.outcome == Outcome::Success {
            let response_s = now.since(done.sent).as_secs_f64();
            let latency = done.report.and_then(|report| report.latency);
            let queue = done.report.and_then(|report| report.in_flight);
            let sample = Averages {
                response_s,
                service_s: latency.map_or(response_s, |latency| latency.as_secs_f64()),
                queue: queue.map_or(0.0, f64::from),
            };
            let mixed =
                |old: Option<Averages>, weight| old.map_or(sample, |old| old.mixed(sample, weight));
            replica.averages = Some(mixed(replica.averages, ALPHA));
            self.usual = Some(mixed(self.usual, USUAL));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::sample::{at, completed, load, request, servers};

    fn c3(count: u32, dispatchers: u32) -> (C3, Rng) {
        let (mut policy, mut rng) = (C3::new(dispatchers), Rng::seeded(6));
        policy.set_servers(at(0.0), &servers(count), &mut rng);
        (policy, rng)
    }

    /// An answer after 12 ms that says the server took `latency_ms` and held `in_flight`.
    fn answer(policy: &mut C3, server: Server, in_flight: u32, latency_ms: u64) {
        let report = Some(load(in_flight, latency_ms));
        let done = completed(server, 1.0, Outcome::Success, report);
        policy.complete(at(1.012), &done, &mut Rng::seeded(0));
    }

    #[track_caller]
    fn assert_score(policy: &C3, server: Server, expected: f64) {
        let score = policy.members[server].score(policy.dispatchers, policy.usual());
        assert!((score - expected).abs() < 1e-9, "{score} is not {expected}");
    }

    #[test]
    fn the_score_is_the_papers() {
        let (mut policy, _) = c3(1, 3);
        answer(&mut policy, 0, 2, 10);
        // 12 ms − 10 ms + (1 + 0 × 3 + 2)³ × 10 ms
        assert_score(&policy, 0, 0.002 + 27.0 * 0.010);
        policy.members[0].outstanding = 2;
        // q̂ = 1 + 2 × 3 + 2 = 9
        assert_score(&policy, 0, 0.002 + 729.0 * 0.010);
    }

    #[test]
    fn averages_weigh_a_new_sample_nine_tenths() {
        let (mut policy, _) = c3(1, 1);
        answer(&mut policy, 0, 0, 10);
        answer(&mut policy, 0, 10, 2);
        // q = 9, 1/µ = 0.9 × 2 + 0.1 × 10 = 2.8 ms, R stays 12 ms.
        assert_score(&policy, 0, 0.012 - 0.0028 + 1_000.0 * 0.0028);
    }

    #[test]
    fn the_cube_prefers_a_slow_short_queue_to_a_fast_long_one() {
        let (mut policy, mut rng) = c3(2, 1);
        answer(&mut policy, 0, 3, 2);
        answer(&mut policy, 1, 0, 10);
        // 10 + 64 × 2 = 138 ms against 2 + 1 × 10 = 12 ms, though 4 × 2 ms < 10 ms.
        assert_eq!(policy.pick(at(2.0), &request(&[]), &mut rng), Some(1));
        assert_eq!(policy.members[1].outstanding, 1);
        // Now 2 + 8 × 10 = 82 ms, then 2 + 27 × 10 = 272 ms.
        assert_eq!(policy.pick(at(2.0), &request(&[]), &mut rng), Some(1));
        assert_eq!(policy.pick(at(2.0), &request(&[]), &mut rng), Some(0));
    }

    #[test]
    fn a_server_that_has_not_answered_is_usual_and_empty() {
        let (mut policy, mut rng) = c3(2, 1);
        answer(&mut policy, 0, 1, 10);
        // 2 + 8 × 10 = 82 ms against 2 + 1 × 10, then 2 + 8 × 10, then 2 + 27 × 10 ms.
        assert_score(&policy, 1, 0.012);
        assert_eq!(policy.pick(at(2.0), &request(&[]), &mut rng), Some(1));
        assert_score(&policy, 1, 0.082);
        policy.members[1].outstanding += 1;
        assert_eq!(policy.pick(at(2.0), &request(&[]), &mut rng), Some(0));
    }

    #[test]
    fn failures_end_a_request_and_are_no_samples() {
        let (mut policy, mut rng) = c3(1, 1);
        policy.pick(at(0.0), &request(&[]), &mut rng);
        let failed = completed(0, 0.0, Outcome::ServerError, Some(load(0, 0)));
        policy.complete(at(0.001), &failed, &mut rng);
        assert_eq!(policy.members[0].outstanding, 0);
        assert!(policy.members[0].averages.is_none());
    }

    #[test]
    fn without_reports_the_response_time_stands_for_the_service_time() {
        let (mut policy, mut rng) = c3(1, 2);
        let done = completed(0, 1.0, Outcome::Success, None);
        policy.complete(at(1.010), &done, &mut rng);
        assert_score(&policy, 0, 0.010);
        policy.members[0].outstanding = 1;
        assert_score(&policy, 0, 27.0 * 0.010);
    }
}
