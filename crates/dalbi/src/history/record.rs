//! The log of everything that happened, a line each.

use std::io::{self, Write};

use generations::{End, Event, Record};

use super::utc;

/// Who did something is cut there.
const LONGEST_NAME: usize = 40;

/// Writes records in their order.
pub(crate) fn write(records: &[Record], out: &mut impl Write) -> io::Result<()> {
    for record in records {
        let mut line = format!(
            "{:>5}  {}  {:<12}  {}",
            record.seq,
            utc(record.at_unix_ms),
            cut(&record.by),
            happened(&record.event)
        );
        if !record.why.is_empty() {
            line = format!("{line}: {}", record.why);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A process is named by its whole command, which may be long; the record of its start has it, too.
fn cut(by: &str) -> String {
    if by.chars().count() <= LONGEST_NAME {
        return by.to_owned();
    }
    let mut cut: String = by.chars().take(LONGEST_NAME - 1).collect();
    cut.push('…');
    cut
}

fn happened(event: &Event) -> String {
    match event {
        Event::Opened { pid, command } => format!("opened by process {pid} ({command})"),
        Event::Staged {
            id,
            number,
            documents,
            forced,
            ..
        } => {
            let forced = if *forced { ", forced" } else { "" };
            format!(
                "staged {number} ({}), {documents} documents{forced}",
                id.short()
            )
        }
        Event::Intent {
            id,
            from: Some(from),
            ..
        } => format!("tries {} in place of {}", id.short(), from.short()),
        Event::Intent { id, from: None, .. } => format!("tries {}, the first", id.short()),
        Event::Extended {
            id,
            deadline_unix_ms,
        } => format!("tries {} until {}", id.short(), utc(*deadline_unix_ms)),
        Event::Confirmed { id, .. } => format!("confirmed {}", id.short()),
        Event::Ended { id, end, .. } => format!("{} {}", ended(*end), id.short()),
        Event::Pinned { id, name } => format!("pinned {} as {name}", id.short()),
        Event::Unpinned { id, name } => format!("unpinned {} as {name}", id.short()),
        Event::Collected { ids } => {
            let ids: Vec<_> = ids.iter().map(|id| id.short()).collect();
            format!("collected {}", ids.join(", "))
        }
        _ => "did something that this version does not know".to_owned(),
    }
}

fn ended(end: End) -> &'static str {
    match end {
        End::RolledBack => "rolled back",
        End::Cancelled => "cancelled",
        End::Superseded => "superseded",
        End::Interrupted => "interrupted",
        End::Crashed => "found crashed",
        _ => "ended",
    }
}

#[cfg(test)]
mod tests {
    use generations::{GenerationId, RecordHash};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_says_who_did_what_and_why() {
        let record = |seq, why: &str, event| Record {
            seq,
            epoch: 1,
            at_unix_ms: 1_795_234_705_000,
            previous: RecordHash::from_bytes([0; 32]),
            by: "ann".to_owned(),
            why: why.to_owned(),
            event,
            hash: RecordHash::from_bytes([0; 32]),
        };
        let id = |byte| GenerationId::from_bytes([byte; 32]);
        let records = [
            record(
                9,
                "",
                Event::Intent {
                    id: id(2),
                    from: Some(id(1)),
                    deadline_unix_ms: 0,
                    detail: Value::Null,
                },
            ),
            record(
                10,
                "2.0 % of 1,204 requests failed",
                Event::Ended {
                    id: id(2),
                    end: End::RolledBack,
                    detail: Value::Null,
                },
            ),
        ];
        let mut out = Vec::new();
        write(&records, &mut out).unwrap();
        let expected = "    \
    9  2026-11-21 04:18:25  ann           tries 020202020202 in place of 010101010101
   10  2026-11-21 04:18:25  ann           rolled back 020202020202: 2.0 % of 1,204 requests failed
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
