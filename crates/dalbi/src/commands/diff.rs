//! `dalbi diff`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use mesh::{Mesh, SourceFile};

use super::LoadOptions;
use super::Output;
use crate::cli::Verdict;
use crate::diff::Differences;
use crate::documents::{self, Documents};
use crate::report::{self, Style};

const EXAMPLES: &str = "\
Examples:
  dalbi diff manifests/ manifests.new/
  git worktree add /tmp/main main && dalbi diff --exit-code /tmp/main/manifests manifests/

What is compared is what requests meet: listeners, hosts, rules (by host and conditions), where they lead, and
the endpoints there. Comments, the order of documents and files, and names of rules make no difference.

Exit code 0: compared; 1: with --exit-code, as in `git diff`, there are differences; 2: a folder's documents
have errors; 3: a folder cannot be read.";

/// `dalbi diff`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder (or file) with documents as they are
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// Folder (or file) with documents as they are to be
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Exit with 1 if there are differences
    #[arg(long)]
    exit_code: bool,
    /// How differences are written
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    load: LoadOptions,
}

/// Loads both folders and writes what differs for requests to standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let options = arguments.load.to_mesh();
    // Both before either is given up on, so that all errors are told.
    let before = load(&arguments.before, &options)?;
    let after = load(&arguments.after, &options)?;
    let (Some(before), Some(after)) = (before, after) else {
        return Ok(Verdict::BadInput);
    };
    let differences = Differences::between(&before, &after);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match arguments.output {
        Output::Text => differences.write_text(&mut out)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &differences)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    if arguments.exit_code && !differences.is_empty() {
        Ok(Verdict::Findings)
    } else {
        Ok(Verdict::Good)
    }
}

/// `None` once the errors have been told. Files are named as within the folder, so that certificates beside the
/// documents are the same ones on both sides.
fn load(root: &Path, options: &mesh::Options) -> anyhow::Result<Option<Mesh>> {
    let mut contents = documents::read(root)?;
    for SourceFile { path, .. } in &mut contents.files {
        if let Ok(within) = path.strip_prefix(root)
            && !within.as_os_str().is_empty()
        {
            *path = within.to_owned();
        }
    }
    let documents = Documents::from_contents(contents, options);
    if documents.mesh.is_none() {
        let mut stderr = io::stderr();
        let style = Style::of(&stderr);
        writeln!(stderr, "In {}:\n", root.display())?;
        report::write_diagnostics(&documents.diagnostics, &documents.files, &mut stderr, style)?;
        writeln!(stderr, "{}", report::summary_line(&documents))?;
    }
    Ok(documents.mesh)
}
