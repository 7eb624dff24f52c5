//! Istio's own documents, where they are at hand: `DALBI_CONFORMANCE_DIR` names the folder.

use std::path::{Path, PathBuf};

use mesh::{Loaded, Options, Severity, SourceFile, load};

fn folder() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("DALBI_CONFORMANCE_DIR") else {
        let name = "istio-documents";
        let reason = "DALBI_CONFORMANCE_DIR is not set, so Istio's own documents were not tried";
        eprintln!("SKIPPED (loud): {name}: {reason}");
        note_skipped(name, reason);
        return None;
    };
    Some(Path::new(&folder).join("istio"))
}

/// Cargo swallows what passing tests print, so the list goes to a file too.
fn note_skipped(name: &str, reason: &str) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("DALBI_SKIPPED_FILE") else {
        return;
    };
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the list of skipped tests can be written");
    writeln!(file, "{name}: {reason}").expect("the list of skipped tests can be written");
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder
        .read_dir()
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("the folder stays while the test runs").path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn load_text(path: &Path, text: &str) -> Loaded {
    load(
        &[SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }],
        &Options::default(),
    )
}

fn errors(loaded: &Loaded) -> Vec<String> {
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

#[test]
fn samples_load_without_an_error() {
    let Some(folder) = folder() else { return };
    let files = yaml_files(&folder.join("samples"));
    assert!(!files.is_empty(), "no samples below {}", folder.display());
    let mut failed = Vec::new();
    for path in &files {
        let loaded = load_text(path, &std::fs::read_to_string(path).unwrap());
        let errors = errors(&loaded);
        if !errors.is_empty() || loaded.mesh.is_none() {
            failed.push(format!("{}: {errors:#?}", path.display()));
        }
    }
    println!(
        "{} of {} samples load",
        files.len() - failed.len(),
        files.len()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What an error must speak of where the API server's doesn't name the field: a part of its message, and of ours.
const SAME_MEANING: &[(&str, &[&str])] = &[
    ("Cannot set serviceAccounts", &["serviceAccounts"]),
    ("wildcard", &["wildcard", "must not be `*`"]),
    (
        "only one of WorkloadSelector or Endpoints",
        &["`workloadSelector` and `endpoints`"],
    ),
    ("hostname cannot be wildcard", &["must not be `*`"]),
    ("CIDR addresses are allowed only", &["CIDR addresses"]),
    ("Duplicate value", &["is there twice"]),
    ("port number cannot be duplicated", &["is there twice"]),
    ("port must be between", &["between 1 and 65535"]),
    ("NONE mode cannot set endpoints", &["resolution NONE"]),
    ("cannot have multiple endpoints", &["takes one endpoint"]),
    ("Address is required", &["spec.address: is required"]),
    ("UDS may not be a dir", &["Unix socket must be"]),
    ("UDS must be an absolute path", &["Unix socket must be"]),
    ("UDS may not include ports", &["has no ports"]),
    ("key must not be empty", &["key must not be empty"]),
    ("only support waypointMatch", &["waypoint"]),
    ("BLAH", &["BLAH"]),
    ("MANDATORY", &["MANDATORY"]),
    ("type conversion error", &["must be a number"]),
    (
        "portLevelMtls requires selector",
        &["portLevelMtls: takes a `selector`"],
    ),
    (
        "only one of targetRefs or selector",
        &["only one of `selector`"],
    ),
    ("cross namespace referencing", &["namespace: can't be set"]),
    ("must be a valid duration", &["must be a duration"]),
    ("url must have scheme", &["must be a URL"]),
    ("url must have schema", &["must be a URL"]),
    ("value must be set when", &["value: must be set when"]),
    (
        "value must not be set when",
        &["value: must not be set when"],
    ),
    (
        "value may only be set when",
        &["value: may only be set when"],
    ),
    ("should be at least", &["must not be empty"]),
    ("name in body", &["name"]),
    ("header in body should match", &["header"]),
    ("spec: Required value", &["spec: is required"]),
    (
        "spec in body must be of type object",
        &["spec: is required"],
    ),
    ("customMetric in body", &["customMetric"]),
];

/// Whether one of our errors says what the API server's says: at the field that it names, or in those words.
fn means_the_same(theirs: &str, ours: &[String]) -> bool {
    let has = |text: &str| ours.iter().any(|error| error.contains(text));
    let path = theirs.split([' ', ':']).next().unwrap_or_default();
    if path.starts_with("spec.") && has(&format!("{path}: ")) {
        return true;
    }
    // Of a list's or a port's items the API server names the list.
    if path.starts_with("spec.") && has(path) {
        return true;
    }
    let mut meanings = SAME_MEANING.iter();
    meanings.any(|(part, words)| theirs.contains(part) && words.iter().any(|word| has(word)))
}

#[test]
fn the_api_servers_verdicts_are_ours() {
    let Some(folder) = folder() else { return };
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for path in yaml_files(&folder.join("crd-validation")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for document in text
            .split("\n---")
            .filter(|document| document.contains("apiVersion:"))
        {
            let commented = |line: &&str| line.starts_with("_err") || line.starts_with('#');
            let expected = document.lines().find_map(|line| line.strip_prefix("_err:"));
            let expected = expected.map(|line| line.trim().trim_matches(['"', '\'']));
            let content: Vec<_> = document.lines().filter(|line| !commented(line)).collect();
            if !content.iter().any(|line| line.starts_with("apiVersion:")) {
                continue;
            }
            let loaded = load_text(&path, &content.join("\n"));
            match (expected, errors(&loaded)) {
                (Some(theirs), ours) if means_the_same(theirs, &ours) => refused += 1,
                (None, ours) if ours.is_empty() => accepted += 1,
                (theirs, ours) => wrong.push(format!(
                    "{}: {theirs:?} {ours:#?}\n{document}",
                    path.display()
                )),
            }
        }
    }
    println!("{accepted} accepted and {refused} refused as the API server does");
    assert!(
        wrong.is_empty(),
        "{} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(accepted >= 35 && refused >= 77, "too few cases are left");
}

#[test]
fn route_test_documents_load() {
    let Some(folder) = folder() else { return };
    let files = yaml_files(&folder.join("route-tests"));
    let (mut tried, mut failed) = (0, Vec::new());
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let is_expected_to_fail = path.to_string_lossy().contains("invalid");
        if !text.contains("kind: VirtualService") || is_expected_to_fail {
            continue;
        }
        tried += 1;
        let errors = errors(&load_text(path, &text));
        if !errors.is_empty() {
            failed.push(format!("{}: {errors:#?}", path.display()));
        }
    }
    println!(
        "{} of {tried} route-test documents load",
        tried - failed.len()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
