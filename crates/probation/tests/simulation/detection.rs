//! Harmful generations at 500 requests/s: rolled back within ten seconds, for the right reason.

use probation::{Gate, Reason, Signal, Verdict};

use crate::traffic::{Case, Harm, Plan, Weather};

const RUNS: u64 = 100;

/// The seconds that each of the runs took, in ascending order, and the share of requests exposed.
fn seconds(plan: Plan, weather: Weather, harm: Harm, signals: &[Signal]) -> (Vec<f64>, f64) {
    let case = Case {
        plan,
        weather,
        harm,
        requests_per_second: 500.0,
        seconds: 60,
    };
    let mut exposed = 0.0;
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|seed| {
            let outcome = case.run(Gate::default(), 50_000 + seed);
            let Verdict::RollBack(reasons) = &outcome.verdict else {
                panic!("{case:?}, seed {seed}: {:?}", outcome.verdict);
            };
            assert!(
                matches!(&reasons[0], Reason::Share(harm) if signals.contains(&harm.signal)),
                "{case:?}, seed {seed}: {}",
                reasons[0]
            );
            exposed += outcome.exposed / RUNS as f64;
            outcome.seconds
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "{case:?}: p50 {} s, max {} s",
        seconds[seconds.len() / 2],
        seconds[seconds.len() - 1]
    );
    (seconds, exposed)
}

const LATENCIES: [Signal; 5] = [
    Signal::P50,
    Signal::P90,
    Signal::P95,
    Signal::P99,
    Signal::P999,
];

#[test]
fn a_canary_of_a_tenth() {
    for (harm, signals, p50, max) in [
        (Harm::Errors2, &[Signal::Errors][..], 3.0, 10.0),
        (Harm::Slow5, &LATENCIES[..], 4.0, 10.0),
        (Harm::Dead10, &[Signal::Errors][..], 1.0, 3.0),
    ] {
        let (seconds, exposed) = seconds(Plan::Canary(0.1), Weather::Calm, harm, signals);
        assert!(seconds[seconds.len() / 2] <= p50, "{harm:?}: {seconds:?}");
        assert!(seconds[seconds.len() - 1] < max, "{harm:?}: {seconds:?}");
        assert!((0.08..0.12).contains(&exposed), "{harm:?}: {exposed}");
    }
}

#[test]
fn after_a_window_before() {
    for (harm, signals, p50, max) in [
        (Harm::Errors2, &[Signal::Errors][..], 2.0, 5.0),
        (Harm::Slow5, &LATENCIES[..], 3.0, 10.0),
        (Harm::Dead10, &[Signal::Errors][..], 1.5, 3.0),
    ] {
        let (seconds, _) = seconds(Plan::Before, Weather::Calm, harm, signals);
        assert!(seconds[seconds.len() / 2] <= p50, "{harm:?}: {seconds:?}");
        assert!(seconds[seconds.len() - 1] < max, "{harm:?}: {seconds:?}");
    }
}

/// Noise costs time, most of it where there is nothing but the noisy past to compare with.
#[test]
fn on_a_noisy_machine() {
    for plan in [Plan::Canary(0.1), Plan::Before] {
        for (harm, signals) in [
            (Harm::Errors2, &[Signal::Errors][..]),
            (Harm::Slow5, &LATENCIES[..]),
            (Harm::Dead10, &[Signal::Errors][..]),
        ] {
            let (seconds, _) = seconds(plan, Weather::Noisy, harm, signals);
            assert!(
                seconds[seconds.len() / 2] < 5.0,
                "{plan:?} {harm:?}: {seconds:?}"
            );
        }
    }
}
