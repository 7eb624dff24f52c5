//! What holds for every probation, whatever the counts.

use probation::{
    Counts, Design, Doubt, Evidence, Gate, Histogram, Probation, Reason, Signal, Tick, Verdict,
};
use proptest::prelude::*;

use crate::traffic::bounds;

/// Counts with every latency in the bucket of `seconds`.
fn counts(requests: u64, failures: u64, seconds: f64) -> Counts {
    let bounds = bounds();
    let mut buckets = vec![0; bounds.len() + 1];
    buckets[bounds.partition_point(|&bound| bound < seconds)] = requests;
    Counts {
        requests,
        failures,
        rejections: 0,
        latency: Histogram::from_counts(&bounds, &buckets),
    }
}

fn tick(new: Counts) -> Tick {
    Tick {
        new,
        baseline: None,
        busy: 0.3,
    }
}

fn before(baseline: Vec<Counts>) -> Probation {
    Probation::new(
        Gate::default(),
        Design::Before {
            baseline,
            busy: 0.3,
        },
    )
    .expect("any baseline will do")
}

fn canary(share: f64) -> Probation {
    Probation::new(Gate::default(), Design::Canary { share }).expect("a share between 0 and 1")
}

#[test]
fn no_traffic_is_inconclusive() {
    for mut probation in [
        before(vec![counts(100, 0, 0.005); 300]),
        before(Vec::new()),
        canary(0.1),
    ] {
        for _ in 0..300 {
            probation.observe(&Tick::default());
        }
        assert_eq!(probation.verdict(false), Verdict::Continue);
        assert_eq!(
            probation.verdict(true),
            Verdict::Inconclusive(Doubt::NoTraffic)
        );
    }
}

#[test]
fn without_a_past_good_answers_promote_and_failures_hold() {
    let mut good = before(Vec::new());
    let mut failing = before(Vec::new());
    for _ in 0..300 {
        good.observe(&tick(counts(100, 0, 0.005)));
        failing.observe(&tick(counts(100, 50, 0.005)));
    }
    assert_eq!(good.verdict(false), Verdict::Continue);
    assert_eq!(good.verdict(true), Verdict::Promote);
    assert!(matches!(
        failing.verdict(true),
        Verdict::Inconclusive(Doubt::TooFewRequests { .. })
    ));
}

#[test]
fn too_few_requests_hold_until_there_are_enough() {
    let mut probation = before(vec![counts(1, 0, 0.005); 300]);
    let mut ticks = 0;
    for _ in 0..60 {
        probation.observe(&tick(counts(1, 0, 0.005)));
    }
    let Verdict::Inconclusive(Doubt::TooFewRequests {
        requests,
        excess_high,
        ..
    }) = probation.verdict(true)
    else {
        panic!("{:?}", probation.verdict(true));
    };
    assert_eq!(requests, 60);
    assert!(excess_high > 0.01);
    while probation.verdict(true) != Verdict::Promote {
        probation.observe(&tick(counts(1, 0, 0.005)));
        ticks += 1;
        assert!(ticks < 1000);
    }
    assert_eq!(60 + ticks, 433, "the crate's documentation says so");
}

/// All requests of a tick, right after the swap, while nothing like it was seen before.
#[test]
fn one_hiccup_rolls_nothing_back() {
    for ticks in 1..=2 {
        for rate in [1, 10, 100, 1000] {
            for failing in [false, true] {
                let mut probation = before(vec![counts(rate, 0, 0.005); 300]);
                for index in 0..300 {
                    let new = if (2..2 + ticks).contains(&index) {
                        counts(rate, if failing { rate } else { 0 }, 0.3)
                    } else {
                        counts(rate, 0, 0.005)
                    };
                    probation.observe(&tick(new));
                    let verdict = probation.verdict(false);
                    assert_eq!(
                        verdict,
                        Verdict::Continue,
                        "{ticks} ticks of {rate}, tick {index}"
                    );
                }
            }
        }
    }
}

/// A pause of the machine hits both arms; the canary's lot tells.
#[test]
fn a_canary_outlasts_pauses() {
    let mut probation = canary(0.1);
    for index in 0..300 {
        let seconds = if index % 50 < 5 { 0.3 } else { 0.005 };
        probation.observe(&Tick {
            new: counts(10, 0, seconds),
            baseline: Some(counts(90, 0, seconds)),
            busy: 0.3,
        });
    }
    assert_eq!(
        probation.verdict(true),
        Verdict::Promote,
        "{}",
        probation.evidence()
    );
}

#[test]
fn what_becomes_slower_by_less_than_the_slack_stays() {
    for seconds in [0.005, 0.0062] {
        let mut probation = before(vec![counts(100, 0, 0.005); 300]);
        let mut canary = canary(0.1);
        for _ in 0..300 {
            probation.observe(&tick(counts(100, 0, seconds)));
            canary.observe(&Tick {
                new: counts(10, 0, seconds),
                baseline: Some(counts(90, 0, 0.005)),
                busy: 0.3,
            });
        }
        assert_eq!(
            probation.verdict(true),
            Verdict::Promote,
            "{}",
            probation.evidence()
        );
        assert_eq!(
            canary.verdict(true),
            Verdict::Promote,
            "{}",
            canary.evidence()
        );
    }
}

