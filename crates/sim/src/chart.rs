//! Results as pictures: SVG documents that can be read on a light and on a dark page.
//!
//! ```
//! use sim::chart::{Dot, DotRow, dots};
//!
//! let dot = |policy, value| Dot { policy, value, fails: false };
//! let row = DotRow {
//!     label: "antagonists",
//!     dots: vec![dot("oracle", 1.0), dot("alba", 1.2), dot("prequal", 1.9), dot("random", 6.0)],
//! };
//! let svg = dots("p99 at 100 servers", "less is better", "times the oracle's p99", &[row]);
//! assert!(svg.contains("prequal 1.90"));
//! ```

mod axis;
mod dots;
mod lines;
mod results;

use std::fmt::Write;

pub use axis::Axis;
pub use dots::{Dot, DotRow, dots};
pub use lines::{Line, lines};
pub use results::{Chart, Point, charts};

/// The policy that charts point out.
const OURS: &str = "alba";
/// The policy that bounds the others.
const LIMIT: &str = "oracle";

/// Colours for a light page, and for a dark one where the reader prefers that. `c0` to `c9` are lines: the
/// palette of Okabe and Ito, which the colour-blind tell apart, darkened or lightened, and a few more.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.head{font-size:16px;font-weight:600}\
.note{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}\
.grid{stroke:#d5dae0;stroke-width:1}.dot{fill:#9aa5b1;fill-opacity:.75}.best{fill:#1f2328}\
.ours{fill:#0f7b6c}.limit{fill:#59636e}.fails{fill:none;stroke:#9aa5b1;stroke-width:1.5}\
.ours.fails{stroke:#0f7b6c}\
polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}\
polyline.ours{fill:none;stroke:#0f7b6c;stroke-width:3}\
polyline.limit{fill:none;stroke:#59636e;stroke-dasharray:4 3}\
text.ours{font-weight:600}\
.c0{stroke:#b45f06}.c1{stroke:#0072b2}.c2{stroke:#a3246e}.c3{stroke:#3d85c6}.c4{stroke:#7a5c00}\
.c5{stroke:#7f6fb0}.c6{stroke:#c0392b}.c7{stroke:#5f7a1f}.c8{stroke:#8c564b}.c9{stroke:#17838f}polyline.thin{stroke-width:1}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.grid{stroke:#3a424c}\
.dot{fill:#6b7683}.best{fill:#e6edf3}.ours{fill:#2fbfa7}.limit{fill:#9198a1}\
.fails{fill:none;stroke:#6b7683}.ours.fails{stroke:#2fbfa7}\
polyline.ours{stroke:#2fbfa7}polyline.limit{stroke:#9198a1}\
.c0{stroke:#e69f00}.c1{stroke:#56b4e9}.c2{stroke:#cc79a7}.c3{stroke:#8ecbff}.c4{stroke:#d5c054}\
.c5{stroke:#b3a5e0}.c6{stroke:#f0796a}.c7{stroke:#a9c95a}.c8{stroke:#c99a8e}.c9{stroke:#5fd0dc}}";

/// Opens a document that a screen reader calls by its title.
fn open(out: &mut String, width: f64, height: f64, title: &str, note: &str) {
    let (title, note) = (escaped(title), escaped(note));
    write(
        out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{title}: {note}\"><style>{STYLE}</style>\n\
             <text class=\"head\" x=\"16\" y=\"26\">{title}<tspan class=\"note\" dx=\"10\" \
             font-size=\"13\" font-weight=\"400\">{note}</tspan></text>\n"
        ),
    );
}

/// A label at a place, with classes for its look.
fn text(out: &mut String, class: &str, x: f64, y: f64, label: &str) {
    let label = escaped(label);
    write(
        out,
        format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{label}</text>\n"),
    );
}

fn grid_line(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    write(
        out,
        format_args!(
            "<line class=\"grid\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>\n",
            from.0, from.1, to.0, to.1
        ),
    );
}

/// A number in three digits at most, without needless zeros.
fn short(value: f64) -> String {
    let digits = if value >= 10.0 || value.fract() == 0.0 {
        0
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    if digits > 0 && text.ends_with('0') {
        text.trim_end_matches('0').to_owned()
    } else {
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// Writing to a string cannot fail.
fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _written = out.write_fmt(text);
}

/// What tests read back.
#[cfg(test)]
fn attribute(element: &str, name: &str) -> Option<f64> {
    let value = element.split(&format!(" {name}=\"")).nth(1)?;
    value.split('"').next()?.parse().ok()
}
