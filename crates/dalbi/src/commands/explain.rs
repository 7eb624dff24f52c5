//! `dalbi explain`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::LoadOptions;
use crate::cli::{UsageError, Verdict};
use crate::documents::Documents;
use crate::explain::{Request, Story, find_listener};
use crate::report::{self, Style};

const EXAMPLES: &str = "\
Examples:
  dalbi explain examples/bookinfo GET http://bookinfo.example/productpage
  dalbi explain examples/bookinfo GET http://reviews:9080/ -H 'end-user: jason' --listener mesh
  dalbi explain manifests/ POST https://shop.example/cart --output json";

/// `dalbi explain`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder with documents, or one file
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Method of the request
    method: String,
    /// URL of the request; scheme and port choose the listener
    url: String,
    /// Header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Name or port of the listener [default: by the URL]
    #[arg(long, value_name = "LISTENER")]
    listener: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    load: LoadOptions,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// Routes the request through the folder's mesh and writes what happens to it to standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let request = Request::new(&arguments.method, &arguments.url, &arguments.headers)
        .map_err(|e| UsageError(e.into()))?;
    let documents = Documents::load(&arguments.folder, &arguments.load.to_mesh())?;
    let Some(mesh) = &documents.mesh else {
        let mut stderr = io::stderr();
        let style = Style::of(&stderr);
        report::write_diagnostics(&documents.diagnostics, &documents.files, &mut stderr, style)?;
        writeln!(stderr, "{}", report::summary_line(&documents))?;
        return Ok(Verdict::Findings);
    };
    let listener = find_listener(mesh, &request, arguments.listener.as_deref())
        .map_err(|e| UsageError(e.into()))?;
    let story = Story::new(mesh, listener, &request);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match arguments.output {
        Output::Text => story.write_text(&mut out)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &story)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(Verdict::Good)
}
