//! The scoreboard as a page.

use std::fmt::Write;

use super::{Cell, JUDGED, Mean, Scoreboard};

impl Scoreboard {
    /// The goals, then a table per size, as Markdown that also reads well in a terminal. `charts` are files
    /// to show.
    pub fn markdown(&self, charts: &[String]) -> String {
        let mut text = String::from("## Goals\n\n");
        for goal in self.goals() {
            let verdict = match goal.met {
                Some(true) => "met",
                Some(false) => "**not met**",
                None => "not measured",
            };
            let found = match goal.found.as_str() {
                "" => String::new(),
                found => format!(" — {found}"),
            };
            write(
                &mut text,
                format_args!("- {verdict}: {}{found}\n", goal.text),
            );
        }
        for chart in charts {
            write(&mut text, format_args!("\n![{chart}]({chart})\n"));
        }
        let mut sizes: Vec<(u32, bool)> = Vec::new();
        for cell in &self.cells {
            let size = table_of(cell);
            if !sizes.contains(&size) {
                sizes.push(size);
            }
        }
        for size in sizes {
            let cells = self.cells.iter().filter(|cell| table_of(cell) == size);
            self.table(&mut text, size, &cells.collect::<Vec<_>>());
        }
        text
    }

    fn table(&self, text: &mut String, (servers, herding): (u32, bool), cells: &[&Cell]) {
        let title = if herding {
            ", ever more dispatchers"
        } else {
            ""
        };
        write(
            text,
            format_args!("\n## {servers} servers{title}\n\n{HEAD}\n{RULE}\n"),
        );
        for cell in cells {
            let dispatchers = cell.dispatchers;
            let best = cell.best.as_deref().unwrap_or("–");
            let open = cell
                .open()
                .map_or("–".to_owned(), |open| format!("{open:.2}"));
            let price = cell
                .price_of_anarchy()
                .map_or("–".to_owned(), |price| format!("{price:.2}"));
            write(
                text,
                format_args!(
                    "| {} | {dispatchers} | {best} | {} | {} | {} | {} | {open} | {price} |\n",
                    cell.scenario,
                    three(cell, |mean| format!("{:.1}", mean.p50_ms)),
                    three(cell, |mean| format!("{:.1}", mean.p99_ms)),
                    three(cell, |mean| format!("{:.0}", mean.p999_ms)),
                    three(cell, |mean| format!("{:.3}", mean.error_rate * 100.0)),
                ),
            );
        }
    }
}

const HEAD: &str = "| scenario | dispatchers | best baseline | p50 ms | p99 ms | p99.9 ms | errors % | \
                    gap left open | price of anarchy |";
const RULE: &str = "|---|--:|---|--:|--:|--:|--:|--:|--:|";

/// Which table a cell belongs to.
fn table_of(cell: &Cell) -> (u32, bool) {
    (cell.servers, cell.file() == "herding")
}

/// Best baseline, judged policy and limit.
fn three(cell: &Cell, show: impl Fn(&Mean) -> String) -> String {
    let shown = |mean: Option<&Mean>| mean.map_or("–".to_owned(), &show);
    format!(
        "{} / **{}** / {}",
        shown(cell.best()),
        shown(cell.judged()),
        shown(cell.limit())
    )
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written = text.write_fmt(arguments);
}

impl Scoreboard {
    /// What each part of the judged policy is worth: with it switched off, how much p99 and the errors rise.
    /// A table as Markdown, parts in the order in which they first appear.
    pub fn ablation(&self) -> String {
        let mut text = format!("\n{ABLATION_HEAD}\n|---|--:|---|---|--:|\n");
        for part in crate::policies::PARTS {
            let name = format!("{JUDGED}-{part}");
            let mut factors: Vec<(f64, &Cell)> = Vec::new();
            let mut errors = 0.0;
            for cell in &self.cells {
                if let (Some(without), Some(with)) = (cell.means.get(&name), cell.judged()) {
                    factors.push((without.p99_ms / with.p99_ms, cell));
                    errors += (without.error_rate - with.error_rate) * 100.0;
                }
            }
            if factors.is_empty() {
                continue;
            }
            factors.sort_by(|a, b| b.0.total_cmp(&a.0));
            let n = factors.len() as f64;
            let mean = (factors.iter().map(|(factor, _)| factor.ln()).sum::<f64>() / n).exp();
            let shown = |&(factor, cell): &(f64, &Cell)| {
                let size = (cell.servers, cell.dispatchers);
                format!("{factor:.2} {} {}×{}", cell.scenario, size.0, size.1)
            };
            let most: Vec<String> = factors.iter().take(3).map(shown).collect();
            let least = factors.last().map(shown).unwrap_or_default();
            write(
                &mut text,
                format_args!(
                    "| {part} | {mean:.3} | {} | {least} | {:+.3} |\n",
                    most.join(", "),
                    errors / n
                ),
            );
        }
        text
    }
}

const ABLATION_HEAD: &str = "| without | p99, times (geometric mean) | worth most in | worth least in | errors, \
                             points |";
