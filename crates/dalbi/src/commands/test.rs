//! `dalbi test`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use mesh::{Diagnostic, SourceFile};
use serde_json::json;

use super::LoadOptions;
use crate::cli::{UsageError, Verdict};
use crate::documents;
use crate::report::{self, Style};
use crate::route_tests::{self, Assumed, Case, Tried, Untried};

const EXAMPLES: &str = "\
Examples:
  dalbi test examples/route-tests
  dalbi test manifests/ tests/routes.yaml --junit routes.xml
  dalbi test manifests/ --filter checkout

A test case, in a *.yaml or *.json file of its own below DIR or named after it:

  testCases:
  - description: users go to the new service
    wantMatch: true
    request: { authority: [shop.example], method: [GET, POST], uri: [/users, /users/7] }
    route:
    - destination: { host: users.default.svc.cluster.local, port: { number: 80 } }
    expect: { timeout: 2s, shares: { users: 100% } }

Exit code 0: all passed; 1: a test failed; 2: tests or documents can't be used; 3: a file can't be read.";

/// `dalbi test`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder (or file) with documents; test files in it are run
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Further files or folders with tests
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run only tests with this in their description
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also write the results there as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the results to standard output as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    load: LoadOptions,
}

/// Reads everything, tries every case, and writes what came of it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let mut contents = documents::read(&arguments.folder)?;
    let mut tests = std::mem::take(&mut contents.tests);
    for path in &arguments.files {
        let named = documents::read(path)?;
        contents.problems.extend(named.problems);
        // A file that is named here holds tests, even if it does not look like it.
        let named = named
            .tests
            .into_iter()
            .chain(named.files.into_iter().filter(|file| file.path == *path));
        let new = named.filter(|file| !tests.iter().any(|known| known.path == file.path));
        let new: Vec<_> = new.collect();
        tests.extend(new);
    }
    let (cases, diagnostics) = route_tests::decode_all(&tests);
    if has_errors(&diagnostics) {
        tell(&diagnostics, &tests)?;
        return Ok(Verdict::BadInput);
    }
    if cases.is_empty() {
        let message = "no file with `testCases` is below the folder or named after it; `dalbi test --help` shows one";
        return Err(UsageError(anyhow::anyhow!(message)).into());
    }
    if contents.files.is_empty() && contents.problems.is_empty() {
        let folder = arguments.folder.display();
        let message = format!(
            "`{folder}` has tests but no documents; name the folder with documents before them"
        );
        return Err(UsageError(anyhow::anyhow!(message)).into());
    }
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let chosen: Vec<Case> = cases
        .into_iter()
        .filter(|case| case.description.contains(filter))
        .collect();
    if chosen.is_empty() {
        let message = format!("no test has `{filter}` in its description");
        return Err(UsageError(anyhow::anyhow!(message)).into());
    }
    let base = arguments.load.to_mesh();
    let assumed = route_tests::assumed(&contents.files, &base.default_namespace);
    let (results, warnings) = match route_tests::try_all(chosen, &contents, &assumed, &base) {
        Ok(tried) => tried,
        Err(Untried::Client(error)) => return Err(UsageError(anyhow::anyhow!(error)).into()),
        Err(Untried::Documents(documents)) => {
            tell(&documents.diagnostics, &documents.files)?;
            return Ok(Verdict::BadInput);
        }
    };
    if let Some(path) = &arguments.junit {
        fs::write(path, route_tests::write_junit(&results))
            .with_context(|| format!("write {}", path.display()))?;
    }
    write(arguments, &results, &assumed, warnings)?;
    let passed = results
        .iter()
        .all(|(_, verdict)| verdict.failures.is_empty());
    Ok(if passed {
        Verdict::Good
    } else {
        Verdict::Findings
    })
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == mesh::Severity::Error)
}

fn tell(diagnostics: &[Diagnostic], files: &[SourceFile]) -> io::Result<()> {
    let mut stderr = io::stderr();
    let style = Style::of(&stderr);
    report::write_diagnostics(diagnostics, files, &mut stderr, style)
}

fn write(
    Arguments {
        folder,
        json: as_json,
        ..
    }: &Arguments,
    results: &[Tried],
    assumed: &Assumed,
    warnings: usize,
) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let failed = results
        .iter()
        .filter(|(_, verdict)| !verdict.failures.is_empty())
        .count();
    let passed = results.len() - failed;
    if *as_json {
        let tests: Vec<_> = results
            .iter()
            .map(|(case, verdict)| {
                json!({
                    "description": case.description,
                    "source": case.source,
                    "passed": verdict.failures.is_empty(),
                    "requests": verdict.requests,
                    "failures": verdict.failures,
                })
            })
            .collect();
        let report =
            json!({ "tests": tests, "passed": passed, "failed": failed, "assumed": assumed.notes });
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        for note in &assumed.notes {
            writeln!(out, "note: {note}")?;
        }
        for (case, verdict) in results {
            route_tests::write_text(case, verdict, &mut out)?;
        }
        writeln!(out, "{passed} passed, {failed} failed")?;
        if failed > 0 && warnings > 0 {
            let folder = folder.display();
            writeln!(
                out,
                "the documents have warnings, which may say why: dalbi check {folder}"
            )?;
        }
    }
    out.flush()?;
    Ok(())
}
