//! `dalbi diff`: what people get on standard output, and the exit codes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{Folder, example};

fn diff(before: &Path, after: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dalbi"))
        .arg("diff")
        .args([before, after])
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn weights_and_a_rule_that_is_no_longer_reached() {
    let after = Folder::of_example(
        "bookinfo",
        &[
            ("weight: 80", "weight: 50"),
            ("weight: 20", "weight: 50"),
            ("exact: jason", "prefix: jas"),
        ],
    );
    let output = diff(&example("bookinfo"), after.path(), &["--exit-code"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stdout(&output);
    let reviews = "reviews.default.svc.cluster.local:9080";
    for expected in [
        format!("to  80% {reviews}/v1, 20% {reviews}/v3\n"),
        format!("-> 50% {reviews}/v1, 50% {reviews}/v3\n"),
        "takes header end-user prefix `jas`".to_owned(),
        "1 rule added, 1 rule changed, 1 rule removed".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} in:\n{text}");
    }
    let json = diff(&example("bookinfo"), after.path(), &["--output", "json"]);
    assert_eq!(json.status.code(), Some(0), "without --exit-code");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["listeners"][0]["name"], "mesh");
    assert_eq!(
        json["listeners"][0]["hosts"][0]["rules"][0]["change"],
        "added"
    );
}

#[test]
fn order_and_file_names_make_no_difference() {
    let after = Folder::new();
    let mut documents: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(example("bookinfo")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(path).unwrap();
            documents.extend(text.split("\n---\n").map(str::to_owned));
        }
    }
    documents.sort_by_key(|text| std::cmp::Reverse(text.len()));
    after.write("all.yaml", &documents.join("\n---\n"));
    let output = diff(&example("bookinfo"), after.path(), &["--exit-code"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "no request is served differently\n")
    );
}

#[test]
fn documents_with_errors_are_not_compared() {
    let broken = Folder::of_example("bookinfo", &[("subset: v1", "subsett: v1")]);
    let output = diff(&example("bookinfo"), broken.path(), &["--exit-code"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(2), "")
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("unknown field `subsett`"), "{stderr}");
    let missing = diff(&example("bookinfo"), Path::new("no/such/folder"), &[]);
    assert_eq!(missing.status.code(), Some(3));
}
