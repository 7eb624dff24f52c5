//! Results as pictures: one panel per workload, one bar per proxy.

use std::fmt::Write;

use crate::figures::Row;
use crate::peers::Peer;
use crate::workload::Workload;

const COLUMNS: usize = 3;
/// Bars with their values.
const BARS_WIDTH: f64 = 238.0;
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
.range{stroke:#1f2328;stroke-width:1.5}.bar{fill:#9aa5b1}.ours{fill:#0f7b6c}.floor{fill:#d5dae0}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.range{stroke:#e6edf3}.note,.value{fill:#9198a1}\
.bar{fill:#6b7683}.ours{fill:#2fbfa7}.floor{fill:#3a424c}}";

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// What stands before it.
    pub(crate) label: String,
    /// Its length, in the panel's scale.
    pub(crate) value: f64,
    /// What was measured at the least and at the most, if that is to be shown.
    pub(crate) range: Option<(f64, f64)>,
    /// How it is painted.
    pub(crate) kind: Kind,
}

/// Whose bar it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// dalbi's, as shipped.
    Ours,
    /// Somebody else's, or dalbi's with another setting.
    Others,
    /// What cannot be undercut.
    Floor,
}

/// Bars with a scale of their own: what is compared stands within a panel.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// What stands above.
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) bars: Vec<Bar>,
}

/// A picture of panels.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    /// What is shown.
    pub(crate) title: &'a str,
    /// In which unit, and which way is better.
    pub(crate) note: &'a str,
    /// Room for labels.
    pub(crate) label_width: f64,
    /// In the order of reading.
    pub(crate) panels: Vec<Panel>,
}

/// An SVG document of CPU time per request.
pub(crate) fn svg(rows: &[Row]) -> String {
    let panels = Workload::ALL.iter().filter_map(|&workload| {
        let bars: Vec<Bar> = rows
            .iter()
            .filter(|row| row.workload == workload)
            .map(|row| Bar {
                label: row.peer.name().to_owned(),
                value: row.cpu_us,
                range: None,
                kind: match row.peer {
                    Peer::Dalbi | Peer::DalbiRoundRobin => Kind::Ours,
                    Peer::Relay => Kind::Floor,
                    _ => Kind::Others,
                },
            })
            .collect();
        let title = workload.title().to_owned();
        (!bars.is_empty()).then_some(Panel { title, bars })
    });
    Chart {
        title: "CPU time per request",
        note: "µs on one core, less is better",
        label_width: 62.0,
        panels: panels.collect(),
    }
    .svg()
}

impl Chart<'_> {
    /// The document.
    pub(crate) fn svg(&self) -> String {
        let panels = &self.panels;
        let most_bars = panels.iter().map(|panel| panel.bars.len()).max();
        let panel_height = TITLE_HEIGHT + most_bars.unwrap_or(0) as f64 * BAR_PITCH + GAP;
        let panel_width = BARS_WIDTH + self.label_width;
        let width = COLUMNS as f64 * (panel_width + GAP) + GAP;
        let height = HEADER_HEIGHT + panels.len().div_ceil(COLUMNS) as f64 * panel_height;
        let Self { title, note, .. } = self;

        let mut out = String::new();
        write(
            &mut out,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{title}\"><style>{STYLE}</style>\n\
         <text class=\"head\" x=\"{GAP}\" y=\"26\">{title}\
         <tspan class=\"note\" dx=\"8\" font-size=\"13\" font-weight=\"400\">{note}</tspan></text>\n"
            ),
        );
        for (index, panel) in panels.iter().enumerate() {
            let x = GAP + (index % COLUMNS) as f64 * (panel_width + GAP);
            let y = HEADER_HEIGHT + (index / COLUMNS) as f64 * panel_height;
            panel.draw(&mut out, x, y, self.label_width);
        }
        out.push_str("</svg>\n");
        out
    }
}

impl Panel {
    fn draw(&self, out: &mut String, x: f64, y: f64, label_width: f64) {
        let title = &self.title;
        let longest = self
            .bars
            .iter()
            .map(|bar| bar.range.map_or(bar.value, |(_, high)| high))
            // Where all are zero, so is their length.
            .fold(1e-9, f64::max);
        let scale = (BARS_WIDTH - VALUE_WIDTH) / longest;
        write(
            out,
            format_args!(
                "<text class=\"title\" x=\"{x}\" y=\"{}\">{title}</text>\n",
                y + 16.0
            ),
        );
        for (index, bar) in self.bars.iter().enumerate() {
            let top = y + TITLE_HEIGHT + index as f64 * BAR_PITCH;
            let baseline = top + 12.5;
            let length = scale * bar.value;
            let left = x + label_width;
            let class = match bar.kind {
                Kind::Ours => "ours",
                Kind::Floor => "floor",
                Kind::Others => "bar",
            };
            let Bar { label, value, .. } = bar;
            write(
                out,
                format_args!(
                    "<text x=\"{x}\" y=\"{baseline}\">{label}</text>\
             <rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{length:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"2\"/>\n"
                ),
            );
            let mut end = length;
            if let Some((low, high)) = bar.range {
                end = scale * high;
                write(
                    out,
                    format_args!(
                        "<path class=\"range\" d=\"M{:.1} {middle}H{:.1}\"/>\n",
                        left + scale * low,
                        left + end,
                        middle = top + BAR_HEIGHT / 2.0
                    ),
                );
            }
            write(
                out,
                format_args!(
                    "<text class=\"value\" x=\"{:.1}\" y=\"{baseline}\">{value:.1}</text>\n",
                    left + end + 6.0
                ),
            );
        }
    }
}

/// Writing to a string cannot fail.
fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _written = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::sample::row;

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
