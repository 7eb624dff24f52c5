//! `dalbi test`: what people and CI systems get, and the exit codes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::ffi::OsStr;
use std::process::{Command, Output};

use support::{Folder, example};

fn dalbi<A: AsRef<OsStr>>(command: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dalbi"))
        .arg(command)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_change_of_weights_fails_the_test_of_their_shares() {
    let folder = Folder::of_example(
        "route-tests",
        &[("weight: 90", "weight: 50"), ("weight: 10", "weight: 50")],
    );
    let junit = folder.path().join("junit.xml");
    let output = dalbi(
        "test",
        [
            folder.path().as_os_str(),
            OsStr::new("--junit"),
            junit.as_os_str(),
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output.stdout);
    for line in [
        "          expected  10% cart/canary, 90% cart/stable (each within 0.5%)",
        "          got       50% cart.default.svc.cluster.local/stable, 50% cart.default.svc.cluster.local/canary",
        "6 passed, 1 failed",
    ] {
        assert!(
            told.lines().any(|found| found == line),
            "{line} in:\n{told}"
        );
    }
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("<testsuites name=\"dalbi test\" tests=\"7\" failures=\"1\">"),
        "{junit}"
    );
    assert!(
        junit.contains("<failure message=\"2 of 2 requests\">FAIL  a tenth of the carts"),
        "{junit}"
    );
}

#[test]
fn some_tests_can_be_chosen_and_read_by_programs() {
    let folder = example("route-tests");
    let output = dalbi(
        "test",
        [
            folder.as_os_str(),
            OsStr::new("--filter"),
            OsStr::new("staff"),
            OsStr::new("--json"),
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&2.into(), &0.into()),
        "{report}"
    );
    let none = dalbi(
        "test",
        [
            folder.as_os_str(),
            OsStr::new("--filter"),
            OsStr::new("no such test"),
        ],
    );
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn tests_that_cannot_be_used_say_where() {
    let folder = Folder::of_example("route-tests", &[("shares:", "share:")]);
    let output = dalbi("test", [folder.path()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let told = text(&output.stderr);
    assert!(told.contains("unknown field `share`"), "{told}");
    assert!(told.contains("shop_test.yaml:22:5"), "{told}");
    assert!(told.contains("did you mean `shares`?"), "{told}");
}

#[test]
fn tests_alone_are_not_enough() {
    let output = dalbi("test", [example("route-tests").join("shop_test.yaml")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("has tests but no documents"),
        "{output:?}"
    );
}

#[test]
fn other_commands_leave_test_files_alone() {
    let output = dalbi("check", [example("route-tests")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = text(&output.stdout);
    assert!(
        told.contains("in 1 file: 1 VirtualService; left to `dalbi test`: 1 file"),
        "{told}"
    );
}

#[test]
fn who_asks_decides_about_rules_for_some() {
    let folder = Folder::new();
    folder.write(
        "routes.yaml",
        "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a }
spec:
  hosts: [a.example]
  http:
  - match: [{ sourceLabels: { app: web } }]
    directResponse: { status: 201 }
  - match: [{ sourceNamespace: prod }]
    directResponse: { status: 202 }
  - directResponse: { status: 203 }
---
apiVersion: v1
kind: Pod
metadata: { name: web-1, labels: { app: web } }
",
    );
    let case = |from: &str, status: u16| {
        format!(
            "- {{ description: '{from}', from: {from}, request: {{ authority: a.example }}, expect: {{ status: {status} }} }}\n"
        )
    };
    let cases = [
        case("{ workload: web-1 }", 201),
        case("{ labels: { app: web } }", 201),
        case("{ namespace: prod }", 202),
        case("{}", 203),
    ];
    folder.write("a_test.yaml", &format!("testCases:\n{}", cases.concat()));
    let output = dalbi("test", [folder.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}
