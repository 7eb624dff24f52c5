//! gRPC's client-side weighted round robin (gRFC A58, `weighted_round_robin`).
//!
//! A server's weight is what it reports with its answers: `rps / (utilization + eps / rps × penalty)`. A
//! weight counts only once reports have come for the blackout period and until they have been missing for
//! the expiration period; weights in use change once per update period. Turns are taken by the static
//! stride scheduler of gRPC's C++ (`src/core/load_balancing/weighted_round_robin/static_stride_scheduler.cc`),
//! which replaced the earliest-deadline-first scheduler of the proposal's text in every language.
//!
//! A world begins in the middle of things: servers that are there at its start pass for long connected, and
//! their first report counts at once. Those that join later wait for the blackout.
//!
//! Reports are taken with answers, gRPC's default, and where servers send them by themselves as with
//! `enable_oob_load_report`.

use std::time::Duration;

use alba::{LoadReport, Locality, Rng, Time};

use super::members::Members;
use crate::policy::{Done, Policy, Request, Server};

/// `blackout_period`, gRPC's default.
const BLACKOUT: Duration = Duration::from_secs(10);
/// `weight_expiration_period`, gRPC's default.
const EXPIRATION: Duration = Duration::from_secs(180);
/// `weight_update_period`, gRPC's default.
const UPDATE: Duration = Duration::from_secs(1);
/// `error_utilization_penalty`, gRPC's default.
const ERROR_UTILIZATION_PENALTY: f64 = 1.0;

/// gRPC's weighted round robin.
#[derive(Debug, Default)]
pub(crate) struct Wrr {
    members: Members<Weight>,
    scheduler: Option<StaticStride>,
    /// Counts turns; schedulers come and go beneath it.
    sequence: u32,
    next_update: Option<Time>,
}

impl Wrr {
    fn schedule(&mut self, now: Time) {
        let list = self.members.list().to_vec();
        let weights: Vec<f64> = list
            .iter()
            .map(|&server| self.members[server].at(now))
            .collect();
        self.scheduler = StaticStride::new(&weights);
        self.next_update = Some(now + UPDATE);
    }

    fn turn(&mut self) -> usize {
        match &self.scheduler {
            Some(scheduler) => scheduler.pick(&mut self.sequence),
            None => {
                let turn = self.sequence as usize % self.members.list().len();
                self.sequence = self.sequence.wrapping_add(1);
                turn
            }
        }
    }
}

impl Policy for Wrr {
    fn set_servers(&mut self, now: Time, servers: &[(Server, Locality)], rng: &mut Rng) {
        let begins = self.next_update.is_none();
        if begins {
            // Clients that start together must not walk in step; gRPC starts at random too.
            self.sequence = rng.u64() as u32;
        }
        for server in self.members.set(servers) {
            self.members[server] = Weight {
                long_connected: begins,
                ..Weight::default()
            };
        }
        self.schedule(now);
    }

    fn pick(&mut self, _now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        let len = self.members.list().len();
        for _ in 0..len {
            let turn = self.turn();
            let server = self.members.list()[turn];
            if !request.tried.contains(&server) {
                return Some(server);
            }
        }
        self.members.random(request.tried, rng)
    }

    fn complete(&mut self, now: Time, done: &Done, _rng: &mut Rng) {
        if let Some(report) = &done.report
            && self.members.contains(done.server)
        {
            self.members[done.server].update(report, now);
        }
    }

    fn reported(&mut self, now: Time, server: Server, report: &LoadReport) {
        if self.members.contains(server) {
            self.members[server].update(report, now);
        }
    }

    fn next_tick(&self) -> Option<Time> {
        self.next_update
    }

    fn tick(&mut self, now: Time, _rng: &mut Rng) {
        self.schedule(now);
    }
}

/// What gRPC calls the weight of a subchannel.
#[derive(Debug, Default)]
struct Weight {
    weight: f64,
    non_empty_since: Option<Time>,
    last_updated: Time,
    /// The blackout is over before the world begins.
    long_connected: bool,
}

impl Weight {
    /// `UpdateWeight` of the proposal.
    fn update(&mut self, report: &LoadReport, now: Time) {
        let utilization = report.utilization.map_or(0.0, f64::from);
        let rps = report.requests_per_s.map_or(0.0, f64::from);
        if utilization <= 0.0 || rps <= 0.0 {
            return;
        }
        let eps = report.errors_per_s.map_or(0.0, f64::from);
        self.weight = rps / (utilization + eps / rps * ERROR_UTILIZATION_PENALTY);
        self.non_empty_since.get_or_insert(now);
        self.last_updated = now;
    }

