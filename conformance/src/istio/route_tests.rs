//! Route tests in the format of istio-config-validator, by `dalbi test`.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::router_check;
use crate::dalbi::Binary;
use crate::known;
use crate::report::{Row, Test};

/// Documents and tests that belong together, and the exit code that the original's own tests expect.
struct Case {
    id: &'static str,
    /// Relative to the folder; all are put into one.
    files: &'static [&'static str],
    passes: bool,
    why: &'static str,
}

const CASES: &[Case] = &[
    Case {
        id: "route-tests/examples",
        files: &[
            "examples/virtualservice.yml",
            "examples/virtualservice_test.yml",
            "examples/destination.yml",
            "examples/multidocument_virtualservice.yml",
        ],
        passes: true,
        why: "the original's own example",
    },
    Case {
        id: "route-tests/delegate",
        files: &[
            "examples/delegate_virtualservice.yml",
            "examples/virtualservice_delegate_test.yml",
        ],
        passes: true,
        why: "the original's own example of delegates",
    },
    Case {
        id: "route-tests/unknown-field",
        files: &[
            "examples/virtualservice.yml",
            "internal/pkg/parser/testdata/invalid_test.yml",
        ],
        passes: false,
        why: "a test with a field that the format does not have is refused",
    },
    Case {
        id: "route-tests/invalid-documents",
        files: &[
            "internal/pkg/parser/testdata/invalid_vs.yml",
            "examples/virtualservice_test.yml",
        ],
        passes: false,
        why: "hosts that are no list are refused",
    },
    Case {
        id: "route-tests/router-check-details",
        files: &[
            "internal/pkg/istio-router-check/envoy/testdata/bookinfo/details/virtualservice.yaml",
            "internal/pkg/istio-router-check/envoy/testdata/tests/details/details_test.yml",
        ],
        passes: true,
        why: "a test of Envoy's route table check tool",
    },
    Case {
        id: "route-tests/router-check-reviews",
        files: &[
            "internal/pkg/istio-router-check/envoy/testdata/bookinfo/reviews/virtualservice.yml",
            "internal/pkg/istio-router-check/envoy/testdata/tests/reviews/reviews_test.yaml",
        ],
        passes: true,
        why: "a test of Envoy's route table check tool",
    },
    Case {
        id: "route-tests/router-check-command",
        files: &[
            "internal/pkg/istio-router-check/cmd/testdata/virtualservice.yml",
            "internal/pkg/istio-router-check/cmd/testdata/test.yml",
        ],
        passes: true,
        why: "a test of Envoy's route table check tool",
    },
];

/// One test with a row per case.
pub(super) async fn run(
    folder: &Path,
    binary: &Binary,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Test>> {
    let name = "route-tests";
    if !wanted(name) {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for case in CASES {
        let scratch = copy(&folder.join(name), case.files)?;
        let path = scratch.path().to_string_lossy();
        let output = binary.to_end(&["test", &path]).await?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let verdict = match (case.passes, output.status.code()) {
            (true, Some(0)) | (false, Some(2)) => Ok(()),
            (passes, code) => Err(format!(
                "expected {}, got exit code {code:?}: {said}",
                if passes {
                    "success"
                } else {
                    "a refusal (exit code 2)"
                }
            )),
        };
        rows.push(Row {
            id: case.id.to_owned(),
            title: case.why.to_owned(),
            outcome: known::judged(case.id, verdict),
        });
    }
    Ok(vec![Test {
        name: name.to_owned(),
        features: vec!["Istio".to_owned()],
        provisional: false,
        rows,
    }])
}

fn copy(folder: &Path, files: &[&str]) -> Result<TempDir> {
    let scratch = tempfile::tempdir().context("make a folder")?;
    for file in files {
        let name = file.replace('/', "-");
        let said = || format!("copy {file}");
        let mut text = std::fs::read_to_string(folder.join(file)).with_context(said)?;
        if text.starts_with("tests:") {
            text = router_check::convert(&text).with_context(said)?;
        }
        std::fs::write(scratch.path().join(name), text).with_context(said)?;
    }
    Ok(scratch)
}
