//! What a generation's requests came to, for whoever has to judge it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::metrics::RequestOutcome;
use super::traffic::Count;
use crate::exchange::flags::Flags;

/// Bounds per doubling: neighbours are 7.2 % apart, so that a quantile is known within that.
const PER_DOUBLING: f64 = 10.0;

/// The least bound, in seconds.
const LEAST: f64 = 1e-4;

/// Twenty doublings: up to 105 s.
const BOUNDS: usize = 201;

static LATENCY_BOUNDS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let bound = |step| LEAST * (f64::from(step) / PER_DOUBLING).exp2();
    (0..BOUNDS as u32).map(bound).collect()
});

/// Upper bounds of [`Tally::latency`] in seconds, ascending: 0.1 ms to 105 s in steps of 7.2 %.
pub fn latency_bounds() -> &'static [f64] {
    &LATENCY_BOUNDS
}

/// How many requests a generation has served so far, and how. Totals of this process; they only grow for as long as
/// the generation is among the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The generation's shown id.
    pub generation: String,
    /// Whether it serves a share of requests beside the one in force.
    pub canary: bool,
    /// Requests that ended; connections whose bytes go on as they are count when their endpoint is connected, or when
    /// that has failed.
    pub requests: u64,
    /// Requests that the dispatcher or the endpoint failed: status 500 and above, no answer at all, a response flag
    /// that says so (no route, no cluster, no endpoint, overflow, timeout, a failed or broken connection), gRPC's
    /// `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`. What the client
    /// ended itself is not one. Faults that are injected on purpose are: a client is as badly off.
    pub failures: u64,
    /// Requests that were turned down: other answers of 400 to 499, gRPC's other statuses.
    pub rejections: u64,
    /// Requests by the time from their head to the beginning of their answer, one count per bound of
    /// [`latency_bounds`] and one for all that took longer. How long an answer goes on says more of its reader (a
    /// download, a stream, a tunnel) than of the generation. Requests without an answer are in none.
    pub latency: Vec<u64>,
}

/// One worker's part of a tally. Only it adds to it.
#[derive(Debug)]
pub(crate) struct TallyCounts {
    generation: Arc<str>,
    requests: Count,
    failures: Count,
    rejections: Count,
    latency: [Count; BOUNDS + 1],
}

/// How a request went, for its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// Well, or the client ended it.
    Fine,
    Rejection,
    Failure,
}

impl TallyCounts {
    pub(super) fn new(generation: Arc<str>) -> Self {
        Self {
            generation,
            requests: Count::default(),
            failures: Count::default(),
            rejections: Count::default(),
            latency: std::array::from_fn(|_| Count::default()),
        }
    }

    /// Counts a request that ended. `latency`: until its answer began, if one did.
    pub(super) fn request(&self, outcome: RequestOutcome, latency: Option<Duration>) {
        self.requests.add();
        match judge(outcome) {
            Judgement::Fine => {}
            Judgement::Rejection => self.rejections.add(),
            Judgement::Failure => self.failures.add(),
        }
        if let Some(latency) = latency {
            self.latency[bucket(latency.as_secs_f64())].add();
        }
    }

    /// Counts a connection whose bytes go on as they are.
    pub(super) fn connection(&self, connected: bool) {
        self.requests.add();
        if !connected {
            self.failures.add();
        }
    }
}

/// The position of the first bound that is not exceeded.
fn bucket(seconds: f64) -> usize {
    let bounds = latency_bounds();
    let steps = (seconds / LEAST).log2() * PER_DOUBLING;
    // Saturates: nothing at all is below the first bound.
    let mut position = (steps.ceil().max(0.0) as usize).min(BOUNDS);
    // Rounding may be one off.
    if position > 0 && seconds <= bounds[position - 1] {
        position -= 1;
    } else if position < BOUNDS && seconds > bounds[position] {
        position += 1;
    }
    position
}

/// What says that the dispatcher or the endpoint is to blame.
const FAILED: [Flags; 9] = [
    Flags::NO_ROUTE,
    Flags::NO_CLUSTER,
    Flags::NO_HEALTHY_UPSTREAM,
    Flags::UPSTREAM_CONNECT_FAILURE,
    Flags::UPSTREAM_OVERFLOW,
    Flags::UPSTREAM_TIMEOUT,
    Flags::UPSTREAM_TERMINATION,
    Flags::UPSTREAM_RESET,
    Flags::UPSTREAM_PROTOCOL_ERROR,
];

fn judge(outcome: RequestOutcome) -> Judgement {
    if outcome.flags.contains(Flags::DOWNSTREAM_TERMINATION) {
        return Judgement::Fine;
    }
    if outcome.flags.contains(Flags::DOWNSTREAM_PROTOCOL_ERROR) {
        return Judgement::Rejection;
    }
    let failed = FAILED.iter().any(|flag| outcome.flags.contains(*flag));
    if failed || matches!(outcome.status, 0 | 500..) {
        return Judgement::Failure;
    }
    match (outcome.grpc, outcome.status) {
        // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
        (Some(2 | 4 | 12..=15), _) => Judgement::Failure,
        // OK, and CANCELLED, which the client did.
        (Some(0 | 1), 0..400) | (None, 0..400) => Judgement::Fine,
        _ => Judgement::Rejection,
    }
}

