//! `dalbi apply`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use engine::Loader;
use engine::api::{Accepted, Apply, Overview, Terms};
use generations::{Document, GenerationId, PrivateKey, Proposal, Signature};
use http::StatusCode;
use serde_json::{Value, json};

use super::LoadOptions;
use crate::admin_client::{AdminClient, AdminOptions, Endpoint};
use crate::cli::{UsageError, Verdict};
use crate::documents::{self, Documents, MeshLoader};
use crate::follow::{Ending, Follower, Outcome, Remote, Screen};
use crate::history;
use crate::report::{self, Style};
use crate::serve::TrialOptions;

const EXAMPLES: &str = "\
Examples:
  dalbi apply manifests/ --reason 'a tenth of carts to the canary'
  dalbi apply manifests/ --canary 10% --probation 5m --gate errors=0.5%,p99=20%
  dalbi apply manifests/ --confirm-by-remote http://shop.example
  dalbi apply manifests/ --no-wait --json

The documents and their tests are checked here first, then sent to the process that serves (`dalbi run`). It serves \
by them at once and watches them for the time of their probation: what hurts is taken back by itself. \
docs/generations.md explains it.

Exit code 0: confirmed, as read back; 1: the documents have errors or their tests fail; 2: usage; 3: something \
failed, such as nobody to ask or a parent that is not current any more; 4: taken back (rolled back, cancelled or \
superseded); 5: held for want of evidence, or not waited for.";

/// `dalbi apply`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder with documents: every *.yaml, *.yml and *.json below it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Why, for the history
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Who wants it, for the history [default: the user]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Generation that it has to follow, by number, beginning of its id or `none`, or `any` [default: what is current
    /// when the command starts]
    #[arg(long, value_name = "GENERATION")]
    parent: Option<String>,
    /// File with an ed25519 private key to sign with, as `openssl genpkey -algorithm ed25519` writes it
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    /// End once it serves
    #[arg(long, conflicts_with = "confirm_by_remote")]
    no_wait: bool,
    /// Write the result to standard output as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trial: TrialOptions,
    /// Confirm only if this command gets through to this URL, a listener of the generation itself: one that cuts its
    /// author off is taken back
    #[arg(long, value_name = "URL", help_heading = "Trying a generation")]
    confirm_by_remote: Option<String>,
    /// Take the place of a generation that is still being tried
    #[arg(long, help_heading = "Trying a generation")]
    supersede: bool,
    /// Try it although the same documents were rolled back before
    #[arg(long, help_heading = "Trying a generation")]
    force: bool,
    #[command(flatten)]
    admin: AdminOptions,
    #[command(flatten)]
    load: LoadOptions,
}

/// Checks, sends, waits, and says what became of it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let applied = runtime.block_on(apply(arguments));
    let mut out = io::stdout().lock();
    match &applied {
        Ok(Applied::Ended(ending)) if arguments.json => writeln!(out, "{:#}", ending.json())?,
        Ok(Applied::Ended(ending)) => writeln!(out, "{}", ending.line())?,
        Ok(Applied::Refused(findings)) if arguments.json => {
            writeln!(
                out,
                "{:#}",
                json!({ "outcome": "findings", "findings": findings })
            )?;
        }
        Ok(Applied::Refused(_)) => {}
        Err(error) if arguments.json => {
            let object = json!({ "outcome": "failed", "error": format!("{error:#}") });
            writeln!(out, "{object:#}")?;
        }
        Err(_) => {}
    }
    Ok(match applied? {
        Applied::Ended(ending) => ending.verdict(),
        Applied::Refused(_) => Verdict::Findings,
    })
}

/// What came of it.
enum Applied {
    Ended(Box<Ending>),
    /// The documents have errors, which has been told; they are these.
    Refused(Value),
}

async fn apply(arguments: &Arguments) -> anyhow::Result<Applied> {
    let terms = terms(arguments)?;
    let trust = arguments.admin.trust();
    let remote = arguments.confirm_by_remote.as_deref();
    let remote = remote.map(|url| Endpoint::of(url, &trust)).transpose()?;
    // Before the documents are read: whoever confirms something else meanwhile was not seen by their author. Findings
    // are told even if there is nobody to ask.
    let asked = ask(arguments).await;
    let checked = match check(arguments)? {
        Ok(documents) => documents,
        Err(findings) => return Ok(Applied::Refused(findings)),
    };
    let (client, parent) = asked?;
    let source = std::fs::canonicalize(&arguments.folder).context("find the folder")?;
    let author = arguments.author.clone().unwrap_or_else(engine::author);
    let mut apply = Apply {
        documents: checked,
        author,
        reason: arguments.reason.clone(),
        source: source.display().to_string(),
        terms,
        signature: None,
    };
    if let Some(file) = &arguments.sign_key {
        apply.signature = Some(sign(file, &apply, parent.current, arguments)?);
    }
    let accepted: Accepted = match client.apply(&apply, &parent.header).await {
        Ok(accepted) => accepted,
        Err(error) => match error.problem() {
            Some((StatusCode::UNPROCESSABLE_ENTITY, problem)) => {
                writeln!(
                    io::stderr(),
                    "{} refused the documents: {}",
                    client.url(),
                    problem.error
                )?;
                return Ok(Applied::Refused(problem.findings.clone()));
            }
            _ => return Err(error.into()),
        },
    };
    let ending = follow(arguments, client, &accepted, remote).await?;
    Ok(Applied::Ended(Box::new(ending)))
}

