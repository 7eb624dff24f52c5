//! Harmless generations: at most a share of alpha of them may be rolled back.

use probation::{Gate, Verdict};

use crate::traffic::{Case, Harm, Plan, Weather};

/// The share of `runs` that were rolled back.
fn rolled_back(
    plan: Plan,
    weather: Weather,
    requests_per_second: f64,
    runs: u64,
    gate: Gate,
) -> f64 {
    let case = Case {
        plan,
        weather,
        harm: Harm::None,
        requests_per_second,
        seconds: 20,
    };
    let alarms: Vec<u64> = (0..runs)
        .filter(|&seed| matches!(case.run(gate, seed).verdict, Verdict::RollBack(_)))
        .collect();
    println!("{case:?}: {} of {runs}, seeds {alarms:?}", alarms.len());
    alarms.len() as f64 / runs as f64
}

/// The runs for a rate, so that each rate draws about as many requests.
const RATES: [(f64, u64); 4] = [(1.0, 1500), (20.0, 1500), (500.0, 150), (5000.0, 20)];

#[test]
fn a_canary_in_any_weather() {
    for weather in [
        Weather::Calm,
        Weather::Failing,
        Weather::Noisy,
        Weather::Crowded,
        Weather::Starved,
        Weather::Rough,
    ] {
        for (rate, runs) in RATES {
            let share = rolled_back(Plan::Canary(0.1), weather, rate, runs, Gate::default());
            assert!(share <= 0.05, "{weather:?} at {rate}/s: {share}");
        }
    }
}

#[test]
fn half_of_the_requests() {
    for (rate, runs) in [(20.0, 1000), (500.0, 200)] {
        for weather in [Weather::Failing, Weather::Rough] {
            let share = rolled_back(Plan::Canary(0.5), weather, rate, runs, Gate::default());
            assert!(share <= 0.05, "{weather:?} at {rate}/s: {share}");
        }
    }
}

#[test]
fn after_a_window_before() {
    for weather in [
        Weather::Calm,
        Weather::Failing,
        Weather::Noisy,
        Weather::Crowded,
        Weather::Starved,
        Weather::Rough,
    ] {
        for (rate, runs) in RATES {
            let share = rolled_back(Plan::Before, weather, rate, runs, Gate::default());
            assert!(share <= 0.05, "{weather:?} at {rate}/s: {share}");
        }
    }
}

/// Guards the others: the chance of error that is allowed is used, too.
#[test]
fn whoever_allows_half_gets_some() {
    let gate = "alpha=50%,errors=0%,rejections=0%,latency=0ms"
        .parse()
        .unwrap();
    let share = rolled_back(Plan::Canary(0.1), Weather::Failing, 500.0, 200, gate);
    assert!((0.05..=0.5).contains(&share), "{share}");
}
