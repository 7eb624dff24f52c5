//! What changes something, asked of the process that serves.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use engine::api::{Accepted, Activate, Change, Terms};
use generations::{Generation, State};
use serde_json::{Value, json};

use super::{Action, Output, offline, read};
use crate::admin_client::{AdminClient, AdminError, AdminOptions};
use crate::cli::{UsageError, Verdict};
use crate::follow::{Ending, Follower, Outcome, Screen};
use crate::history::{self, name_of, path_of};
use crate::quantity;

/// Who changes something, and why.
#[derive(Debug, Clone, Args)]
pub(super) struct NoteOptions {
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
}

impl NoteOptions {
    pub(super) fn author(&self) -> String {
        self.author.clone().unwrap_or_else(engine::author)
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    fn change(&self) -> Change {
        Change {
            author: self.author(),
            reason: self.reason.clone(),
            ..Change::default()
        }
    }
}

/// How an older generation is gone to.
#[derive(Debug, Args)]
pub(super) struct Activation {
    /// Try it for so long before it is confirmed [default: it is confirmed at once, since it was before]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    probation: Option<Duration>,
    /// Try it on this share of requests first
    #[arg(long, value_name = "PERCENT", value_parser = quantity::share)]
    canary: Option<f64>,
    /// What counts as harm when it is tried, as `errors=0.5%,p99=20%`
    #[arg(long, value_name = "SIGNAL=LIMIT,…", value_delimiter = ',')]
    gate: Vec<String>,
    #[command(flatten)]
    pub(super) note: NoteOptions,
}

impl Activation {
    /// Whether it is to be tried at all.
    pub(super) fn is_tried(&self) -> bool {
        self.probation.is_some() || self.canary.is_some() || !self.gate.is_empty()
    }

