//! `check` and `explain` as processes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use serde_json::Value;
use support::{Folder, example, run_to_end};

/// A folder with an unknown field, a subset that nobody defines, and a kind that is not ours.
fn broken() -> Folder {
    let folder = Folder::new();
    folder.write(
        "routes.yaml",
        "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
spec:
  hosts: [shop.example]
  http:
  - route:
    - destination:
        host: shop.internal
        subsett: v1
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
",
    );
    folder
}

fn stdout(output: &std::process::Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn the_examples_are_without_a_finding() {
    for name in ["hello", "bookinfo", "grpc"] {
        let output = run_to_end(&["check", example(name).to_str().unwrap(), "--strict"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stdout(&output));
        assert!(
            stdout(&output).starts_with("no errors, no warnings in "),
            "{name}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn findings_point_at_the_line() {
    let folder = broken();
    let output = run_to_end(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("routes.yaml:11:9"), "{text}");
    assert!(text.contains("        subsett: v1\n"), "{text}");
    assert!(text.contains("        ^^^^^^^"), "{text}");
    assert!(text.contains("did you mean `subset`?"), "{text}");
    assert!(text.contains("in VirtualService default/shop"), "{text}");
    assert!(
        text.trim_end().ends_with("ignored: 1 apps/v1 Deployment"),
        "{text}"
    );
}

#[test]
fn findings_as_json() {
    let folder = broken();
    let output = run_to_end(&["check", folder.path().to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<&Value> = report["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["severity"] == "error")
        .collect();
    assert_eq!(report["errors"], errors.len());
    assert_eq!(errors[0]["source"]["line"], 11);
    assert_eq!(errors[0]["object"], "VirtualService default/shop");
    assert_eq!(
        report["summary"]["ignored"]["apps/v1 Deployment"]["count"],
        1
    );
}

#[test]
fn findings_as_sarif() {
    let folder = broken();
    let output = run_to_end(&[
        "check",
        folder.path().to_str().unwrap(),
        "--output",
        "sarif",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let result = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .find(|result| result["level"] == "error")
        .unwrap();
    let place = &result["locations"][0]["physicalLocation"];
    assert!(
        place["artifactLocation"]["uri"]
            .as_str()
            .unwrap()
            .ends_with("routes.yaml")
    );
    assert_eq!(
        place["region"],
        serde_json::json!({ "startLine": 11, "startColumn": 9 })
    );
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(
        rules.iter().any(|rule| rule["id"] == result["ruleId"]),
        "every rule that is named is described"
    );
}

#[test]
fn a_missing_folder_is_named() {
    for command in [
        &["check", "/no/such/folder"][..],
        &["explain", "/no/such/folder", "GET", "http://a/"],
    ] {
        let output = run_to_end(command);
        assert_eq!(output.status.code(), Some(3), "{command:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with("error: `/no/such/folder` does not exist"),
            "{stderr}"
        );
    }
}

fn explain(arguments: &[&str]) -> Value {
    let bookinfo = example("bookinfo");
    let output = run_to_end(
        &[
            &["explain", bookinfo.to_str().unwrap()],
            arguments,
            &["--output", "json"],
        ]
        .concat(),
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn explain_names_the_rule_and_why_not_the_others() {
    let story = explain(&["GET", "http://reviews:9080/reviews/1", "--listener", "mesh"]);
    assert_eq!(story["rejected"][0]["name"], "jason-sees-black-stars");
    assert!(
        story["rejected"][0]["reasons"][0]
            .as_str()
            .unwrap()
            .contains("end-user is absent"),
        "{story:#}"
    );
    assert_eq!(story["rule"]["name"], "canary");
    let destinations = story["outcome"]["destinations"].as_array().unwrap();
    let shares: Vec<_> = destinations
        .iter()
        .map(|to| (to["share"].as_f64().unwrap(), &to["cluster"]))
        .collect();
    let cluster = |subset| {
        Value::from(format!(
            "outbound|9080|{subset}|reviews.default.svc.cluster.local"
        ))
    };
    assert_eq!(shares, [(0.8, &cluster("v1")), (0.2, &cluster("v3"))]);
    assert_eq!(destinations[0]["endpoints"][0]["address"], "127.0.0.1:9111");
    assert_eq!(story["outcome"]["retries"]["attempts"], 2);

    let jason = explain(&[
        "GET",
        "http://reviews:9080/reviews/1",
        "--listener",
        "15001",
        "-H",
        "end-user: jason",
    ]);
    assert_eq!(jason["rule"]["name"], "jason-sees-black-stars");
    assert_eq!(jason["rejected"], serde_json::json!([]));
}

#[test]
fn explain_finds_the_listener_by_itself_or_says_which_there_are() {
    let story = explain(&["GET", "shop.example/productpage"]);
    assert_eq!(story["listener"]["port"], 8080);
    assert_eq!(story["outcome"]["kind"], "forward");
    assert_eq!(
        explain(&["GET", "http://shop.example:8080/admin"])["outcome"]["kind"],
        "not_found"
    );

    let bookinfo = example("bookinfo");
    let output = run_to_end(&[
        "explain",
        bookinfo.to_str().unwrap(),
        "GET",
        "https://shop.example/",
    ]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("nothing listens for https on port 443"),
        "{stderr}"
    );
    assert!(stderr.contains("`mesh` (http on port 15001)"), "{stderr}");
}

#[test]
fn explain_as_text_reads_in_order() {
    let bookinfo = example("bookinfo");
    let output = run_to_end(&[
        "explain",
        bookinfo.to_str().unwrap(),
        "GET",
        "http://ratings:9080/1",
        "--listener",
        "mesh",
    ]);
    let text = stdout(&output);
    let order = [
        "listener ",
        "virtual host ",
        "rule ",
        "request ",
        "timeout ",
        "retries ",
        "cluster ",
    ];
    let places: Vec<_> = order
        .iter()
        .map(|word| {
            text.find(word)
                .unwrap_or_else(|| panic!("no {word}in {text}"))
        })
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("timeout       2000 ms"), "{text}");
    assert!(
        text.contains("3 on gateway-error,connect-failure,refused-stream, 500 ms per try"),
        "{text}"
    );
}

#[test]
fn documents_with_errors_explain_nothing() {
    let folder = broken();
    let output = run_to_end(&[
        "explain",
        folder.path().to_str().unwrap(),
        "GET",
        "http://shop.example/",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("did you mean `subset`?")
    );
}
