//! One generation, with all that is known of it.

use std::io::{self, Write};

use engine::api::Shown;
use generations::Document;
use probation::Evidence;

use super::table::{pending_line, state_of};
use super::utc;

/// Writes it for people.
pub(crate) fn write(
    shown: &Shown,
    documents: &[Document],
    evidence: Option<&Evidence>,
    out: &mut impl Write,
) -> io::Result<()> {
    let generation = &shown.generation;
    let mut field = |name: &str, value: &str| writeln!(out, "{name:<12}{value}");
    field("generation", &generation.number.to_string())?;
    field("id", &generation.id.to_string())?;
    let mut state = state_of(generation, shown.pending.as_ref()).to_owned();
    if generation.current {
        state.push_str(", current");
    }
    if generation.bad {
        state.push_str("; known as bad: the same documents are only applied with --force");
    }
    field("state", &state)?;
    if let Some(why) = &generation.why {
        field("why", why)?;
    }
    if let Some(pending) = &shown.pending {
        field("probation", &pending_line(pending))?;
    }
    if let Some(evidence) = evidence {
        field("evidence", &evidence.to_string())?;
    }
    field("made", &format!("{} UTC", utc(generation.created_unix_ms)))?;
    if let Some(confirmed) = generation.confirmed_unix_ms {
        field("confirmed", &format!("{} UTC", utc(confirmed)))?;
    }
    field("author", &generation.author)?;
    field("reason", &generation.reason)?;
    field("source", &generation.source)?;
    let parent = generation.parent.map(|id| id.short());
    field("parent", parent.as_deref().unwrap_or("none"))?;
    if !generation.pins.is_empty() {
        field("pins", &generation.pins.join(", "))?;
    }
    let count = documents.len();
    field("documents", &format!("{count}, {} bytes", generation.bytes))?;
    for document in documents {
        writeln!(out, "  {:>9}  {}", document.text.len(), document.path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use generations::State;

    use super::*;
    use crate::history::samples::generation;

    #[test]
    fn everything_is_told() {
        let mut rolled_back = generation(2, State::RolledBack);
        rolled_back.bad = true;
        rolled_back.why = Some("2.0 % of 1,204 requests failed".to_owned());
        let shown = Shown {
            generation: rolled_back,
            pending: None,
        };
        let documents = [Document {
            path: "edge/gateway.yaml".to_owned(),
            text: "kind: Gateway\n".to_owned(),
        }];
        let mut out = Vec::new();
        write(&shown, &documents, None, &mut out).unwrap();
        let expected = "\
generation  2
id          0202020202020202020202020202020202020202020202020202020202020202
state       rolled back; known as bad: the same documents are only applied with --force
why         2.0 % of 1,204 requests failed
made        2026-11-21 04:20:25 UTC
author      ann
reason      a tenth to the canary
source      /srv/mesh
parent      010101010101
documents   1, 2048 bytes
         14  edge/gateway.yaml
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
