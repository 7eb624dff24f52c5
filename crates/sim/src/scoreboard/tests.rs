use super::*;

fn row(scenario: &str, size: (u32, u32), policy: &str, p99_ms: f64, error_rate: f64) -> Row {
    Row {
        scenario: scenario.to_owned(),
        servers: size.0,
        dispatchers: size.1,
        load: 0.7,
        policy: policy.to_owned(),
        seed: 1000,
        figures: Figures {
            requests: 1000,
            p50_ms: p99_ms / 5.0,
            p99_ms,
            p999_ms: p99_ms * 2.0,
            mean_ms: p99_ms / 4.0,
            error_rate,
            timeout_rate: 0.0,
            goodput_per_s: 1000.0,
            jain: 1.0,
            useful_share: 0.7,
            jain_tenants: None,
            in_flight_deviation: 1.0,
            remote_share: 0.0,
            attempts_per_request: 1.0,
            probes_per_request: 0.0,
            bytes_per_request: 0.0,
        },
    }
}

const LARGE: (u32, u32) = (100, 100);

#[test]
fn the_best_baseline_is_quick_without_failing() {
    let board = Scoreboard::new(&[
        row("x", LARGE, "quick", 50.0, 0.1),
        row("x", LARGE, "sound", 80.0, 0.0),
        row("x", LARGE, "slow", 120.0, 0.0),
        row("x", LARGE, "alba-toll", 10.0, 0.0),
        row("x", LARGE, "alba", 60.0, 0.0),
        row("x", LARGE, "oracle", 40.0, 0.0),
    ]);
    let cell = &board.cells[0];
    assert_eq!(cell.best.as_deref(), Some("sound"));
    assert!((cell.open().unwrap() - 0.5).abs() < 1e-12);
    assert!((cell.price_of_anarchy().unwrap() - 1.5).abs() < 1e-12);
}

#[test]
fn seeds_are_averaged_and_their_spread_is_kept() {
    let rows = [90.0, 100.0, 110.0].map(|p99_ms| row("x", LARGE, "p2c", p99_ms, 0.0));
    let board = Scoreboard::new(&rows);
    let mean = &board.cells[0].means["p2c"];
    assert_eq!((mean.seeds, mean.p99_ms), (3, 100.0));
    assert!((mean.p99_error_ms - 10.0 / 3_f64.sqrt()).abs() < 1e-9);
}

#[test]
fn goals_count_files_not_variants() {
    let mut rows = Vec::new();
    for number in 0..14 {
        // Ten are nearly closed; the others are left as they are.
        let alba_ms = if number < 10 { 60.0 } else { 100.0 };
        let variants = if number == 13 { 5 } else { 1 };
        for variant in 0..variants {
            let name = format!("s{number}/{variant}");
            rows.push(row(&name, LARGE, "p2c", 100.0, 0.0));
            rows.push(row(&name, LARGE, "alba", alba_ms, 0.0));
            rows.push(row(&name, LARGE, "oracle", 50.0, 0.0));
        }
    }
    let gap = |rows: &[Row]| Scoreboard::new(rows).goals().remove(0);
    let goal = gap(&rows);
    assert_eq!(goal.met, Some(true), "{goal:?}");
    assert!(goal.found.starts_with("10 of 14"), "{goal:?}");
    rows.retain(|row| !(row.scenario == "s0/0" && row.policy == "alba"));
    rows.push(row("s0/0", LARGE, "alba", 90.0, 0.0));
    let goal = gap(&rows);
    assert_eq!(goal.met, Some(false));
    assert!(goal.found.contains("s0 0.80"), "{goal:?}");
    // Nothing ran at the other size.
    assert_eq!(Scoreboard::new(&rows).goals()[1].met, None);
}

#[test]
fn a_variant_beyond_the_limit_does_not_close_anothers_gap() {
    let mut rows = Vec::new();
    for (name, alba_ms) in [("s/beyond", 10.0), ("s/open", 95.0)] {
        rows.push(row(name, LARGE, "p2c", 100.0, 0.0));
        rows.push(row(name, LARGE, "alba", alba_ms, 0.0));
        rows.push(row(name, LARGE, "oracle", 50.0, 0.0));
    }
    let goal = Scoreboard::new(&rows).goals().remove(0);
    assert!(goal.found.contains("s 0.45"), "{goal:?}");
}

#[test]
fn a_median_is_compared_with_the_best_median() {
    let with_median = |policy, p99_ms, p50_ms, error_rate| {
        let mut row = row("x", LARGE, policy, p99_ms, error_rate);
        row.figures.p50_ms = p50_ms;
        row
    };
    let rows = [
        with_median("failing", 90.0, 1.0, 0.1),
        with_median("best_p99", 100.0, 20.0, 0.0),
        with_median("best_p50", 120.0, 10.0, 0.0),
        with_median("alba", 100.0, 12.0, 0.0),
    ];
    let goals = Scoreboard::new(&rows).goals();
    let goal = |part: &str| goals.iter().find(|goal| goal.text.contains(part)).unwrap();
    assert!(goal("p50 never above").found.contains("x 100×100 1.20"));
    assert_eq!(goal("p99 never above").met, Some(true));
}

#[test]
fn a_loss_is_named() {
    let board = Scoreboard::new(&[
        row("uniform", LARGE, "round_robin", 100.0, 0.0),
        row("uniform", LARGE, "alba", 105.0, 0.001),
        row("uniform", LARGE, "oracle", 99.5, 0.0),
        row("uniform", (10, 1000), "round_robin", 100.0, 0.0),
        row("uniform", (10, 1000), "alba", 120.0, 0.0),
    ]);
    let goals = board.goals();
    let goal = |part: &str| goals.iter().find(|goal| goal.text.contains(part)).unwrap();
    for part in [
        "p99 never above 1.03",
        "errors never",
        "within 1 %",
        "round robin's",
    ] {
        assert_eq!(goal(part).met, Some(false), "{:?}", goal(part));
        assert!(goal(part).found.contains("uniform"), "{:?}", goal(part));
    }
    assert!(goal("round robin's").found.contains("10×1000 1.20"));
    // No gap to speak of, and not level either.
    assert!(goals[0].found.starts_with("0 of 1"), "{:?}", goals[0]);
    let page = board.markdown(&["p99-100x100.svg".to_owned()]);
    assert!(
        page.contains("**not met**") && page.contains("![p99-100x100.svg]"),
        "{page}"
    );
    assert!(page.contains("| uniform | 100 | round_robin |"), "{page}");
}
