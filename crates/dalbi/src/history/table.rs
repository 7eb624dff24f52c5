//! All generations as a table.

use std::io::{self, Write};

use engine::api::{Overview, Progress};
use generations::{Generation, State};

use super::{Evidences, judgement, utc};

/// A reason is cut there; `show` has the whole.
const LONGEST_REASON: usize = 60;

const TITLES: [&str; 7] = ["", "no", "id", "state", "made (UTC)", "author", "requests"];

/// Writes a row for each of the newest `limit` generations, and what the marks mean. `requests` are those that were
/// seen in probation.
pub(crate) fn write(
    overview: &Overview,
    evidences: &Evidences,
    limit: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    if overview.generations.is_empty() {
        return writeln!(
            out,
            "there are no generations yet; `dalbi apply DIR` makes the first"
        );
    }
    let shown = overview.generations.iter().take(limit);
    let rows: Vec<_> = shown
        .map(|generation| row(generation, overview.pending.as_ref(), evidences))
        .collect();
    let mut widths = TITLES.map(str::len);
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(out, &TITLES.map(str::to_owned), widths, "reason")?;
    for (cells, reason) in &rows {
        line(out, cells, widths, reason)?;
    }
    let left = overview.generations.len().saturating_sub(limit);
    if left > 0 {
        writeln!(out, "… and {left} older ones; --limit shows more")?;
    }
    writeln!(out)?;
    legend(overview, out)
}

fn row(
    generation: &Generation,
    pending: Option<&Progress>,
    evidences: &Evidences,
) -> ([String; TITLES.len()], String) {
    let pending = pending.filter(|pending| pending.id == generation.id.to_string());
    let is_pending = pending.is_some() || generation.state == State::Pending;
    let mark = match (generation.current, is_pending) {
        (true, _) => "*",
        (false, true) => ">",
        _ => "",
    };
    let requests = match pending {
        Some(pending) => pending.evidence["new"]["requests"].as_u64(),
        None => evidences
            .get(generation.id)
            .map(|evidence| evidence.new.requests),
    };
    let mut state = state_of(generation, pending).to_owned();
    if generation.bad && generation.state != State::RolledBack {
        state.push_str(", known as bad");
    }
    let mut reason = cut(&generation.reason);
    if !generation.pins.is_empty() {
        reason = format!("[{}] {reason}", generation.pins.join(", "));
    }
    let cells = [
        mark.to_owned(),
        generation.number.to_string(),
        generation.id.short(),
        state,
        utc(generation.created_unix_ms),
        generation.author.clone(),
        requests.map_or_else(|| "-".to_owned(), |requests| requests.to_string()),
    ];
    (cells, reason)
}

fn line(
    out: &mut impl Write,
    cells: &[String; TITLES.len()],
    widths: [usize; TITLES.len()],
    reason: &str,
) -> io::Result<()> {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = if column == 0 { "" } else { "  " };
        // Numbers stand with their ends under each other.
        text += &match TITLES[column] {
            "no" | "requests" => format!("{gap}{cell:>width$}"),
            "" => format!("{cell:<1}"),
            _ => format!("{gap}{cell:<width$}"),
        };
    }
    writeln!(out, "{}", format!("{text}  {reason}").trim_end())
}

fn legend(overview: &Overview, out: &mut impl Write) -> io::Result<()> {
    match &overview.current {
        Some(_) => writeln!(out, "* current: the last that was confirmed")?,
        None => writeln!(out, "none was confirmed yet")?,
    }
    if overview.serving == "rescue" {
        writeln!(
            out,
            "served is the rescue generation, since none could be loaded"
        )?;
    }
    if let Some(pending) = &overview.pending {
        writeln!(out, "> {}", pending_line(pending))?;
    }
    Ok(())
}

