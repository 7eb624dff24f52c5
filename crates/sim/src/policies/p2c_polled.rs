//! Two choices on polled load: each dispatcher asks every server for its requests in flight every 500 ms,
//! and sends to the one of two random servers that had less. The "YARP-Po2C" of Prequal's comparison
//! (Wydrowski and others, NSDI 2024, section 5.2). Between two polls nothing is added for own requests.

use std::time::Duration;

use alba::{LoadReport, Locality, Rng, Time};

use super::members::Members;
use crate::policy::{Done, Policy, Request, Server};

/// Each server is asked this often.
const PERIOD: Duration = Duration::from_millis(500);

/// Two choices on polled requests in flight.
#[derive(Debug, Default)]
pub(crate) struct P2cPolled {
    /// Requests in flight at the last poll; 0 before the first.
    members: Members<u32>,
    /// Position of the server whose turn to be asked is next.
    turn: usize,
    next_poll: Option<Time>,
    due: bool,
}

impl P2cPolled {
    /// Polls are spread evenly over the period.
    fn gap(&self) -> Duration {
        PERIOD / (self.members.list().len() as u32).max(1)
    }
}

impl Policy for P2cPolled {
    fn set_servers(&mut self, now: Time, servers: &[(Server, Locality)], rng: &mut Rng) {
        self.members.set(servers);
        if self.next_poll.is_none() {
            // Dispatchers that start together do not ask together.
            self.turn = rng.below(servers.len() as u32) as usize;
            self.next_poll = Some(now + self.gap().mul_f64(rng.unit()));
        }
    }

    fn pick(&mut self, _now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        let (first, second) = self.members.random_pair(request.tried, rng)?;
        let less = self.members[second] < self.members[first];
        Some(if less { second } else { first })
    }

    fn complete(&mut self, _now: Time, _done: &Done, _rng: &mut Rng) {}

    fn probes(&mut self, _now: Time, _rng: &mut Rng, out: &mut Vec<Server>) {
        let list = self.members.list();
        if std::mem::take(&mut self.due) && !list.is_empty() {
            self.turn %= list.len();
            out.push(list[self.turn]);
            self.turn += 1;
        }
    }

    fn probed(&mut self, _now: Time, server: Server, report: Option<&LoadReport>) {
        if let Some(in_flight) = report.and_then(|report| report.in_flight)
            && self.members.contains(server)
        {
            self.members[server] = in_flight;
        }
    }

    fn next_tick(&self) -> Option<Time> {
        self.next_poll
    }

    fn tick(&mut self, now: Time, _rng: &mut Rng) {
        self.due = true;
        self.next_poll = Some(now + self.gap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::sample::{at, load, request, servers};

    fn polled() -> (P2cPolled, Rng) {
        let (mut policy, mut rng) = (P2cPolled::default(), Rng::seeded(5));
        policy.set_servers(at(0.0), &servers(4), &mut rng);
        (policy, rng)
    }

    #[test]
    fn every_server_is_polled_once_per_period() {
        let (mut policy, mut rng) = polled();
        let mut polls = [0; 4];
        let mut out = Vec::new();
        policy.probes(at(0.0), &mut rng, &mut out);
        assert!(out.is_empty(), "a pick asks for nothing");
        let end = at(10.0);
        while let Some(due) = policy.next_tick().filter(|due| *due < end) {
            policy.tick(due, &mut rng);
            policy.probes(due, &mut rng, &mut out);
        }
        for server in out {
            polls[server as usize] += 1;
        }
        assert!(
            polls.iter().all(|polls| (19..=21).contains(polls)),
            "{polls:?}"
        );
    }

    #[test]
    fn the_lesser_of_two_wins_by_the_polled_count_alone() {
        let (mut policy, mut rng) = polled();
        for (server, in_flight) in [(0, 5), (1, 1), (2, 3), (3, 9)] {
            policy.probed(at(0.1), server, Some(&load(in_flight, 1)));
        }
        policy.probed(at(0.2), 1, None);
        let mut counts = [0; 4];
        for _ in 0..6_000 {
            counts[policy.pick(at(0.2), &request(&[]), &mut rng).unwrap() as usize] += 1;
        }
        // Of the six pairs, the least loaded wins three, the next two, the next one.
        assert_eq!(counts[3], 0);
        for (count, expected) in [(counts[1], 3_000), (counts[2], 2_000), (counts[0], 1_000)] {
            assert!(i32::abs(count - expected) < 200, "seed 5: {counts:?}");
        }
    }
}