    /// `GetWeight` of the proposal: 0 is "not known".
    fn at(&mut self, now: Time) -> f64 {
        let Some(since) = self.non_empty_since else {
            return 0.0;
        };
        if now.since(self.last_updated) >= EXPIRATION {
            self.non_empty_since = None;
            self.long_connected = false;
            return 0.0;
        }
        if now.since(since) < BLACKOUT && !self.long_connected {
            0.0
        } else {
            self.weight
        }
    }
}

/// gRPC's scheduler: member `i` takes its turn in `weight[i]` of every `MAX_WEIGHT` generations.
#[derive(Debug)]
struct StaticStride {
    weights: Vec<u16>,
}

const MAX_WEIGHT: u64 = u16::MAX as u64;
/// No weight counts as more than this many times the mean (`kMaxRatio`).
const MAX_RATIO: f64 = 10.0;
/// No weight counts as less than this share of the mean (`kMinRatio`).
const MIN_RATIO: f64 = 0.01;

impl StaticStride {
    /// `None` means plain round robin: fewer than two members, or (as the proposal says) fewer than two
    /// known weights. Members whose weight is 0 get the mean of the others.
    fn new(weights: &[f64]) -> Option<Self> {
        let known: Vec<f64> = weights
            .iter()
            .copied()
            .filter(|weight| *weight > 0.0)
            .collect();
        if weights.len() < 2 || known.len() < 2 {
            return None;
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let largest = known
            .iter()
            .copied()
            .fold(0.0, f64::max)
            .min(MAX_RATIO * mean);
        let scale = MAX_WEIGHT as f64 / largest;
        let scaled_mean = (scale * mean).round() as u16;
        let least = ((f64::from(scaled_mean) * MIN_RATIO).round() as u16).max(1);
        let weights = weights
            .iter()
            .map(|&weight| {
                if weight > 0.0 {
                    ((weight.min(largest) * scale).round() as u16).max(least)
                } else {
                    scaled_mean
                }
            })
            .collect();
        Some(Self { weights })
    }

    /// The member whose turn it is; passes over those whose weight skips this generation.
    fn pick(&self, sequence: &mut u32) -> usize {
        let len = self.weights.len() as u64;
        loop {
            let turn = u64::from(*sequence);
            *sequence = sequence.wrapping_add(1);
            let (member, generation) = (turn % len, turn / len);
            let weight = u64::from(self.weights[member as usize]);
            // The offset keeps neighbours of equal weight from skipping together.
            let place = (weight * generation + member * (MAX_WEIGHT / 2)) % MAX_WEIGHT;
            if place >= MAX_WEIGHT - weight {
                return member as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alba::Outcome;

    use super::*;
    use crate::policies::sample::{at, completed, request, servers};

    fn report(rps: f32, utilization: f32, eps: f32) -> LoadReport {
        LoadReport {
            requests_per_s: Some(rps),
            utilization: Some(utilization),
            errors_per_s: Some(eps),
            ..LoadReport::default()
        }
    }

    fn answer(wrr: &mut Wrr, seconds: f64, server: Server, report: LoadReport) {
        let done = completed(server, seconds - 0.01, Outcome::Success, Some(report));
        wrr.complete(at(seconds), &done, &mut Rng::seeded(0));
    }

    fn counts(wrr: &mut Wrr, picks: usize) -> Vec<usize> {
        let mut counts = vec![0; wrr.members.list().len()];
        for _ in 0..picks {
            let server = wrr
                .pick(at(0.0), &request(&[]), &mut Rng::seeded(0))
                .unwrap();
            counts[server as usize] += 1;
        }
        counts
    }

    #[test]
    fn the_weight_is_rps_by_utilization_with_the_error_penalty() {
        let mut weight = Weight::default();
        weight.update(&report(100.0, 0.5, 0.0), at(0.0));
        assert_eq!(weight.weight, 200.0);
        // 100 / (0.5 + 25 / 100 × 1)
        weight.update(&report(100.0, 0.5, 25.0), at(0.0));
        assert!((weight.weight - 100.0 / 0.75).abs() < 1e-9);
        // Reports without load change nothing.
        weight.update(&report(0.0, 0.5, 0.0), at(1.0));
        weight.update(&report(10.0, 0.0, 0.0), at(1.0));
        assert!((weight.weight - 100.0 / 0.75).abs() < 1e-9);
        assert_eq!(weight.last_updated, at(0.0));
    }

    #[test]
    fn a_weight_counts_from_blackout_to_expiration() {
        let mut weight = Weight::default();
        assert_eq!(weight.at(at(100.0)), 0.0);
        weight.update(&report(10.0, 1.0, 0.0), at(100.0));
        weight.update(&report(20.0, 1.0, 0.0), at(109.0));
        assert_eq!(weight.at(at(109.9)), 0.0);
        assert_eq!(weight.at(at(110.0)), 20.0);
        assert_eq!(weight.at(at(288.9)), 20.0);
        assert_eq!(weight.at(at(289.0)), 0.0);
        // After an expiration the blackout applies again.
        weight.update(&report(30.0, 1.0, 0.0), at(300.0));
        assert_eq!(weight.at(at(305.0)), 0.0);
        assert_eq!(weight.at(at(310.0)), 30.0);
    }

    #[test]
    fn turns_follow_the_weights_once_they_are_updated() {
        let mut wrr = Wrr::default();
        let mut rng = Rng::seeded(4);
        wrr.set_servers(at(0.0), &servers(3), &mut rng);
        assert_eq!(
            counts(&mut wrr, 300),
            [100, 100, 100],
            "round robin without weights"
        );
        for (server, utilization) in [(0, 0.25), (1, 0.5), (2, 1.0)] {
            answer(&mut wrr, 0.5, server, report(100.0, utilization, 0.0));
        }
        assert_eq!(
            counts(&mut wrr, 300),
            [100, 100, 100],
            "not before the update"
        );
        assert!(wrr.next_tick().is_some_and(|due| due == at(1.0)));
        wrr.tick(at(1.0), &mut rng);
        assert_eq!(wrr.next_tick(), Some(at(2.0)));
        let counts = counts(&mut wrr, 7_000);
        for (count, expected) in counts.iter().zip([4_000, 2_000, 1_000]) {
            assert!(count.abs_diff(expected) <= 2, "{counts:?}");
        }
    }

    #[test]
    fn an_unknown_weight_is_the_mean_and_extremes_are_capped() {
        let stride = StaticStride::new(&[30.0, 10.0, 0.0]).unwrap();
        assert_eq!(stride.weights, [65_535, 21_845, 43_690]);
        // The mean of 1 and 999 times 1 with one at 10,000 is 11; ten times that caps the giant.
        let mut weights = vec![1.0; 999];
        weights.push(10_000.0);
        let stride = StaticStride::new(&weights).unwrap();
        let ratio = f64::from(stride.weights[999]) / f64::from(stride.weights[0]);
        assert!((ratio - 110.0).abs() < 1.0, "{ratio}");
        let stride = StaticStride::new(&[100.0, 100.0, 1e-6]).unwrap();
        assert_eq!(stride.weights, [65_535, 65_535, 437]);
        assert!(
            StaticStride::new(&[5.0, 0.0, 0.0]).is_none(),
            "one known weight is none"
        );
    }

    #[test]
    fn equal_weights_are_plain_round_robin() {
        let stride = StaticStride::new(&[7.0, 7.0, 7.0]).unwrap();
        let mut sequence = 0;
        let picks: Vec<usize> = (0..6).map(|_| stride.pick(&mut sequence)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_server_that_comes_back_waits_for_the_blackout_again() {
        let mut wrr = Wrr::default();
        let mut rng = Rng::seeded(4);
        wrr.set_servers(at(0.0), &servers(2), &mut rng);
        answer(&mut wrr, 1.0, 1, report(100.0, 0.5, 0.0));
        assert_eq!(wrr.members[1].at(at(1.0)), 200.0, "there from the start");
        wrr.set_servers(at(20.0), &servers(1), &mut rng);
        wrr.set_servers(at(21.0), &servers(2), &mut rng);
        answer(&mut wrr, 21.0, 1, report(100.0, 0.5, 0.0));
        assert_eq!(wrr.members[1].at(at(30.0)), 0.0);
        assert_eq!(wrr.members[1].at(at(31.0)), 200.0);
    }

    #[test]
    fn tried_servers_are_passed_over() {
        let mut wrr = Wrr::default();
        let mut rng = Rng::seeded(4);
        wrr.set_servers(at(0.0), &servers(3), &mut rng);
        for _ in 0..9 {
            assert_eq!(wrr.pick(at(0.0), &request(&[0, 2]), &mut rng), Some(1));
        }
    }
}
