//! `dalbi explain`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::LoadOptions;
use super::Output;
use crate::cli::{UsageError, Verdict};
use crate::documents::{self, Documents};
use crate::explain::{Client, Request, Story, find_listener};
use crate::report::{self, Style};

const EXAMPLES: &str = "\
Examples:
  dalbi explain examples/bookinfo GET http://bookinfo.example/productpage
  dalbi explain examples/bookinfo GET http://reviews:9080/ -H 'end-user: jason' --listener mesh
  dalbi explain manifests/ GET http://ratings:9080/ --from workload=reviews-v2,namespace=prod
  dalbi explain manifests/ CONNECT tls://db.example:5432
  dalbi explain manifests/ POST https://shop.example/cart --output json";

/// `dalbi explain`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder with documents, or one file
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Method of the request
    #[arg(required_unless_present = "requests")]
    method: Option<String>,
    /// URL of the request; scheme and port choose the listener
    #[arg(required_unless_present = "requests")]
    url: Option<String>,
    /// Header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Explain every request of a file, one a line as `METHOD URL`, with headers as `NAME: VALUE` behind tabs; the
    /// answers are JSON, one a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "url", "headers"])]
    requests: Option<PathBuf>,
    /// Name or port of the listener [default: by the URL]
    #[arg(long, value_name = "LISTENER")]
    listener: Option<String>,
    /// Who sends it, to the mesh: `workload=NAME,namespace=NAMESPACE,LABEL=VALUE`, each of which may be left out; a
    /// workload's labels are those of the Pod, WorkloadEntry or Deployment of its name
    #[arg(long, value_name = "CLIENT")]
    from: Option<Client>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    load: LoadOptions,
}

/// Routes the request through the folder's mesh and writes what happens to it to standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let requests = arguments.requests()?;
    let contents = documents::read(&arguments.folder)?;
    let mut options = arguments.load.to_mesh();
    if let Some(client) = &arguments.from {
        options = client
            .options(&options, &contents.files)
            .map_err(|e| UsageError(e.into()))?;
    }
    let documents = Documents::from_contents(contents, &options);
    let Some(mesh) = &documents.mesh else {
        let mut stderr = io::stderr();
        let style = Style::of(&stderr);
        report::write_diagnostics(&documents.diagnostics, &documents.files, &mut stderr, style)?;
        writeln!(stderr, "{}", report::summary_line(&documents))?;
        return Ok(Verdict::Findings);
    };
    let of_client = arguments.from.as_ref().map(|_| "mesh");
    let wanted = arguments.listener.as_deref().or(of_client);
    let unenforced = unenforced(&documents);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for request in &requests {
        let listener = find_listener(mesh, request, wanted).map_err(|e| UsageError(e.into()))?;
        let story = Story::new(mesh, listener, request, unenforced.clone());
        match arguments.output {
            _ if arguments.requests.is_some() => {
                serde_json::to_writer(&mut out, &story)?;
                writeln!(out)?;
            }
            Output::Text => story.write_text(&mut out)?,
            Output::Json => {
                serde_json::to_writer_pretty(&mut out, &story)?;
                writeln!(out)?;
            }
        }
    }
    out.flush()?;
    Ok(Verdict::Good)
}

impl Arguments {
    /// The one of the command line, or those of a file.
    fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let Some(path) = &self.requests else {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            let request = Request::new(&part(&self.method), &part(&self.url), &self.headers);
            return Ok(vec![request.map_err(|e| UsageError(e.into()))?]);
        };
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let lines = (1..).zip(text.lines());
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| {
                let mut parts = line.split('\t');
                let request = parts.next().unwrap_or_default();
                let (method, url) = request.split_once(' ').unwrap_or((request, ""));
                let headers: Vec<String> = parts.map(str::to_owned).collect();
                Request::new(method, url.trim(), &headers).map_err(|error| {
                    let place = format!("{}:{number}", path.display());
                    UsageError(anyhow::anyhow!("{place}: {error}")).into()
                })
            })
            .collect()
    }
}

/// How many policies there are about who may call, each of which the mesh has warned about.
fn unenforced(documents: &Documents) -> Vec<String> {
    const KINDS: [&str; 2] = ["AuthorizationPolicy", "RequestAuthentication"];
    let counted = KINDS.map(|kind| {
        let warning = format!("{kind} is not served yet");
        let warnings = documents.diagnostics.iter();
        let of_kind = warnings.filter(|diagnostic| diagnostic.message.starts_with(&warning));
        (kind, of_kind.count())
    });
    let there = counted.into_iter().filter(|(_, count)| *count > 0);
    there
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect()
}
