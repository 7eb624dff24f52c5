//! The result as text.

use std::fmt::Write;

use crate::figures::{Row, goals, ratio};
use crate::peers::Peer;

/// A table of all rows, workload by workload.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<11} {:<8} {:<18} {:>8} {:>9} {:>8} {:>9} {:>8} {:>8} {:>6}\n",
        "workload",
        "proxy",
        "version",
        "cpu µs",
        "× haproxy",
        "× envoy",
        "rps",
        "p50 ms",
        "p99 ms",
        "rounds"
    );
    let mut last = None;
    for row in rows {
        if last
            .replace(row.workload)
            .is_some_and(|workload| workload != row.workload)
        {
            out.push('\n');
        }
        let times = |reference| {
            ratio(rows, row, reference)
                .map_or_else(|| "–".to_owned(), |times| format!("{times:.2}"))
        };
        // Writing to a string cannot fail.
        let _written = writeln!(
            out,
            "{:<11} {:<8} {:<18} {:>8.1} {:>9} {:>8} {:>9.0} {:>8.2} {:>8.2} {:>6}",
            row.workload.name(),
            row.peer.name(),
            row.version,
            row.cpu_us,
            times(Peer::Haproxy),
            times(Peer::Envoy),
            row.rps,
            row.p50_ms,
            row.p99_ms,
            row.rounds
        );
    }
    out
}

/// One line per goal that dalbi set itself and that this run can judge.
pub(crate) fn render_goals(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows.iter().filter(|row| row.peer == Peer::Dalbi) {
        for goal in goals(row.workload) {
            let Some(times) = ratio(rows, row, goal.reference) else {
                continue;
            };
            let verdict = if times <= goal.at_most {
                "met"
            } else {
                "MISSED"
            };
            let _written = writeln!(
                out,
                "{:<11} {:>5.2} × {:<8} goal ≤ {:.2}  {verdict}",
                row.workload.name(),
                times,
                goal.reference.name(),
                goal.at_most
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::sample::row;
    use crate::workload::Workload;

    #[test]
    fn goals_are_judged_where_both_were_measured() {
        let rows = [
            row(Workload::Small, Peer::Dalbi, 16.0),
            row(Workload::Small, Peer::Haproxy, 20.0),
            row(Workload::Close, Peer::Dalbi, 50.0),
            row(Workload::Close, Peer::Haproxy, 40.0),
        ];
        let text = render_goals(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].starts_with("1k ") && lines[0].ends_with("met"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("close") && lines[1].ends_with("MISSED"),
            "{text}"
        );
    }

    #[test]
    fn table_has_a_dash_without_a_reference() {
        let text = render(&[row(Workload::Small, Peer::Dalbi, 16.0)]);
        assert!(text.lines().nth(1).unwrap().contains('–'), "{text}");
    }
}
