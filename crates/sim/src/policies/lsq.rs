//! Local shortest queue (Vargaftik, Keslassy, Orda, "LSQ: Load Balancing in Large-Scale Heterogeneous Systems
//! with Multiple Dispatchers", IEEE/ACM Transactions on Networking 2020).
//!
//! A dispatcher keeps its own, possibly outdated, view of every server's queue and joins the shortest of
//! that view, ties at random. It adds what it sends; the view is corrected by sampling two servers per
//! request (LSQ-Sample(2)) and by what servers say when they answer (the paper's server-initiated updates).
//! An answer that says nothing takes one off: a proxy sees every answer, and without reports the view then
//! is its own count.

use alba::{LoadReport, Locality, Rng, Time};

use super::members::Members;
use crate::policy::{Done, Policy, Request, Server};

/// Join the shortest queue of a local view.
#[derive(Debug, Default)]
pub(crate) struct Lsq {
    /// The view of each server's queue.
    members: Members<u32>,
    samples_due: bool,
}

impl Lsq {
    fn heard(&mut self, server: Server, report: Option<&LoadReport>) -> bool {
        let in_flight = report.and_then(|report| report.in_flight);
        if let Some(in_flight) = in_flight
            && self.members.contains(server)
        {
            self.members[server] = in_flight;
        }
        in_flight.is_some()
    }
}

impl Policy for Lsq {
    fn set_servers(&mut self, _now: Time, servers: &[(Server, Locality)], _rng: &mut Rng) {
        for newcomer in self.members.set(servers) {
            self.members[newcomer] = 0;
        }
    }

    fn pick(&mut self, _now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        let picked = self
            .members
            .cheapest(request.tried, rng, |_, queue| f64::from(*queue))?;
        self.members[picked] += 1;
        self.samples_due = true;
        Some(picked)
    }

    fn complete(&mut self, _now: Time, done: &Done, _rng: &mut Rng) {
        if !self.heard(done.server, done.report.as_ref()) {
            let queue = &mut self.members[done.server];
            *queue = queue.saturating_sub(1);
        }
    }

    fn probes(&mut self, _now: Time, rng: &mut Rng, out: &mut Vec<Server>) {
        if std::mem::take(&mut self.samples_due)
            && let Some((first, second)) = self.members.random_pair(&[], rng)
        {
            out.push(first);
            if second != first {
                out.push(second);
            }
        }
    }

    fn probed(&mut self, _now: Time, server: Server, report: Option<&LoadReport>) {
        self.heard(server, report);
    }

    fn reported(&mut self, _now: Time, server: Server, report: &LoadReport) {
        self.heard(server, Some(report));
    }
}

#[cfg(test)]
mod tests {
    use alba::Outcome;

    use super::*;
    use crate::policies::sample::{at, completed, load, request, servers};

    fn lsq(count: u32) -> (Lsq, Rng) {
        let (mut policy, mut rng) = (Lsq::default(), Rng::seeded(8));
        policy.set_servers(at(0.0), &servers(count), &mut rng);
        (policy, rng)
    }

    #[test]
    fn it_joins_the_shortest_queue_of_its_view_and_adds_what_it_sends() {
        let (mut policy, mut rng) = lsq(3);
        for (server, in_flight) in [(0, 4), (1, 2), (2, 6)] {
            policy.probed(at(0.0), server, Some(&load(in_flight, 1)));
        }
        let picks: Vec<_> = (0..3)
            .map(|_| policy.pick(at(0.0), &request(&[]), &mut rng))
            .collect();
        // 1 grows from 2 to 4, and then ties with 0.
        assert_eq!(picks[..2], [Some(1), Some(1)]);
        assert!(matches!(picks[2], Some(0 | 1)));
        assert_eq!(policy.members[2], 6);
    }

    #[test]
    fn each_request_samples_two_different_servers() {
        let (mut policy, mut rng) = lsq(5);
        let mut out = Vec::new();
        policy.probes(at(0.0), &mut rng, &mut out);
        assert!(out.is_empty());
        for _ in 0..50 {
            out.clear();
            policy.pick(at(0.0), &request(&[]), &mut rng);
            policy.probes(at(0.0), &mut rng, &mut out);
            assert!(out.len() == 2 && out[0] != out[1], "seed 8: {out:?}");
            policy.probes(at(0.0), &mut rng, &mut out);
            assert_eq!(out.len(), 2, "once per request");
        }
    }

    #[test]
    fn answers_correct_the_view_or_take_one_off() {
        let (mut policy, mut rng) = lsq(1);
        for _ in 0..3 {
            policy.pick(at(0.0), &request(&[]), &mut rng);
        }
        policy.complete(
            at(0.1),
            &completed(0, 0.0, Outcome::Success, None),
            &mut rng,
        );
        assert_eq!(policy.members[0], 2);
        let told = completed(0, 0.0, Outcome::Success, Some(load(7, 1)));
        policy.complete(at(0.1), &told, &mut rng);
        assert_eq!(policy.members[0], 7);
        policy.probed(at(0.2), 0, None);
        assert_eq!(policy.members[0], 7);
    }
}