/// How a probation goes, on one line: `in probation for 12 s, 48 s left: 1,204 requests: … (no harm so far)`.
pub(super) fn pending_line(pending: &Progress) -> String {
    let share = match pending.share {
        share if share < 1.0 => {
            format!(" with {:.4} % of requests", share * 100.0).replace(".0000", "")
        }
        _ => String::new(),
    };
    let left = match pending.held {
        true => ", held: `dalbi generations confirm` or `cancel` ends it".to_owned(),
        false => format!(", {:.0} s left", pending.remaining_s.max(0.0)),
    };
    let remote = match pending.awaits_remote {
        true => ", waits for its author to come through",
        false => "",
    };
    let verdict = match judgement(&pending.evidence) {
        "" => String::new(),
        verdict => format!(" ({verdict})"),
    };
    let (elapsed, line) = (pending.elapsed_s, &pending.line);
    format!("in probation for {elapsed:.0} s{share}{left}{remote}: {line}{verdict}")
}

/// What became of a generation, in the words of the documentation.
pub(crate) fn state_of(generation: &Generation, pending: Option<&Progress>) -> &'static str {
    match generation.state {
        State::Staged => "staged",
        State::Pending if pending.is_some_and(|pending| pending.held) => "held",
        State::Pending => "in probation",
        State::Confirmed => "confirmed",
        State::RolledBack => "rolled back",
        State::Cancelled => "cancelled",
        State::Superseded => "superseded",
        State::Interrupted => "interrupted",
        State::Crashed => "crashed",
        _ => "unknown",
    }
}

fn cut(reason: &str) -> String {
    if reason.chars().count() <= LONGEST_REASON {
        return reason.to_owned();
    }
    let mut cut: String = reason.chars().take(LONGEST_REASON - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::samples::generation;

    fn progress(held: bool) -> Progress {
        Progress {
            id: generation(3, State::Pending).id.to_string(),
            from: Some(generation(1, State::Confirmed).id.to_string()),
            held,
            elapsed_s: 12.4,
            remaining_s: 47.6,
            share: 0.1,
            awaits_remote: false,
            line: "120 requests: 0.0 % failed".to_owned(),
            evidence: json!({ "new": { "requests": 120 } }),
        }
    }

    fn written(overview: &Overview, limit: usize) -> String {
        let mut out = Vec::new();
        write(overview, &Evidences::default(), limit, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_marks_what_serves() {
        let mut current = generation(1, State::Confirmed);
        current.current = true;
        current.pins = vec!["good".to_owned()];
        let mut rolled_back = generation(2, State::RolledBack);
        rolled_back.bad = true;
        rolled_back.reason = "long ".repeat(20);
        let overview = Overview {
            current: Some(current.id.to_string()),
            serving: current.id.to_string(),
            pending: Some(progress(false)),
            generations: vec![generation(3, State::Pending), rolled_back, current],
        };
        let expected = "\
\x20  no  id            state         made (UTC)           author  requests  reason
>   3  030303030303  in probation  2026-11-21 04:21:25  ann          120  a tenth to the canary
    2  020202020202  rolled back   2026-11-21 04:20:25  ann            -  long long long long long long long long long long long long…
*   1  010101010101  confirmed     2026-11-21 04:19:25  ann            -  [good] a tenth to the canary

* current: the last that was confirmed
> in probation for 12 s with 10 % of requests, 48 s left: 120 requests: 0.0 % failed
";
        assert_eq!(written(&overview, 20), expected);
        let short = written(&overview, 1);
        assert!(
            short.contains("… and 2 older ones; --limit shows more"),
            "{short}"
        );
    }

    #[test]
    fn what_is_held_says_what_to_do() {
        let line = pending_line(&progress(true));
        assert!(
            line.contains("`dalbi generations confirm` or `cancel`"),
            "{line}"
        );
        let held = generation(3, State::Pending);
        assert_eq!(state_of(&held, Some(&progress(true))), "held");
    }

    #[test]
    fn an_empty_store_says_how_to_begin() {
        let overview = Overview {
            current: None,
            serving: "rescue".to_owned(),
            pending: None,
            generations: Vec::new(),
        };
        assert!(written(&overview, 20).contains("dalbi apply DIR"));
    }
}