    fn to_api(&self) -> anyhow::Result<Activate> {
        let defaults = Terms::default();
        let terms = self.is_tried().then(|| Terms {
            probation_s: self
                .probation
                .map_or(defaults.probation_s, |time| time.as_secs_f64()),
            canary: self.canary,
            gate: self.gate.clone(),
            ..defaults
        });
        if let Some(terms) = &terms {
            terms
                .check()
                .map_err(|error| UsageError(anyhow::anyhow!(error)))?;
        }
        Ok(Activate {
            author: self.note.author(),
            reason: self.note.reason.clone(),
            terms,
        })
    }
}

/// Changes something, with the process if there is one.
pub(super) async fn run(
    action: &Action,
    options: &AdminOptions,
    output: Output,
) -> anyhow::Result<Verdict> {
    let client = match action {
        Action::Confirm { .. } | Action::Cancel { .. } | Action::Extend { .. } => {
            Some(options.client()?)
        }
        _ => options.client_if_any()?,
    };
    let Some(client) = client else {
        return offline::run(action, &options.state()?, output);
    };
    match action {
        Action::Activate {
            generation,
            activation,
        } => {
            let path = path_of(generation, "/activate");
            go(client, &path, activation, options, output).await
        }
        Action::Rollback { activation } => {
            go(client, "/generations/rollback", activation, options, output).await
        }
        Action::Confirm { generation, note } => {
            let done = simple(&client, generation, "confirm", note.change(), output);
            done.await
        }
        Action::Cancel { generation, note } => {
            simple(&client, generation, "cancel", note.change(), output).await
        }
        Action::Extend {
            generation,
            time,
            note,
        } => {
            let change = Change {
                seconds: Some(time.as_secs_f64()),
                ..note.change()
            };
            simple(&client, generation, "extend", change, output).await
        }
        Action::Pin {
            generation,
            name,
            note,
        } => simple(&client, generation, "pin", named(note, name), output).await,
        Action::Unpin {
            generation,
            name,
            note,
        } => simple(&client, generation, "unpin", named(note, name), output).await,
        Action::Gc { keep, note } => {
            let change = Change {
                keep: Some(*keep),
                ..note.change()
            };
            let report: Value = client.post("/generations/gc", &change).await?;
            collected(&report, output)
        }
        Action::List { .. }
        | Action::Show { .. }
        | Action::Diff { .. }
        | Action::Log { .. }
        | Action::Verify
        | Action::Salvage => unreachable!("these only read, or need the store alone"),
    }
}

fn named(note: &NoteOptions, name: &str) -> Change {
    Change {
        name: Some(name.to_owned()),
        ..note.change()
    }
}

/// Goes to another generation, and waits if that is tried.
async fn go(
    client: AdminClient,
    path: &str,
    activation: &Activation,
    options: &AdminOptions,
    output: Output,
) -> anyhow::Result<Verdict> {
    let accepted: Accepted = client.post(path, &activation.to_api()?).await?;
    let follower = Follower::new(options, client, &accepted);
    let mut ending = follower.wait(None, &mut Screen::new()).await?;
    if accepted.unchanged && ending.outcome == Outcome::Confirmed {
        ending.outcome = Outcome::Unchanged;
    }
    told(&ending, output)
}

/// Says what became of it.
pub(super) fn told(ending: &Ending, output: Output) -> anyhow::Result<Verdict> {
    match output {
        Output::Json => drop(read::json_out(&ending.json())?),
        Output::Text => writeln!(io::stdout(), "{}", ending.line())?,
    }
    Ok(ending.verdict())
}

async fn simple(
    client: &AdminClient,
    generation: &str,
    verb: &str,
    change: Change,
    output: Output,
) -> anyhow::Result<Verdict> {
    let _: Value = client
        .post(&path_of(generation, &format!("/{verb}")), &change)
        .await?;
    // What was done is read back, under the name that stays: `pending` is no more.
    let name = match (generation, verb) {
        ("pending", "confirm" | "cancel") => "current",
        (name, _) => name,
    };
    let shown = match history::find(client, name).await {
        Ok(shown) => Some(shown.generation),
        Err(AdminError::Refused { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let what = shown
        .as_ref()
        .map_or_else(|| generation.to_owned(), name_of);
    let line = match (verb, &shown) {
        ("confirm", Some(shown)) if shown.current => format!("generation {what} is confirmed"),
        ("cancel", Some(shown)) if shown.state == State::Cancelled => {
            format!("generation {what} was taken back")
        }
        ("cancel", Some(_)) => format!("it was taken back; generation {what} serves"),
        ("extend", _) => {
            let seconds = change.seconds.unwrap_or_default();
            format!("it is tried for another {seconds:.0} s")
        }
        (verb, _) => pinned(verb, &what, change.name.as_deref()),
    };
    done(verb, &line, shown.as_ref(), output)
}

/// What became of a pin.
pub(super) fn pinned(verb: &str, what: &str, name: Option<&str>) -> String {
    let name = name.unwrap_or("pinned");
    match verb {
        "pin" => format!("generation {what} is kept, as `{name}`"),
        "unpin" => format!("generation {what} is no longer kept as `{name}`"),
        verb => format!("{verb}: done"),
    }
}

/// Says what was done.
pub(super) fn done(
    verb: &str,
    line: &str,
    generation: Option<&Generation>,
    output: Output,
) -> anyhow::Result<Verdict> {
    match output {
        Output::Json => read::json_out(&json!({ "done": verb, "generation": generation })),
        Output::Text => {
            writeln!(io::stdout(), "{line}")?;
            Ok(Verdict::Good)
        }
    }
}

/// Says what a collection removed.
pub(super) fn collected(report: &Value, output: Output) -> anyhow::Result<Verdict> {
    if let Output::Json = output {
        return read::json_out(report);
    }
    let count = report["generations"].as_array().map_or(0, Vec::len);
    let (objects, bytes) = (&report["objects"], &report["bytes"]);
    writeln!(
        io::stdout(),
        "removed {count} generations, {objects} documents that no other has, {bytes} bytes in all"
    )?;
    Ok(Verdict::Good)
}