/// Adds up the counts of all workers. `in_force` are the generations that serve, the canary second: they come first,
/// then the others, newest first.
pub(super) fn add_up(all: &[Arc<TallyCounts>], in_force: &[Arc<str>]) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = Vec::new();
    let empty = |generation: &str| Tally {
        generation: generation.to_owned(),
        canary: in_force
            .get(1)
            .is_some_and(|canary| **canary == *generation),
        requests: 0,
        failures: 0,
        rejections: 0,
        latency: vec![0; BOUNDS + 1],
    };
    tallies.extend(in_force.iter().map(|generation| empty(generation)));
    for counts in all.iter().rev() {
        let known = |tally: &Tally| *tally.generation == *counts.generation;
        let position = tallies.iter().position(known).unwrap_or_else(|| {
            tallies.push(empty(&counts.generation));
            tallies.len() - 1
        });
        let tally = &mut tallies[position];
        let load = |count: &Count| count.load();
        tally.requests += load(&counts.requests);
        tally.failures += load(&counts.failures);
        tally.rejections += load(&counts.rejections);
        for (total, count) in tally.latency.iter_mut().zip(&counts.latency) {
            *total += load(count);
        }
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, flags: Flags, grpc: Option<u8>) -> RequestOutcome {
        RequestOutcome {
            status,
            flags,
            grpc,
            is_grpc: grpc.is_some(),
        }
    }

    #[test]
    fn buckets_are_narrow_and_hold_what_their_bounds_say() {
        let bounds = latency_bounds();
        assert!(bounds[0] <= 1e-4 && bounds[BOUNDS - 1] >= 100.0);
        for pair in bounds.windows(2) {
            assert!(pair[1] > pair[0] && pair[1] <= pair[0] * 1.08, "{pair:?}");
        }
        for (position, bound) in bounds.iter().enumerate() {
            assert_eq!(bucket(*bound), position);
            assert_eq!(bucket(bound * 1.001), position + 1);
        }
        assert_eq!(bucket(0.0), 0);
        assert_eq!(bucket(f64::MAX), BOUNDS);
    }

    #[test]
    fn blame_is_put_where_it_belongs() {
        use Judgement::{Failure, Fine, Rejection};
        let none = Flags::NONE;
        for (status, flags, grpc, expected) in [
            (200, none, None, Fine),
            (101, none, None, Fine),
            (302, none, None, Fine),
            (404, none, None, Rejection),
            (404, Flags::NO_ROUTE, None, Failure),
            (421, Flags::NO_ROUTE, None, Failure),
            (400, Flags::DOWNSTREAM_PROTOCOL_ERROR, None, Rejection),
            (501, Flags::DOWNSTREAM_PROTOCOL_ERROR, None, Rejection),
            (500, none, None, Failure),
            (503, Flags::NO_HEALTHY_UPSTREAM, None, Failure),
            (500, Flags::FAULT_INJECTED, None, Failure),
            (429, Flags::FAULT_INJECTED, None, Rejection),
            (200, Flags::UPSTREAM_RESET, None, Failure),
            (0, none, None, Failure),
            (0, Flags::DOWNSTREAM_TERMINATION, None, Fine),
            (200, Flags::DOWNSTREAM_TERMINATION, None, Fine),
            (200, none, Some(0), Fine),
            (200, none, Some(1), Fine),
            (200, none, Some(14), Failure),
            (200, none, Some(2), Failure),
            (200, none, Some(12), Failure),
            (200, none, Some(7), Rejection),
            (200, Flags::DELAY_INJECTED, None, Fine),
        ] {
            let judged = judge(outcome(status, flags, grpc));
            assert_eq!(judged, expected, "{status} {flags} {grpc:?}");
        }
    }

    #[test]
    fn workers_add_up_and_those_in_force_come_first() {
        let counts = |name: &str, requests| {
            let counts = Arc::new(TallyCounts::new(name.into()));
            for _ in 0..requests {
                let latency = Some(Duration::from_millis(3));
                counts.request(outcome(503, Flags::NONE, None), latency);
            }
            counts
        };
        let all = [
            counts("a", 1),
            counts("b", 2),
            counts("b", 3),
            counts("c", 4),
        ];
        let tallies = add_up(&all, &["b".into(), "new".into()]);
        let shown: Vec<_> = tallies
            .iter()
            .map(|tally| (tally.generation.as_str(), tally.canary, tally.failures))
            .collect();
        assert_eq!(
            shown,
            [
                ("b", false, 5),
                ("new", true, 0),
                ("c", false, 4),
                ("a", false, 1)
            ]
        );
        assert_eq!(tallies[0].latency[bucket(0.003)], 5);
    }
}
