//! The result as a picture: one panel per workload, one bar per proxy.

use std::fmt::Write;

use crate::figures::Row;
use crate::peers::Peer;
use crate::workload::Workload;

const COLUMNS: usize = 3;
const PANEL_WIDTH: f64 = 300.0;
const LABEL_WIDTH: f64 = 62.0;
const VALUE_WIDTH: f64 = 48.0;
const BAR_HEIGHT: f64 = 16.0;
const BAR_PITCH: f64 = 22.0;
const TITLE_HEIGHT: f64 = 30.0;
const HEADER_HEIGHT: f64 = 44.0;
const GAP: f64 = 16.0;

/// Colours for a light page, and for a dark one where the reader prefers that.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}\
.head{font-size:16px;font-weight:600}.title{font-weight:600}.note,.value{fill:#59636e}\
.bar{fill:#9aa5b1}.ours{fill:#0f7b6c}.floor{fill:#d5dae0}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note,.value{fill:#9198a1}\
.bar{fill:#6b7683}.ours{fill:#2fbfa7}.floor{fill:#3a424c}}";

/// An SVG document of CPU time per request. Each panel has a scale of its own: what is compared
/// are proxies under a workload, not workloads.
pub(crate) fn svg(rows: &[Row]) -> String {
    let panels: Vec<Vec<&Row>> = Workload::ALL
        .iter()
        .map(|&workload| rows.iter().filter(|row| row.workload == workload).collect())
        .filter(|panel: &Vec<_>| !panel.is_empty())
        .collect();
    let most_bars = panels.iter().map(Vec::len).max().unwrap_or(0);
    let panel_height = TITLE_HEIGHT + most_bars as f64 * BAR_PITCH + GAP;
    let width = COLUMNS as f64 * (PANEL_WIDTH + GAP) + GAP;
    let height = HEADER_HEIGHT + panels.len().div_ceil(COLUMNS) as f64 * panel_height;

    let mut out = String::new();
    write(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"CPU time per request of each proxy\"><style>{STYLE}</style>\n\
         <text class=\"head\" x=\"{GAP}\" y=\"26\">CPU time per request\
         <tspan class=\"note\" dx=\"8\" font-size=\"13\" font-weight=\"400\">µs on one core, \
         less is better</tspan></text>\n"
        ),
    );
    for (index, panel) in panels.iter().enumerate() {
        let x = GAP + (index % COLUMNS) as f64 * (PANEL_WIDTH + GAP);
        let y = HEADER_HEIGHT + (index / COLUMNS) as f64 * panel_height;
        draw_panel(&mut out, panel, x, y);
    }
    out.push_str("</svg>\n");
    out
}

fn draw_panel(out: &mut String, panel: &[&Row], x: f64, y: f64) {
    let title = panel.first().map_or("", |row| row.workload.title());
    let longest = panel
        .iter()
        .map(|row| row.cpu_us)
        .fold(f64::MIN_POSITIVE, f64::max);
    let room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
    write(
        out,
        format_args!(
            "<text class=\"title\" x=\"{x}\" y=\"{}\">{title}</text>\n",
            y + 16.0
        ),
    );
    for (index, row) in panel.iter().enumerate() {
        let top = y + TITLE_HEIGHT + index as f64 * BAR_PITCH;
        let baseline = top + 12.5;
        let length = room * row.cpu_us / longest;
        let bar = x + LABEL_WIDTH;
        let class = match row.peer {
            Peer::Dalbi => "ours",
            Peer::Relay => "floor",
            _ => "bar",
        };
        write(
            out,
            format_args!(
                "<text x=\"{x}\" y=\"{baseline}\">{}</text>\
             <rect class=\"{class}\" x=\"{bar}\" y=\"{top}\" width=\"{length:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"2\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{baseline}\">{:.1}</text>\n",
                row.peer.name(),
                bar + length + 6.0,
                row.cpu_us
            ),
        );
    }
}

/// Writing to a string cannot fail.
fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _written = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round::Sample;

    fn row(workload: Workload, peer: Peer, cpu_us: f64) -> Row {
        let sample = Sample {
            cpu_us,
            rps: 1.0,
            p50_ms: 1.0,
            p99_ms: 2.0,
            failed: 0,
            others_share: 0.0,
        };
        Row::of(workload, peer, "1", &[sample]).unwrap()
    }

    #[test]
    fn bars_are_to_scale_and_panels_only_for_what_was_measured() {
        let rows = [
            row(Workload::Small, Peer::Dalbi, 10.0),
            row(Workload::Small, Peer::Envoy, 40.0),
            row(Workload::Http2, Peer::Dalbi, 20.0),
        ];
        let svg = svg(&rows);
        let widths: Vec<f64> = svg
            .split("<rect ")
            .skip(1)
            .filter_map(|bar| {
                bar.split(" width=\"")
                    .nth(1)?
                    .split('"')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(widths, [47.5, 190.0, 190.0]);
        assert_eq!(svg.matches("class=\"title\"").count(), 2);
        assert_eq!(svg.matches("class=\"ours\"").count(), 2);
    }
}