async fn follow(
    arguments: &Arguments,
    client: AdminClient,
    accepted: &Accepted,
    remote: Option<Endpoint>,
) -> anyhow::Result<Ending> {
    let remote = remote.zip(accepted.confirm_path.clone());
    let remote = remote.map(|(endpoint, path)| Remote::new(endpoint, path, &accepted.id));
    let follower = Follower::new(&arguments.admin, client, accepted);
    let mut ending = match arguments.no_wait {
        true => follower.look().await?,
        false => follower.wait(remote, &mut Screen::new()).await?,
    };
    if accepted.unchanged && ending.outcome == Outcome::Confirmed {
        ending.outcome = Outcome::Unchanged;
    }
    Ok(ending)
}

fn terms(arguments: &Arguments) -> anyhow::Result<Terms> {
    let terms = Terms {
        confirm_by_remote: arguments.confirm_by_remote.is_some(),
        supersede: arguments.supersede,
        force: arguments.force,
        ..arguments.trial.terms()
    };
    let checked = terms.check();
    checked.map_err(|error| UsageError(anyhow::anyhow!(error)))?;
    Ok(terms)
}

/// What the new generation is to follow.
struct Parent {
    /// As `If-Match` has it.
    header: String,
    /// For the signature.
    current: Option<GenerationId>,
}

async fn ask(arguments: &Arguments) -> anyhow::Result<(AdminClient, Parent)> {
    let client = arguments.admin.client()?;
    let overview: Overview = client.get("/generations").await?;
    let current = overview.current.map(|id| id.parse()).transpose()?;
    let exactly = |id: Option<GenerationId>| {
        let id = id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        format!("\"{id}\"")
    };
    let header = match arguments.parent.as_deref() {
        None => exactly(current),
        Some("any") => "*".to_owned(),
        Some("none") => exactly(None),
        Some(name) => exactly(Some(history::find(&client, name).await?.generation.id)),
    };
    Ok((client, Parent { header, current }))
}

/// The documents by their paths below the folder, or what is wrong with them, which has been told.
fn check(arguments: &Arguments) -> anyhow::Result<Result<Vec<Document>, Value>> {
    let options = arguments.load.to_mesh();
    let contents = documents::read(&arguments.folder)?;
    let sent = documents::documents_of(&contents, &arguments.folder);
    let mut checked = Documents::from_contents(contents.clone(), &options);
    // A file that is not here may be where the process is, so that is a warning.
    checked.check_tls_files();
    tell(&checked)?;
    if checked.mesh.is_none() {
        return Ok(Err(json!(checked.diagnostics)));
    }
    if let Some(absence) = checked.absence(&options) {
        writeln!(io::stderr(), "warning: {absence}")?;
    }
    if let Err(findings) = MeshLoader::new(options).run_tests(&contents) {
        let folder = arguments.folder.display();
        writeln!(
            io::stderr(),
            "{}\n`dalbi test {folder}` runs them",
            findings.text
        )?;
        return Ok(Err(findings.list));
    }
    Ok(Ok(sent))
}

fn tell(documents: &Documents) -> io::Result<()> {
    let mut stderr = io::stderr();
    let style = Style::of(&stderr);
    report::write_diagnostics(&documents.diagnostics, &documents.files, &mut stderr, style)?;
    if documents.mesh.is_none() {
        writeln!(stderr, "{}", report::summary_line(documents))?;
    }
    Ok(())
}

/// What is signed is what becomes the generation: without endpoints that change by themselves.
fn sign(
    file: &Path,
    apply: &Apply,
    parent: Option<GenerationId>,
    arguments: &Arguments,
) -> anyhow::Result<Signature> {
    let key = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let key: PrivateKey = key
        .parse()
        .with_context(|| format!("use {}", file.display()))?;
    let loader = MeshLoader::new(arguments.load.to_mesh());
    let (documents, _) = loader.split(apply.documents.clone());
    let proposal = Proposal {
        parent,
        author: apply.author.clone(),
        reason: apply.reason.clone(),
        documents,
        ..Proposal::default()
    };
    Ok(Signature::sign(&key, &proposal))
}
