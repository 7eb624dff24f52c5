//! Changes of a state directory that no process has; the next start serves by them.

use std::path::Path;

use generations::{Note, OpenOptions, Owner, Store};
use serde_json::json;

use super::{Action, Output, change};
use crate::cli::{UsageError, Verdict};
use crate::follow::{Ending, Outcome};
use crate::history::name_of;

pub(super) fn run(action: &Action, state: &Path, output: Output) -> anyhow::Result<Verdict> {
    match action {
        Action::Activate {
            generation,
            activation,
        } => activate(state, generation, activation, output),
        Action::Rollback { activation } => activate(state, "previous", activation, output),
        Action::Pin {
            generation,
            name,
            note,
        } => pin(state, "pin", generation, name, note, output),
        Action::Unpin {
            generation,
            name,
            note,
        } => pin(state, "unpin", generation, name, note, output),
        Action::Gc { keep, note } => {
            let report = open(state)?.gc(*keep, &written(note))?;
            change::collected(&json!(report), output)
        }
        _ => unreachable!("these need a process, or only read"),
    }
}

/// Makes it the current one. It is loaded and checked when a process starts with it.
fn activate(
    state: &Path,
    generation: &str,
    activation: &change::Activation,
    output: Output,
) -> anyhow::Result<Verdict> {
    if activation.is_tried() {
        let text = "no process runs that could try it: start `dalbi run`, or leave out --probation, --canary and --gate";
        return Err(UsageError(anyhow::anyhow!(text)).into());
    }
    let mut store = open(state)?;
    let found = store.find(generation)?.clone();
    let from = store.current();
    let outcome = if from == Some(found.id) {
        Outcome::Unchanged
    } else {
        let note = written(&activation.note);
        store.intend(found.id, note.now_unix_ms, &note)?;
        store.confirm(found.id, &note)?;
        Outcome::Confirmed
    };
    let ending = Ending {
        outcome,
        id: found.id.to_string(),
        number: found.number,
        from: from.map(|id| id.to_string()),
        progress: None,
        remote_trouble: None,
    };
    change::told(&ending, output)
}

fn pin(
    state: &Path,
    verb: &str,
    generation: &str,
    name: &str,
    note: &change::NoteOptions,
    output: Output,
) -> anyhow::Result<Verdict> {
    let mut store = open(state)?;
    let id = store.find(generation)?.id;
    let note = written(note);
    if verb == "pin" {
        store.pin(id, name, &note)?;
    } else {
        store.unpin(id, name, &note)?;
    }
    let found = store.generation(id).cloned();
    let what = found.as_ref().map_or_else(|| id.short(), name_of);
    let line = change::pinned(verb, &what, Some(name));
    change::done(verb, &line, found.as_ref(), output)
}

/// Goes on from what a damaged log still says.
pub(super) fn salvage(state: &Path, output: Output) -> anyhow::Result<Verdict> {
    let damaged = generations::View::open(state)?.damage().is_some();
    let (store, _) = Store::salvage(state, opening())?;
    let current = store.current().and_then(|id| store.generation(id)).cloned();
    let what = current.as_ref().map_or_else(|| "none".to_owned(), name_of);
    let line = if damaged {
        format!(
            "a new log begins with what could be read; current is {what}; the damaged log is kept as log.damaged-N"
        )
    } else {
        format!("the log is not damaged; current is {what}")
    };
    change::done("salvage", &line, current.as_ref(), output)
}

fn open(state: &Path) -> anyhow::Result<Store> {
    // Opening would make one.
    generations::View::open(state)?;
    Ok(Store::open(state, opening())?.0)
}

fn opening() -> OpenOptions {
    OpenOptions {
        owner: Owner::this_process(None, "dalbi generations"),
        keys: Vec::new(),
        require_signed: false,
        now_unix_ms: engine::unix_ms(),
    }
}

fn written(note: &change::NoteOptions) -> Note {
    Note::new(&note.author(), note.reason(), engine::unix_ms())
}
