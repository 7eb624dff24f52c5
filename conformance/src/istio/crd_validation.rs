//! Documents that Istio's API server accepts or refuses, and why.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::samples::{file_name, sorted};
use super::{check, errors};
use crate::dalbi::Binary;
use crate::known;
use crate::report::{Row, Test};

/// A test per file, a row per document.
pub(super) async fn run(
    folder: &Path,
    binary: &Binary,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Test>> {
    let scratch = tempfile::tempdir().context("make a folder")?;
    let mut tests = Vec::new();
    for path in sorted(&folder.join("crd-validation"))? {
        let name = format!("crd-{}", file_name(&path).trim_end_matches(".yaml"));
        if !wanted(&name) {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut rows = Vec::new();
        for (index, document) in crate::yaml::documents(&text)?.iter().enumerate() {
            let file = scratch.path().join("document.yaml");
            std::fs::write(&file, without_error(&document.text)).context("write a document")?;
            let errors = errors(&check(binary, &file).await?);
            let id = format!("{name}/{index}");
            let title = format!(
                "{} {}",
                document.value["kind"], document.value["metadata"]["name"]
            );
            let verdict = judge(&document.value, &errors);
            rows.push(Row {
                outcome: known::judged(&id, verdict),
                title: title.replace('"', ""),
                id,
            });
        }
        tests.push(Test {
            name,
            features: vec!["Istio".to_owned()],
            provisional: false,
            rows,
        });
    }
    Ok(tests)
}

/// Without the field that says which error is expected.
fn without_error(text: &str) -> String {
    let mut within = false;
    let kept = text.lines().filter(|line| {
        let outer = line.starts_with(|first: char| first.is_alphanumeric() || first == '_');
        within = line.starts_with("_err:") || within && !outer;
        !within
    });
    kept.collect::<Vec<_>>().join("\n") + "\n"
}

fn judge(document: &Value, errors: &[String]) -> Result<(), String> {
    let Some(expected) = document["_err"].as_str() else {
        return match errors {
            [] => Ok(()),
            errors => Err(format!("expected no error, got {errors:?}")),
        };
    };
    let Some(meaning) = MEANINGS
        .iter()
        .find(|meaning| expected.contains(meaning.istio))
    else {
        return Err(format!(
            "nobody wrote down what {expected:?} means: add it to MEANINGS"
        ));
    };
    let field = field(expected);
    let same = |error: &&String| {
        let error = error.to_lowercase();
        let named = field
            .as_ref()
            .is_none_or(|field| error.contains(&field.to_lowercase()));
        named
            && meaning
                .words
                .iter()
                .all(|words| words.iter().any(|word| error.contains(word)))
    };
    match errors.iter().find(same) {
        Some(_) => Ok(()),
        None => Err(format!(
            "expected an error like {expected:?}, got {errors:?}"
        )),
    }
}

/// The field that a message begins with, from `spec` on.
fn field(message: &str) -> Option<String> {
    let rest = message.starts_with("spec").then_some(message)?;
    let end = rest.find([':', ' ']).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

/// What an error of ours has to say, in lower case, to mean the same as one of Istio's: one of each list of words.
struct Meaning {
    istio: &'static str,
    words: &'static [&'static [&'static str]],
}

/// The first whose words are in Istio's message counts.
const MEANINGS: &[Meaning] = &[
    Meaning {
        istio: "Cannot set serviceAccounts with namespaces or principals",
        words: &[
            &["serviceaccounts", "service accounts"],
            &["namespaces", "principals"],
        ],
    },
    Meaning {
        istio: "only support waypointMatch when context is WAYPOINT",
        words: &[&["waypoint"]],
    },
    Meaning {
        istio: "port must be between 1-65535",
        words: &[&["port"], &["65535"]],
    },
    Meaning {
        istio: "Unsupported value",
        words: &[&[
            "expected",
            "must be",
            "one of",
            "unknown",
            "not a",
            "is none of",
        ]],
    },
    Meaning {
        istio: "type conversion error from",
        words: &[&["port", "number"]],
    },
    Meaning {
        istio: "portLevelMtls requires selector",
        words: &[&["portlevelmtls"], &["selector"]],
    },
    Meaning {
        istio: "should have at least 1 properties",
        words: &[&["empty", "at least"]],
    },
    Meaning {
        istio: "greater than or equal to 0",
        words: &[&[
            "negative",
            "at least 0",
            "0 or more",
            "must be",
            "between 0",
        ]],
    },
    Meaning {
        istio: "key must not be empty",
        words: &[&["empty"]],
    },
    Meaning {
        istio: "only one of targetRefs or selector can be set",
        words: &[&["targetref"], &["one of", "together", "both", "only one"]],
    },
    Meaning {
        istio: "cross namespace referencing",
        words: &[&["namespace"]],
    },
    Meaning {
        istio: "should be at least 1 chars lon",
        words: &[&["empty", "at least 1"]],
    },
    Meaning {
        istio: "must be of type object",
        words: &[&[
            "object", "mapping", "missing", "required", "empty", "expected",
        ]],
    },
    Meaning {
        istio: "must be of type string",
        words: &[&["string", "text", "missing", "required", "null"]],
    },
    Meaning {
        istio: "url must have scheme",
        words: &[&["scheme", "http"]],
    },
    Meaning {
        istio: "url must have schema one of",
        words: &[&["scheme", "schema", "http", "oci"]],
    },
    Meaning {
        istio: "in body should match",
        words: &[&["must", "expected", "not a", "match", "is no", "only"]],
    },
    Meaning {
        istio: "must be a valid duration greater than",
        words: &[&["duration", "ms", "1ms"]],
    },
    Meaning {
        istio: "wildcard is not supported in selector",
        words: &[&["wildcard", "*"]],
    },
    Meaning {
        istio: "wildcard not allowed in label",
        words: &[&["wildcard", "*"]],
    },
    Meaning {
        istio: "hostname cannot be wildcard",
        words: &[&["wildcard", "*"]],
    },
    Meaning {
        istio: "only one of WorkloadSelector or Endpoints",
        words: &[&["workloadselector"], &["endpoints"]],
    },
    Meaning {
        istio: "CIDR addresses are allowed only",
        words: &[&["cidr", "range", "/"], &["none", "static"]],
    },
    Meaning {
        istio: "port number cannot be duplicated",
        words: &[
            &["port"],
            &["twice", "duplicate", "already", "more than once", "another"],
        ],
    },
    Meaning {
        istio: "Duplicate value",
        words: &[&[
            "twice",
            "duplicate",
            "already",
            "more than once",
            "another",
            "repeated",
        ]],
    },
    Meaning {
        istio: "NONE mode cannot set endpoints",
        words: &[&["none"], &["endpoints"]],
    },
    Meaning {
        istio: "DNS_ROUND_ROBIN mode cannot have multiple endpoints",
        words: &[&["dns_round_robin"], &["endpoint"]],
    },
    Meaning {
        istio: "value must be set when operation is UPSERT",
        words: &[&["value"], &["upsert", "required", "missing"]],
    },
    Meaning {
        istio: "value must not be set when operation is REMOVE",
        words: &[&["value"], &["remove"]],
    },
    Meaning {
        istio: "value may only be set when valueFrom is INLINE",
        words: &[&["value"], &["inline", "host"]],
    },
    Meaning {
        istio: "should be at least",
        words: &[&["empty", "at least", "missing", "required"]],
    },
    Meaning {
        istio: "Address is required",
        words: &[&["address"], &["required", "missing", "needs", "without"]],
    },
    Meaning {
        istio: "UDS may not be a dir",
        words: &[&["dir", "folder", "/"], &["socket", "unix", "uds"]],
    },
    Meaning {
        istio: "UDS must be an absolute path",
        words: &[&["absolute"]],
    },
    Meaning {
        istio: "UDS may not include ports",
        words: &[&["ports"], &["unix", "uds", "socket"]],
    },
    Meaning {
        istio: "Required value",
        words: &[&["missing", "required", "needs", "must be"]],
    },
    Meaning {
        istio: "Invalid value",
        words: &[&["must", "expected", "not", "is no", "between"]],
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_expected_error_is_cut_out() {
        let text = "_err: 'a\n  b'\nkind: K\nspec:\n  x: 1\n";
        assert_eq!(without_error(text), "kind: K\nspec:\n  x: 1\n");
    }

    #[test]
    fn an_error_has_to_mean_the_same() {
        let document = json!({"_err": "spec.warmup.minimumPercent: Invalid value"});
        let error = |text: &str| vec![text.to_owned()];
        let right =
            error("D a/b: spec.warmup.minimumPercent: must be between 0 and 100, but is 150");
        assert_eq!(judge(&document, &right), Ok(()));
        assert!(judge(&document, &[]).is_err());
        assert!(
            judge(
                &document,
                &error("D a/b: spec.warmup.duration: must be positive")
            )
            .is_err()
        );
        assert!(judge(&json!({}), &right).is_err());
        assert_eq!(judge(&json!({}), &[]), Ok(()));
        let unknown = json!({"_err": "something new"});
        assert!(judge(&unknown, &right).unwrap_err().contains("MEANINGS"));
    }
}
