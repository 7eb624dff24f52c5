//! `dalbi check`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use mesh::Severity;
use mesh::gateway_api::FEATURES;

use super::LoadOptions;
use crate::cli::Verdict;
use crate::documents::Documents;
use crate::report::{self, Format, Style};

const EXAMPLES: &str = "\
Examples:
  dalbi check manifests/
  dalbi check manifests/ --output sarif > dalbi.sarif
  dalbi check --features

Exit code 0: no errors; 1: errors (with --strict also warnings); 3: the folder cannot be read.";

/// `dalbi check`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder with documents (every *.yaml, *.yml and *.json below it), or one file
    #[arg(value_name = "DIR", required_unless_present = "features")]
    folder: Option<PathBuf>,
    /// Print the names of the Gateway API's features that are served, one a line, and look at no documents
    #[arg(long)]
    features: bool,
    /// How findings are written
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// Let warnings count as errors
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    load: LoadOptions,
}

/// Loads the folder and writes what was found to standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let Some(folder) = arguments.folder.as_ref().filter(|_| !arguments.features) else {
        let mut out = io::stdout().lock();
        for feature in FEATURES {
            writeln!(out, "{feature}")?;
        }
        return Ok(Verdict::Good);
    };
    let options = arguments.load.to_mesh();
    let mut documents = Documents::load(folder, &options)?;
    documents.check_tls_files();
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = io::BufWriter::new(stdout.lock());
    report::write(&documents, arguments.output, &mut out, style)?;
    out.flush()?;
    if let Some(absence) = documents.absence(&options) {
        writeln!(io::stderr(), "warning: {absence}")?;
    }
    let warnings_count = arguments.strict && documents.count(Severity::Warning) > 0;
    if documents.mesh.is_none() || warnings_count {
        Ok(Verdict::Findings)
    } else {
        Ok(Verdict::Good)
    }
}
