//! Istio's own documents, where they are at hand: `DALBI_CONFORMANCE_DIR` names the folder.

use std::path::{Path, PathBuf};

use mesh::{Loaded, Options, Severity, SourceFile, load};

fn folder() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("DALBI_CONFORMANCE_DIR") else {
        eprintln!(
            "SKIPPED: DALBI_CONFORMANCE_DIR is not set, so Istio's own documents were not tried"
        );
        return None;
    };
    Some(Path::new(&folder).join("istio"))
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

/// Kinds whose validation this crate does. The others are not served yet, and only counted.
const VALIDATED: [&str; 3] = ["destinationrule", "serviceentry", "workloadentry"];

#[test]
fn the_api_servers_verdicts_are_ours() {
    let Some(folder) = folder() else { return };
    let (mut right, mut wrong, mut not_validated) = (0, Vec::new(), 0);
    for path in yaml_files(&folder.join("crd-validation")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let validated = VALIDATED.iter().any(|kind| name.starts_with(kind));
        let text = std::fs::read_to_string(&path).unwrap();
        for document in text
            .split("\n---\n")
            .filter(|document| document.contains("apiVersion:"))
        {
            let commented = |line: &&str| line.starts_with("_err") || line.starts_with('#');
            let expected = document.lines().find(|line| line.starts_with("_err"));
            let content: Vec<_> = document.lines().filter(|line| !commented(line)).collect();
            if !content.iter().any(|line| line.starts_with("apiVersion:")) {
                continue;
            }
            if !validated {
                not_validated += 1;
                continue;
            }
            let loaded = load_text(&path, &content.join("\n"));
            match (expected, errors(&loaded)) {
                (Some(_), errors) if !errors.is_empty() => right += 1,
                (None, errors) if errors.is_empty() => right += 1,
                (expected, errors) => {
                    wrong.push(format!(
                        "{}: {expected:?} {errors:?}\n{document}",
                        path.display()
                    ));
                }
            }
        }
    }
    println!(
        "{right} of {} verdicts are the API server's; {not_validated} are of kinds not served yet",
        right + wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
