//! The limit: a policy that sees how everything is, at this moment and without delay.
//!
//! It sends a request where all requests together lose least by it: the time that this one will take, and
//! what those already there will be delayed by it. A server that shares `c` cores among `n` requests of
//! equal work, each using one core at most, makes them take `n × max(1, n / c)` times that work in all; the
//! cost of one more is the difference of that from `n` to `n + 1`, times the server's slowdown, plus the
//! network both ways. What fails is reckoned as tried again: the cost is divided by the share that
//! succeeds.
//!
//! Other rules were tried on tuning seeds, over mixed speeds, the ramp, antagonists and zones at both sizes.
//! Taking the work left in a server instead of its count loses 2 % to 40 % of p99, most with Pareto work:
//! under processor sharing one long request delays the others no more than a short one does. Leaving out
//! the delay of the others is the same except among servers of unequal speed, where it loses 15 % to 40 %.

use alba::{Locality, Rng, Time};

use super::members::least;
use crate::policy::{Done, Policy, Request, Server, Truth};

/// Full information.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// Mean work of a request, in seconds.
    work_s: f64,
}

impl Oracle {
    /// For requests of this mean work, in seconds of one unimpeded core.
    pub(crate) fn new(work_s: f64) -> Self {
        Self { work_s }
    }

    /// What a request costs that is sent there, in seconds; infinite where it can't succeed.
    fn cost_s(&self, truth: &Truth) -> f64 {
        if !truth.serving || truth.failing >= 1.0 {
            return f64::INFINITY;
        }
        let cores = truth.cores.max(f64::MIN_POSITIVE);
        let all = |count: f64| count * (count / cores).max(1.0);
        let count = f64::from(truth.in_flight);
        let added = all(count + 1.0) - all(count);
        let time_s = self.work_s * truth.slowdown * added + 2.0 * truth.network_s;
        time_s / (1.0 - truth.failing)
    }
}

impl Policy for Oracle {
    /// It sees servers without being told of them.
    fn set_servers(&mut self, _now: Time, _servers: &[(Server, Locality)], _rng: &mut Rng) {}

    fn pick(&mut self, _now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        let costs = (0..)
            .zip(request.truth)
            .map(|(server, truth)| (server, self.cost_s(truth)))
            .filter(|(server, cost_s)| cost_s.is_finite() && !request.tried.contains(server));
        least(costs, rng)
    }

    fn complete(&mut self, _now: Time, _done: &Done, _rng: &mut Rng) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::sample::at;

    const FINE: Truth = Truth {
        serving: true,
        backlog_s: 0.0,
        in_flight: 0,
        cores: 4.0,
        slowdown: 1.0,
        failing: 0.0,
        zone: 0,
        network_s: 0.000_25,
    };

    fn pick(truth: &[Truth], tried: &[Server]) -> Option<Server> {
        let request = Request {
            attempt: 0,
            tried,
            class: 0,
            zone: 0,
            truth,
        };
        Oracle::new(0.02).pick(at(0.0), &request, &mut Rng::seeded(1))
    }

    #[track_caller]
    fn assert_cost_ms(truth: &Truth, expected_ms: f64) {
        let cost_ms = Oracle::new(0.02).cost_s(truth) * 1e3;
        assert!(
            (cost_ms - expected_ms).abs() < 1e-6,
            "{cost_ms} is not {expected_ms}"
        );
    }

    #[test]
    fn the_cost_is_what_all_lose() {
        // A free core: its own 20 ms and the way there and back.
        assert_cost_ms(
            &Truth {
                in_flight: 3,
                ..FINE
            },
            20.5,
        );
        // Five on four cores take 25 ms each, 125 in all, where four took 80.
        assert_cost_ms(
            &Truth {
                in_flight: 4,
                ..FINE
            },
            45.5,
        );
        assert_cost_ms(
            &Truth {
                in_flight: 4,
                slowdown: 2.0,
                ..FINE
            },
            90.5,
        );
        assert_cost_ms(
            &Truth {
                failing: 0.5,
                ..FINE
            },
            41.0,
        );
    }

    #[test]
    fn it_prefers_an_idle_slow_server_to_delaying_others() {
        let slow = Truth {
            slowdown: 2.0,
            ..FINE
        };
        assert_eq!(
            pick(
                &[
                    Truth {
                        in_flight: 3,
                        ..FINE
                    },
                    slow
                ],
                &[]
            ),
            Some(0)
        );
        assert_eq!(
            pick(
                &[
                    Truth {
                        in_flight: 4,
                        ..FINE
                    },
                    slow
                ],
                &[]
            ),
            Some(1)
        );
    }

    #[test]
    fn it_sends_nothing_where_nothing_comes_back() {
        let gone = Truth {
            serving: false,
            ..FINE
        };
        let sinkhole = Truth {
            failing: 1.0,
            ..FINE
        };
        let busy = Truth {
            in_flight: 60,
            ..FINE
        };
        assert_eq!(pick(&[gone, sinkhole, busy], &[]), Some(2));
        assert_eq!(pick(&[gone, sinkhole, busy], &[2]), None);
        assert_eq!(
            pick(&[busy, FINE, busy], &[1]).map(|server| server % 2),
            Some(0)
        );
    }
}
