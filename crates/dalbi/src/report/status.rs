//! What became of the Gateway API's objects, as a table.

use std::io::{self, Write};

use mesh::gateway_api::{Condition, ParentReference, Status, StatusOf};

/// One condition of one object at one parent.
struct Row {
    cells: [String; 6],
}

const HEADINGS: [&str; 6] = [
    "OBJECT",
    "PARENT OR LISTENER",
    "CONDITION",
    "STATUS",
    "REASON",
    "MESSAGE",
];

/// A line for each condition; nothing where there are no objects.
pub(super) fn write(statuses: &[Status], out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Row> = statuses.iter().flat_map(rows).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; 6]| {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let text = padded.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", text.trim_end())
    };
    line(HEADINGS)?;
    for row in &rows {
        line(row.cells.each_ref().map(String::as_str))?;
    }
    writeln!(out)
}

fn rows(status: &Status) -> Vec<Row> {
    let object = match &status.namespace {
        Some(namespace) => format!("{} {namespace}/{}", status.kind, status.name),
        None => format!("{} {}", status.kind, status.name),
    };
    let row = |place: &str, condition: &Condition| Row {
        cells: [
            object.clone(),
            place.to_owned(),
            condition.kind.to_owned(),
            condition.status.to_owned(),
            condition.reason.to_owned(),
            condition.message.clone(),
        ],
    };
    let all = |place: String, conditions: &[Condition]| -> Vec<Row> {
        conditions
            .iter()
            .map(|condition| row(&place, condition))
            .collect()
    };
    match &status.status {
        StatusOf::GatewayClass { conditions, .. } => all(String::new(), conditions),
        StatusOf::Gateway {
            conditions,
            listeners,
            ..
        }
        | StatusOf::ListenerSet {
            conditions,
            listeners,
        } => {
            let mut rows = all(String::new(), conditions);
            for listener in listeners {
                rows.extend(all(
                    format!("listener {}", listener.name),
                    &listener.conditions,
                ));
            }
            rows
        }
        StatusOf::Route { parents } => parents
            .iter()
            .flat_map(|parent| all(reference(&parent.parent_ref), &parent.conditions))
            .collect(),
        StatusOf::Policy { ancestors } => ancestors
            .iter()
            .flat_map(|ancestor| all(reference(&ancestor.ancestor_ref), &ancestor.conditions))
            .collect(),
    }
}

fn reference(parent: &ParentReference) -> String {
    let section = parent.section_name.as_ref().map(|name| format!("/{name}"));
    let port = parent.port.map(|port| format!(":{port}"));
    format!(
        "{} {}/{}{}{}",
        parent.kind,
        parent.namespace,
        parent.name,
        section.unwrap_or_default(),
        port.unwrap_or_default()
    )
}