#[test]
fn everything_slower_is_found_by_both() {
    let mut after = before(vec![counts(100, 0, 0.005); 300]);
    for share in [0.1, 0.5, 0.9] {
        let mut probation = canary(share);
        let new = (100.0 * share) as u64;
        for _ in 0..25 {
            let baseline = Some(counts(100 - new, 0, 0.005));
            probation.observe(&Tick {
                new: counts(new, 0, 0.1),
                baseline,
                busy: 0.3,
            });
        }
        assert!(
            matches!(probation.verdict(false), Verdict::RollBack(_)),
            "{share}: {}",
            probation.evidence()
        );
    }
    for _ in 0..25 {
        after.observe(&tick(counts(100, 0, 0.1)));
    }
    let Verdict::RollBack(reasons) = after.verdict(false) else {
        panic!("{}", after.evidence())
    };
    assert!(matches!(&reasons[0], Reason::Share(harm) if harm.signal != Signal::Errors));
    assert!(
        reasons[0].to_string().contains("requests took longer than"),
        "{}",
        reasons[0]
    );
}

#[test]
fn a_verdict_to_roll_back_stays() {
    let mut probation = before(vec![counts(100, 0, 0.005); 300]);
    for _ in 0..25 {
        probation.observe(&tick(counts(100, 30, 0.005)));
    }
    let verdict = probation.verdict(false);
    assert!(matches!(verdict, Verdict::RollBack(_)));
    for _ in 0..10_000 {
        probation.observe(&tick(counts(100, 0, 0.005)));
    }
    assert_eq!(probation.verdict(true), verdict);
}

/// What the weights of signals and stretches are chosen for.
#[test]
fn two_failures_suffice_on_a_tenth_of_the_requests() {
    let mut probation = canary(0.1);
    let mut observe = |failures| {
        probation.observe(&Tick {
            new: counts(10, failures, 0.005),
            baseline: Some(counts(90, 0, 0.005)),
            busy: 0.3,
        });
        probation.verdict(false) == Verdict::Continue
    };
    assert!((0..50).all(|_| observe(0)));
    assert!(observe(1));
    assert!(!observe(1));
}

/// An hour of good answers doesn't hide what begins then.
#[test]
fn harm_that_begins_late_is_found_soon() {
    let mut after = before(vec![counts(100, 0, 0.005); 300]);
    let mut beside = canary(0.1);
    let mut observe = |failures| {
        after.observe(&tick(counts(100, failures, 0.005)));
        beside.observe(&Tick {
            new: counts(10, failures.min(1), 0.005),
            baseline: Some(counts(90, 0, 0.005)),
            busy: 0.3,
        });
        let over = |probation: &Probation| probation.verdict(false) != Verdict::Continue;
        (over(&after), over(&beside))
    };
    for _ in 0..18_010 {
        assert_eq!(observe(0), (false, false));
    }
    let mut found = (false, false);
    for _ in 0..50 {
        found = observe(2);
    }
    assert_eq!(found, (true, true));
    let Verdict::RollBack(reasons) = after.verdict(false) else {
        panic!("{}", after.evidence());
    };
    // The numbers are those of the stretch in which it was seen.
    assert!(
        matches!(&reasons[0], Reason::Share(harm) if harm.new.requests < 30_000),
        "{}",
        reasons[0]
    );
}

#[test]
fn saturation_rolls_back_where_it_was_not_before() {
    let saturated = |mut probation: Probation| {
        for _ in 0..25 {
            probation.observe(&Tick {
                busy: 1.0,
                ..tick(counts(100, 0, 0.005))
            });
        }
        probation.verdict(false)
    };
    let verdict = saturated(before(vec![counts(100, 0, 0.005); 300]));
    assert!(
        matches!(&verdict, Verdict::RollBack(reasons) if matches!(reasons[0], Reason::Saturation { .. }))
    );
    assert_eq!(saturated(canary(0.1)), Verdict::Continue);
    assert!(matches!(
        saturated(canary(0.1).with_busy_before(0.2)),
        Verdict::RollBack(_)
    ));
    assert_eq!(
        saturated(canary(0.1).with_busy_before(0.94)),
        Verdict::Continue
    );
}

#[test]
fn a_billion_requests_change_nothing_in_principle() {
    let many = 1_000_000_000;
    let mut harmless = before(vec![counts(many, many / 1000, 0.005); 300]);
    let mut harmful = before(vec![counts(many, many / 1000, 0.005); 300]);
    let mut shared = canary(0.5);
    for _ in 0..50 {
        harmless.observe(&tick(counts(many, many / 1000, 0.005)));
        harmful.observe(&tick(counts(many, many / 10, 0.005)));
        shared.observe(&Tick {
            new: counts(many, many / 1000, 0.005),
            baseline: Some(counts(many, many / 1000, 0.005)),
            busy: 0.3,
        });
    }
    assert_eq!(harmless.verdict(true), Verdict::Promote);
    assert_eq!(shared.verdict(true), Verdict::Promote);
    assert!(matches!(harmful.verdict(true), Verdict::RollBack(_)));
}

