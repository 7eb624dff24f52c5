//! The limit: a policy that sees how everything is.

use alba::{Locality, Rng, Time};

use crate::policy::{Done, Policy, Request, Server};

/// Sends each request where it is expected to be answered soonest.
#[derive(Debug)]
pub(crate) struct Oracle;

impl Policy for Oracle {
    fn set_servers(&mut self, _now: Time, _servers: &[(Server, Locality)], _rng: &mut Rng) {}

    fn pick(&mut self, _now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        let mut best = None;
        let mut ties = 0;
        for (server, truth) in (0..).zip(request.truth) {
            if !truth.serving || truth.failing >= 1.0 || request.tried.contains(&server) {
                continue;
            }
            // Under processor sharing a request shares the cores with all others for as long as it stays.
            let sharing = (f64::from(truth.in_flight + 1) / truth.cores).max(1.0);
            let score =
                (0.02 * truth.slowdown * sharing + 2.0 * truth.network_s) / (1.0 - truth.failing);
            match best {
                Some((least, _)) if score > least => {}
                Some((least, _)) if score == least => {
                    ties += 1;
                    if rng.below(ties + 1) == 0 {
                        best = Some((score, server));
                    }
                }
                _ => {
                    ties = 0;
                    best = Some((score, server));
                }
            }
        }
        best.map(|(_, server)| server)
    }

    fn complete(&mut self, _now: Time, _done: &Done, _rng: &mut Rng) {}
}
