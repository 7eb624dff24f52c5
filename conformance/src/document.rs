//! The result table as it stands in `docs/conformance.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::{Counts, Outcome, Report, Test};

/// Features that the Gateway API calls core; a test that needs another one is extended.
const CORE: [&str; 8] = [
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "TLSRoute",
    "TCPRoute",
    "UDPRoute",
    "ReferenceGrant",
    "Mesh",
];

/// The kinds of traffic by which reports are published, each with the feature that makes a test part of it.
const PROFILES: [(&str, &str); 6] = [
    ("Mesh", "Mesh"),
    ("gRPC", "GRPCRoute"),
    ("TLS", "TLSRoute"),
    ("TCP", "TCPRoute"),
    ("UDP", "UDPRoute"),
    ("HTTP", ""),
];

const HEAD: &str = "\
# Conformance

Written by `cargo xtask conformance --write`, which sends third-party cases through the real binary; the cases
themselves are no part of this repository (`DALBI_CONFORMANCE_DIR` names their folder). `cargo xtask conformance`
shows each row, and `cargo test -p conformance` fails when one that should pass does not.

";

const GATEWAY_API: &str = "\
## Gateway API

The cases are those of the Gateway API's own suite (after v1.6.0). A row is a request and what is to come of it:
status, backend, the request that the backend saw, redirect, headers, mirrors, shares. A test passes when all of its
rows do. Tests without rows look at status conditions only; `crates/gateway-api` checks those.

Published reports list tests by profile. Of the HTTP profile, the best implementations pass all: 37 core and 57
extended tests, those of status conditions among them.

";

/// The whole document.
#[must_use]
pub fn text(gateway_api: &Report, istio: &Report) -> String {
    let mut text = HEAD.to_owned() + GATEWAY_API;
    profiles(&mut text, gateway_api);
    features(&mut text, gateway_api);
    not_passed(&mut text, gateway_api);
    text.push_str(
        "## Istio\n\nDocuments that Istio's API server accepts or refuses, Istio's samples with the requests of its \
         documentation,\nand route tests in the format of istio-config-validator.\n\n| test | rows passed |\n|---|---|\n",
    );
    for test in &istio.tests {
        let counts = Counts::of(&test.rows);
        // Writing to a string cannot fail, here and below.
        let _written = writeln!(
            text,
            "| {} | {} of {} |",
            test.name,
            counts.passed,
            test.rows.len()
        );
    }
    text.push('\n');
    not_passed(&mut text, istio);
    while text.ends_with("\n\n") {
        text.pop();
    }
    text
}

fn is_core(test: &Test) -> bool {
    test.features
        .iter()
        .all(|feature| CORE.contains(&feature.as_str()))
}

fn profile(test: &Test) -> &'static str {
    let of = |(_, feature): &&(&str, &str)| {
        feature.is_empty() || test.features.iter().any(|one| one == feature)
    };
    PROFILES.iter().find(of).map_or("HTTP", |(name, _)| name)
}

fn passes(test: &Test) -> bool {
    test.rows
        .iter()
        .all(|row| matches!(row.outcome, Outcome::Passed | Outcome::Surprise(_)))
}

fn profiles(text: &mut String, report: &Report) {
    text.push_str(
        "| profile | core tests passed | extended tests passed | conditions only | rows passed |\n",
    );
    text.push_str("|---|---|---|---|---|\n");
    for (name, _) in PROFILES.iter().rev() {
        let of = || report.tests.iter().filter(|test| profile(test) == *name);
        let asked =
            |core: bool| of().filter(move |test| !test.rows.is_empty() && is_core(test) == core);
        let passed = |core: bool| asked(core).filter(|test| passes(test)).count();
        let rows = Counts::of(of().flat_map(|test| &test.rows));
        let silent = of().filter(|test| test.rows.is_empty()).count();
        let total: usize = of().map(|test| test.rows.len()).sum();
        let _written = writeln!(
            text,
            "| {name} | {} of {} | {} of {} | {silent} | {} of {total} |",
            passed(true),
            asked(true).count(),
            passed(false),
            asked(false).count(),
            rows.passed,
        );
    }
    text.push('\n');
}

fn features(text: &mut String, report: &Report) {
    let mut by_feature: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in report.tests.iter().filter(|test| !test.rows.is_empty()) {
        for feature in &test.features {
            by_feature.entry(feature).or_default().push(test);
        }
    }
    text.push_str(
        "| feature | support | tests passed | rows passed | tests |\n|---|---|---|---|---|\n",
    );
    for (feature, tests) in by_feature {
        let core = CORE.contains(&feature);
        // Those of core features are too many to name, and are in the lines of the extended ones.
        let named: Vec<&str> = match core {
            true => Vec::new(),
            false => tests.iter().map(|test| test.name.as_str()).collect(),
        };
        let rows = || tests.iter().flat_map(|test| &test.rows);
        let _written = writeln!(
            text,
            "| {feature} | {} | {} of {} | {} of {} | {} |",
            if core { "core" } else { "extended" },
            tests.iter().filter(|test| passes(test)).count(),
            tests.len(),
            Counts::of(rows()).passed,
            rows().count(),
            named.join(", "),
        );
    }
    text.push('\n');
}

/// What did not pass, by its reason.
fn not_passed(text: &mut String, report: &Report) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in report.tests.iter().flat_map(|test| &test.rows) {
        let reason = match &row.outcome {
            Outcome::Passed | Outcome::Surprise(_) => continue,
            Outcome::Failed(_) => "not as expected",
            Outcome::Known(_, reason) => reason,
            Outcome::Unsupported(reason) => reason,
        };
        reasons.entry(reason).or_default().push(&row.id);
    }
    for (reason, rows) in &reasons {
        let _written = writeln!(text, "- {}: {reason}", rows.join(", "));
    }
    if !reasons.is_empty() {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Row;

    #[test]
    fn a_test_counts_for_its_profile_and_each_of_its_features() {
        let row = |outcome: Outcome| Row {
            id: "T/1".to_owned(),
            title: String::new(),
            outcome,
        };
        let test = |features: &[&str], rows: Vec<Row>| Test {
            name: "T".to_owned(),
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
            provisional: false,
            rows,
        };
        let failed = || row(Outcome::Failed("so".to_owned()));
        let report = Report {
            tests: vec![
                test(&["Gateway", "HTTPRoute"], vec![row(Outcome::Passed)]),
                test(
                    &["Gateway", "HTTPRoute", "X"],
                    vec![row(Outcome::Passed), failed()],
                ),
                test(&["Gateway", "GRPCRoute"], Vec::new()),
            ],
        };
        let text = text(&report, &Report::default());
        assert!(
            text.contains("| HTTP | 1 of 1 | 0 of 1 | 0 | 2 of 3 |"),
            "{text}"
        );
        assert!(
            text.contains("| gRPC | 0 of 0 | 0 of 0 | 1 | 0 of 0 |"),
            "{text}"
        );
        assert!(
            text.contains("| X | extended | 0 of 1 | 1 of 2 | T |"),
            "{text}"
        );
        assert!(text.contains("- T/1: not as expected"), "{text}");
    }
}