#[test]
fn evidence_is_json_and_one_line() {
    let mut probation = before(vec![counts(100, 0, 0.005); 300]);
    for _ in 0..10 {
        probation.observe(&tick(counts(100, 50, 0.005)));
    }
    let evidence = probation.evidence();
    let json = serde_json::to_string(&evidence).unwrap();
    assert!(!json.contains("\"e_value\":null"), "{json}");
    assert_eq!(
        serde_json::from_str::<Evidence>(&json)
            .unwrap()
            .new
            .failures,
        500
    );
    let line = evidence.to_string();
    assert!(
        line.starts_with("1,000 requests: 50.0 % failed (0.0 % before), p50 "),
        "{line}"
    );
    assert!(
        line.contains("; e-value ") && line.ends_with(" of 20"),
        "{line}"
    );
    assert!(!line.contains('\n'));
}

#[test]
fn a_share_that_compares_nothing_is_refused() {
    for share in [0.0, 1.0, -0.1, f64::NAN] {
        let error = Probation::new(Gate::default(), Design::Canary { share }).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("use more than 0 and less than 1"),
            "{error}"
        );
    }
}

prop_compose! {
    fn any_counts()(requests in 0..200_u64, failing in 0..=100_u64, seconds in 0.0..2.0_f64) -> Counts {
        counts(requests, requests * failing / 100, seconds)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is counted, numbers stay numbers, and only the deadline promotes.
    #[test]
    fn anything_may_be_counted(
        share in 0.001..0.999_f64,
        ticks in proptest::collection::vec((any_counts(), any_counts(), -1.0..2.0_f64), 0..40),
        past in proptest::collection::vec(any_counts(), 0..40),
    ) {
        for mut probation in [before(past), canary(share)] {
            for (new, baseline, busy) in &ticks {
                let (new, baseline) = (new.clone(), Some(baseline.clone()));
                probation.observe(&Tick { new, baseline, busy: *busy });
            }
            prop_assert!(matches!(probation.verdict(false), Verdict::Continue | Verdict::RollBack(_)));
            prop_assert!(probation.verdict(true) != Verdict::Continue);
            let evidence = probation.evidence();
            prop_assert!(evidence.e_value.is_finite() && evidence.e_value >= 0.0);
            prop_assert!((0.0..=1.0).contains(&evidence.excess_high));
            for signal in &evidence.signals {
                prop_assert!(signal.e_value.is_finite() && signal.dispersion >= 1.0);
            }
        }
    }

    /// The same as before, tick by tick, is never worse than before.
    #[test]
    fn repeating_the_past_is_no_harm(past in proptest::collection::vec(any_counts(), 1..60)) {
        let mut probation = before(past.clone());
        for counts in past {
            probation.observe(&tick(counts));
        }
        for signal in probation.evidence().signals {
            prop_assert!(signal.e_value <= 1.0 + 1e-6, "{signal:?}");
        }
    }

    /// For a canary, failures count the same in whatever order and ticks they come.
    #[test]
    fn order_does_not_matter_to_a_canary(
        ticks in proptest::collection::vec((1..50_u64, 0..50_u64, 1..500_u64, 0..50_u64), 2..30),
    ) {
        let e_value = |ticks: &mut dyn Iterator<Item = &(u64, u64, u64, u64)>| {
            let mut probation = canary(0.1);
            for &(new, new_failures, old, old_failures) in ticks {
                probation.observe(&Tick {
                    new: counts(new, new.min(new_failures), 0.005),
                    baseline: Some(counts(old, old.min(old_failures), 0.005)),
                    busy: 0.0,
                });
            }
            probation.evidence().signals[0].e_value
        };
        let (forth, back) = (e_value(&mut ticks.iter()), e_value(&mut ticks.iter().rev()));
        prop_assert!((forth.ln() - back.ln()).abs() < 1e-6 || forth == back);
    }

    /// One more failure of the new generation is never less evidence against it; below 1 there is none.
    #[test]
    fn more_failures_are_more_evidence(failures in 0..40_u64, more in 1..40_u64) {
        for concurrent in [false, true] {
            let e_value = |failures: u64| {
                let mut probation = if concurrent { canary(0.2) } else { before(vec![counts(100, 1, 0.005); 50]) };
                for _ in 0..20 {
                    let baseline = Some(counts(400, 4, 0.005));
                    probation.observe(&Tick { new: counts(100, failures, 0.005), baseline, busy: 0.0 });
                }
                probation.evidence().signals[0].e_value
            };
            let less = e_value(failures);
            prop_assert!(less <= 1.0 || e_value(failures + more) >= less * (1.0 - 1e-9));
        }
    }
}
