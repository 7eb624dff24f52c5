//! Makes meshes of generations' documents, for the engine.

use std::path::Path;
use std::sync::Arc;

use engine::{Findings, Loaded, Loader};
use generations::Document;
use mesh::{Diagnostic, Severity, SourceFile};
use serde_json::json;

use super::{Contents, Documents, observed};
use crate::report;
use crate::route_tests::{self, Untried};

/// Checks documents as `dalbi check` and `dalbi test` do, for this process's labels, namespace and place.
#[derive(Debug, Clone)]
pub(crate) struct MeshLoader {
    options: mesh::Options,
}

impl MeshLoader {
    pub(crate) fn new(options: mesh::Options) -> Self {
        Self { options }
    }

    /// What it goes by.
    pub(crate) fn options(&self) -> &mesh::Options {
        &self.options
    }

    /// The documents' own tests: one that fails is as good as an error.
    pub(crate) fn run_tests(&self, contents: &Contents) -> Result<(), Findings> {
        run_tests(contents, &self.options)
    }
}

impl Loader for MeshLoader {
    fn split(&self, documents: Vec<Document>) -> (Vec<Document>, Vec<Document>) {
        observed::split(documents)
    }

    fn load(
        &self,
        source: &str,
        documents: &[Document],
        observed: &[Document],
    ) -> Result<Loaded, Findings> {
        let contents = contents(source, documents, observed);
        let tests = self.run_tests(&contents);
        let mut documents = Documents::from_contents(contents, &self.options);
        let Some(mesh) = documents.mesh.take() else {
            return Err(findings(&documents.diagnostics));
        };
        tests?;
        Ok(Loaded {
            mesh: Arc::new(mesh),
            objects: json!(documents.statuses),
            summary: report::summary_line(&documents),
        })
    }
}

/// The documents as a folder would hold them.
fn contents(source: &str, documents: &[Document], observed: &[Document]) -> Contents {
    let folder = Path::new(source);
    let mut contents = Contents::default();
    for Document { path, text } in documents.iter().chain(observed) {
        let file = SourceFile {
            path: folder.join(path),
            text: text.clone(),
        };
        if route_tests::is_test_file(text) {
            contents.tests.push(file);
        } else {
            contents.files.push(file);
        }
    }
    contents
}

/// What a folder holds, as the documents of a generation: named from the folder on.
pub(crate) fn documents_of(contents: &Contents, folder: &Path) -> Vec<Document> {
    let files = contents.files.iter().chain(&contents.tests);
    let document = |file: &SourceFile| {
        let path = file.path.strip_prefix(folder).unwrap_or(&file.path);
        // A folder that is a single file.
        let path = if path.as_os_str().is_empty() {
            Path::new(folder.file_name().unwrap_or(folder.as_os_str()))
        } else {
            path
        };
        Document {
            path: path.display().to_string(),
            text: file.text.clone(),
        }
    };
    files.map(document).collect()
}

fn run_tests(contents: &Contents, options: &mesh::Options) -> Result<(), Findings> {
    if contents.tests.is_empty() {
        return Ok(());
    }
    let (cases, diagnostics) = route_tests::decode_all(&contents.tests);
    if diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error)
    {
        return Err(findings(&diagnostics));
    }
    let assumed = route_tests::assumed(&contents.files, &options.default_namespace);
    let tried = match route_tests::try_all(cases, contents, &assumed, options) {
        Ok((tried, _)) => tried,
        Err(Untried::Client(text)) => {
            let list = json!(text);
            return Err(Findings { text, list });
        }
        Err(Untried::Documents(documents)) => return Err(findings(&documents.diagnostics)),
    };
    let failed: Vec<_> = tried
        .iter()
        .filter(|(_, verdict)| !verdict.failures.is_empty())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut text = Vec::new();
    for (case, verdict) in &failed {
        route_tests::write_text(case, verdict, &mut text).expect("memory takes all");
    }
    let list = failed.iter().map(|(case, verdict)| {
        json!({
            "test": case.description,
            "source": case.source.to_string(),
            "failures": verdict.failures,
        })
    });
    Err(Findings {
        text: format!(
            "{} of its tests failed:\n{}",
            failed.len(),
            String::from_utf8_lossy(&text)
        ),
        list: list.collect(),
    })
}

/// Errors on one line for the log, and as a list for programs.
pub(crate) fn findings(diagnostics: &[Diagnostic]) -> Findings {
    let errors = diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    let text: Vec<_> = errors.map(ToString::to_string).collect();
    Findings {
        text: text.join("; "),
        list: json!(diagnostics),
    }
}
