//! How often harmless generations are rolled back, and how soon harmful ones are, over seeded traffic.
//!
//! `cargo run -p probation --release --example operating_characteristics [RUNS [SECONDS]]` prints two tables.

#[path = "../tests/simulation/traffic.rs"]
mod traffic;

use probation::{Gate, Verdict};
use traffic::{Case, Harm, Plan, Weather};

fn main() {
    let runs: u64 = std::env::args()
        .nth(1)
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(1000);
    let seconds: u32 = std::env::args()
        .nth(2)
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(60);
    let gate = Gate::default();
    println!("gate {gate}\n\nHarmless, {seconds} s:\n");
    println!("| design | traffic | requests/s | runs | rolled back | promoted | held |");
    println!("|---|---|---|---|---|---|---|");
    for plan in [Plan::Canary(0.1), Plan::Canary(0.5), Plan::Before] {
        for weather in [
            Weather::Calm,
            Weather::Failing,
            Weather::Noisy,
            Weather::Crowded,
            Weather::Starved,
            Weather::Rough,
        ] {
            for requests_per_second in [1.0, 20.0, 500.0, 5000.0] {
                let case = Case {
                    plan,
                    weather,
                    harm: Harm::None,
                    requests_per_second,
                    seconds,
                };
                // Many requests take as long to draw as many runs.
                let runs = if requests_per_second > 1000.0 {
                    (runs / 5).max(1)
                } else {
                    runs
                };
                harmless(&case, gate, runs);
            }
        }
    }
    println!("\nHarmful, {seconds} s:\n");
    println!(
        "| design | traffic | requests/s | harm | runs | rolled back | p50 s | p99 s | max s | exposed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for plan in [Plan::Canary(0.1), Plan::Before] {
        for weather in [
            Weather::Calm,
            Weather::Failing,
            Weather::Noisy,
            Weather::Crowded,
            Weather::Starved,
            Weather::Rough,
        ] {
            for requests_per_second in [20.0, 500.0] {
                for harm in [Harm::Errors2, Harm::Slow5, Harm::Dead10] {
                    harmful(
                        &Case {
                            plan,
                            weather,
                            harm,
                            requests_per_second,
                            seconds,
                        },
                        gate,
                        runs / 5,
                    );
                }
            }
        }
    }
}

fn harmless(case: &Case, gate: Gate, runs: u64) {
    let (mut rolled_back, mut promoted, mut held) = (0_u64, 0_u64, 0_u64);
    for seed in 0..runs {
        match case.run(gate, seed).verdict {
            Verdict::RollBack(_) => rolled_back += 1,
            Verdict::Promote => promoted += 1,
            Verdict::Inconclusive(_) | Verdict::Continue => held += 1,
        }
    }
    let percent = |count: u64| 100.0 * count as f64 / runs as f64;
    println!(
        "| {:?} | {:?} | {} | {runs} | {:.1} % | {:.1} % | {:.1} % |",
        case.plan,
        case.weather,
        case.requests_per_second,
        percent(rolled_back),
        percent(promoted),
        percent(held),
    );
}

fn harmful(case: &Case, gate: Gate, runs: u64) {
    let mut seconds = Vec::new();
    let mut exposed: f64 = 0.0;
    for seed in 0..runs {
        let outcome = case.run(gate, 1_000_000 + seed);
        if matches!(outcome.verdict, Verdict::RollBack(_)) {
            seconds.push(outcome.seconds);
            exposed += outcome.exposed;
        }
    }
    seconds.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let index = ((seconds.len() as f64 * q) as usize).min(seconds.len().saturating_sub(1));
        seconds
            .get(index)
            .map_or("-".to_owned(), |seconds| format!("{seconds:.1}"))
    };
    println!(
        "| {:?} | {:?} | {} | {:?} | {runs} | {:.1} % | {} | {} | {} | {:.1} % |",
        case.plan,
        case.weather,
        case.requests_per_second,
        case.harm,
        100.0 * seconds.len() as f64 / runs.max(1) as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        100.0 * exposed / seconds.len().max(1) as f64,
    );
}
