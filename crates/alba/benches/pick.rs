//! Nanoseconds per pick and completion, and what packing the pool takes, for every policy, small and large,
//! equal and unequal weights; then admission without overload: `cargo bench -p alba`. The best of a few rounds is printed, because noise only
//! ever adds. `cargo bench -p alba -- count ENDPOINTS PICKS` only makes so many picks of the learned policy, for
//! `cargo xtask instructions` to count what they take.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use alba::{
    Admission, AdmissionSettings, Alba, Balancer, Completion, Decision, Endpoint, EndpointId,
    Finished, LoadBound, LoadReport, Outcome, OutlierDetection, Pick, PickRequest, Policy, Rng,
    Settings, TenantId, Time,
};

const ROUNDS: u32 = 7;
const PICKS: u64 = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, endpoints, picks] = &arguments[..]
        && command == "count"
    {
        let number = |text: &str| text.parse().expect("a number");
        let mut bench = Bench::new(&Policy::Alba(Alba::default()), number(endpoints), 1);
        bench.run(number(picks));
        return;
    }
    let policies = [
        ("round robin", Policy::RoundRobin),
        ("random", Policy::Random),
        ("least request", Policy::LeastRequest { choices: 2 }),
        (
            "peak ewma",
            Policy::PeakEwma {
                decay: Duration::from_secs(10),
                default_latency: Duration::from_millis(30),
            },
        ),
        ("alba", Policy::Alba(Alba::default())),
        (
            "ring hash",
            Policy::RingHash {
                minimum_ring_size: 1024,
                bound: LoadBound(None),
            },
        ),
        (
            "ring bounded",
            Policy::RingHash {
                minimum_ring_size: 1024,
                bound: LoadBound(Some(1.25)),
            },
        ),
        (
            "maglev",
            Policy::Maglev {
                table_size: 65_537,
                bound: LoadBound(None),
            },
        ),
    ];
    println!(
        "{:14} {:>9} {:>8} {:>14} {:>13}",
        "policy", "endpoints", "weights", "pick+complete", "pack"
    );
    for (name, policy) in policies {
        for count in [64, 10_000] {
            for (weights, heaviest) in [("equal", 1), ("unequal", 7)] {
                let (nanos, packing) = measure(&policy, count, heaviest);
                let packing = packing.as_secs_f64() * 1e6;
                println!("{name:14} {count:>9} {weights:>8} {nanos:>11.1} ns {packing:>10.1} µs");
            }
        }
    }
    for (name, deadline) in [
        ("admission", None),
        ("with deadline", Some(Duration::from_secs(1))),
    ] {
        println!("{name:14} {:>30.1} ns", measure_admission(deadline));
    }
}

/// A request that comes and ends while there is no overload.
fn measure_admission(deadline: Option<Duration>) -> f64 {
    let admission = Admission::new(AdmissionSettings::default());
    let mut now = Time::ZERO;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for step in 0..PICKS {
            now = now + Duration::from_micros(20);
            let deadline = deadline.map(|deadline| now + deadline);
            let decision = admission.arrive(TenantId(1), (step % 4) as u32, deadline, now);
            if let Decision::Admit(ticket) = black_box(decision) {
                let finished = Finished {
                    outcome: Outcome::Success,
                    latency: Duration::from_micros(100),
                    cost: None,
                };
                admission.complete(ticket, finished, now);
            }
        }
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / PICKS as f64
}

/// The hot path as in the proxy: eight attempts in flight, answered in order, 20 µs of virtual time apart.
struct Bench {
    balancer: Balancer,
    rng: Rng,
    now: Time,
    in_flight: [Option<Pick>; 8],
    reports: bool,
}

impl Bench {
    fn new(policy: &Policy, count: u64, heaviest: u64) -> Self {
        let endpoints: Vec<Endpoint> = (0..count)
            .map(|id| Endpoint::new(EndpointId(id)).with_weight(1 + (id % heaviest) as u32))
            .collect();
        let settings = Settings::new(policy.clone(), Some(OutlierDetection::default()));
        Self {
            balancer: Balancer::new(settings, &endpoints, Time::ZERO),
            rng: Rng::seeded(1),
            now: Time::ZERO,
            in_flight: std::array::from_fn(|_| None),
            reports: matches!(policy, Policy::Alba(_)),
        }
    }

    fn run(&mut self, picks: u64) {
        for step in 0..picks {
            self.now = self.now + Duration::from_micros(20);
            let request = PickRequest {
                hash: Some(step.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                ..PickRequest::default()
            };
            let pick = self.balancer.pick(self.now, &mut self.rng, &request);
            let slot = &mut self.in_flight[step as usize % 8];
            if let Some(answered) = std::mem::replace(slot, black_box(pick)) {
                let mut done =
                    Completion::new(Outcome::Success, self.now).with_first_byte(self.now);
                if self.reports {
                    done = done.with_report(LoadReport {
                        in_flight: Some(step as u32 % 5),
                        latency: Some(Duration::from_micros(150)),
                        ..LoadReport::default()
                    });
                }
                self.balancer.complete(answered, done);
            }
        }
    }
}

/// Nanoseconds a pick and completion, and what the first pick after a change of health takes.
fn measure(policy: &Policy, count: u64, heaviest: u64) -> (f64, Duration) {
    let mut bench = Bench::new(policy, count, heaviest);
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        bench.run(PICKS);
        best = best.min(start.elapsed());
    }
    let mut packing = Duration::MAX;
    for round in 0..ROUNDS {
        let Bench {
            balancer, rng, now, ..
        } = &mut bench;
        balancer.set_health(EndpointId(1), round % 2 == 1, *now);
        let start = Instant::now();
        drop(black_box(balancer.pick(*now, rng, &PickRequest::default())));
        packing = packing.min(start.elapsed());
    }
    (best.as_nanos() as f64 / PICKS as f64, packing)
}
