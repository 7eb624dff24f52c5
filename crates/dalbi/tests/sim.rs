//! The simulator from the command line.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::process::Output;

use support::{Folder, run_to_end};

const SMALL: &str = "about = 'small'
load = 0.5
warm_up_s = 0.5
measured_s = 2
stretch = false
[[variant]]
name = 'slow'
[[variant.group]]
count = 1
slowdown = 4
[[variant]]
name = 'even'
";

fn sim(arguments: &[&str]) -> Output {
    run_to_end(&[&["sim"], arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_file_of_ones_own_gives_figures_as_json() {
    let folder = Folder::new();
    folder.write("mine.toml", SMALL);
    let path = folder.path().join("mine.toml");
    let arguments = [
        "--file",
        path.to_str().unwrap(),
        "--size",
        "4x2",
        "--policy",
        "p2c,alba,oracle",
        "--seeds",
        "2",
        "--seed-base",
        "5",
        "--jobs",
        "2",
        "--json",
        "-",
    ];
    let output = sim(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = value["results"].as_array().unwrap();
    assert_eq!(rows.len(), 12, "two variants, three policies, two seeds");
    for row in rows {
        for key in [
            "load",
            "p50_ms",
            "p99_ms",
            "p999_ms",
            "error_rate",
            "probes_per_request",
            "goodput_per_s",
        ] {
            assert!(row[key].is_f64(), "{key} of {row}");
        }
        assert_eq!(
            (&row["servers"], &row["dispatchers"]),
            (&4.into(), &2.into())
        );
    }
    let first = &rows[0];
    assert_eq!(first["scenario"], "mine/slow");
    assert_eq!(
        (&first["policy"], &first["seed"]),
        (&"p2c".into(), &5.into())
    );
    assert_eq!(rows[11]["scenario"], "mine/even");
    assert_eq!(
        (&rows[11]["policy"], &rows[11]["seed"]),
        (&"oracle".into(), &6.into())
    );
    // However many threads, the same again.
    let alone = [&arguments[..10], &["--jobs", "1", "--json", "-"]].concat();
    assert_eq!(text(&sim(&alone).stdout), text(&output.stdout));
}

#[test]
fn a_table_shows_each_policy_and_a_part_can_be_left_out() {
    let folder = Folder::new();
    folder.write("mine.toml", SMALL);
    let path = folder.path().join("mine.toml");
    let json = folder.path().join("rows.json");
    let output = sim(&[
        "--file",
        path.to_str().unwrap(),
        "--size",
        "3x1",
        "--policy",
        "round_robin,alba",
        "--without",
        "toll,probes",
        "--json",
        json.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for part in [
        "mine/slow",
        "mine/even",
        "round_robin",
        "alba-toll-probes",
        "p99 ms",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
    assert!(text(&std::fs::read(json).unwrap()).contains("alba-toll-probes"));
}

#[test]
fn what_there_is_is_listed() {
    let list = text(&sim(&["--list"]).stdout);
    for name in [
        "ramp/1.74",
        "sinkhole/empty",
        "uniform",
        "prequal",
        "oracle",
    ] {
        assert!(list.contains(name), "{name} in {list}");
    }
}

#[test]
fn mistakes_are_named() {
    let folder = Folder::new();
    folder.write("mine.toml", "about = 'x'\nload = 0.5\nlaod = 1\n");
    let path = folder.path().join("mine.toml");
    let path = path.to_str().unwrap();
    for (arguments, code, part) in [
        (&["--scenario", "rampe"][..], 2, "`rampe`"),
        (&["--scenario", "uniform", "--policy", "best"], 2, "`best`"),
        (
            &["--scenario", "uniform", "--without", "tolls"],
            2,
            "`tolls`",
        ),
        (
            &["--scenario", "uniform", "--size", "3"],
            2,
            "SERVERSxDISPATCHERS",
        ),
        (&[], 2, "--scenario"),
        (&["--file", path], 3, "line 3"),
        (&["--file", "/nowhere.toml"], 3, "/nowhere.toml"),
    ] {
        let output = sim(arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}
