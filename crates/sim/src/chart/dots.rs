//! Rows of dots: one row per scenario, one dot per policy.

use super::axis::Scale;
use super::{LIMIT, OURS, grid_line, open, short, text, write};

/// One row.
#[derive(Debug, Clone)]
pub struct DotRow<'a> {
    /// Its name.
    pub label: &'a str,
    /// One mark per policy. The policy `oracle` is left out: it is what others are measured by.
    pub dots: Vec<Dot<'a>>,
}

/// One policy's mark.
#[derive(Debug, Clone, Copy)]
pub struct Dot<'a> {
    /// Its policy.
    pub policy: &'a str,
    /// Where it is; nothing is drawn unless it is above 0.
    pub value: f64,
    /// It fails so many requests that its value says little: drawn hollow, and never the best.
    pub fails: bool,
}

const LABELS: f64 = 210.0;
const PLOT: f64 = 440.0;
const VALUES: f64 = 250.0;
const TOP: f64 = 62.0;
const PITCH: f64 = 24.0;

/// Beyond this factor a policy is just bad: what is further right is drawn at the edge.
const MOST: f64 = 20.0;

/// A chart of factors on a logarithmic axis that `axis` names; less is better. `alba` and the best of the
/// others are named with their values at the right, all others are grey and tell their names when they are
/// pointed at. `note` says what hollow dots are.
pub fn dots(title: &str, note: &str, axis: &str, rows: &[DotRow<'_>]) -> String {
    let width = 16.0 + LABELS + PLOT + VALUES;
    let height = TOP + rows.len() as f64 * PITCH + 46.0;
    let (left, right) = (16.0 + LABELS, 16.0 + LABELS + PLOT);
    let values = rows
        .iter()
        .flat_map(|row| &row.dots)
        .map(|dot| dot.value.min(MOST));
    let scale = Scale::over(true, values.chain([1.0]), left, right);

    let mut out = String::new();
    open(&mut out, width, height, title, note);
    text(&mut out, "ours", right + 16.0, TOP - 12.0, OURS);
    text(
        &mut out,
        "note",
        right + 80.0,
        TOP - 12.0,
        "best of the others",
    );
    let bottom = TOP + rows.len() as f64 * PITCH;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        grid_line(&mut out, (x, TOP - 6.0), (x, bottom));
        let beyond = if tick == MOST { "≥ " } else { "" };
        let label = format!("{beyond}{}", short(tick));
        text(&mut out, "note middle", x, bottom + 16.0, &label);
    }
    text(
        &mut out,
        "note middle",
        (left + right) / 2.0,
        bottom + 36.0,
        axis,
    );
    for (index, row) in rows.iter().enumerate() {
        draw_row(
            &mut out,
            row,
            &scale,
            TOP + (index as f64 + 0.5) * PITCH,
            right,
        );
    }
    out.push_str("</svg>\n");
    out
}

fn draw_row(out: &mut String, row: &DotRow<'_>, scale: &Scale, y: f64, right: f64) {
    text(out, "", 16.0, y + 4.5, row.label);
    let drawn = || row.dots.iter().filter(|dot| dot.value > 0.0);
    let others = || drawn().filter(|dot| ![OURS, LIMIT].contains(&dot.policy));
    let best = others()
        .filter(|dot| !dot.fails)
        .min_by(|a, b| a.value.total_cmp(&b.value));
    for dot in others() {
        draw_dot(
            out,
            if dot.fails { "fails" } else { "dot" },
            4.0,
            dot,
            scale,
            y,
        );
    }
    if let Some(dot) = best {
        draw_dot(out, "best", 4.0, dot, scale, y);
        let label = format!("{} {:.2}", dot.policy, dot.value);
        text(out, "note", right + 80.0, y + 4.5, &label);
    }
    // Last, so that nothing hides it.
    if let Some(dot) = drawn().find(|dot| dot.policy == OURS) {
        let class = if dot.fails { "ours fails" } else { "ours" };
        draw_dot(out, class, 5.5, dot, scale, y);
        text(
            out,
            "ours",
            right + 16.0,
            y + 4.5,
            &format!("{:.2}", dot.value),
        );
    }
}

fn draw_dot(out: &mut String, class: &str, radius: f64, dot: &Dot<'_>, scale: &Scale, y: f64) {
    let (policy, x) = (super::escaped(dot.policy), scale.at(dot.value));
    write(
        out,
        format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">\
             <title>{policy} {:.2}</title></circle>\n",
            dot.value
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::super::attribute;
    use super::*;

    fn row(label: &'static str, values: &[(&'static str, f64)]) -> DotRow<'static> {
        let dots = values.iter().map(|&(policy, value)| Dot {
            policy,
            value,
            fails: policy == "lossy",
        });
        DotRow {
            label,
            dots: dots.collect(),
        }
    }

    fn chart() -> String {
        let rows = [
            row(
                "hang",
                &[
                    ("oracle", 1.0),
                    ("alba", 2.0),
                    ("p2c", 4.0),
                    ("random", 900.0),
                ],
            ),
            row(
                "sinkhole",
                &[("alba", 1.5), ("lossy", 1.1), ("c3", 0.0), ("wrr", 3.0)],
            ),
            row("light <load>", &[("alba", 1.0), ("lsq", 1.0)]),
        ];
        dots("p99", "hollow ones fail", "times the oracle's", &rows)
    }

    #[test]
    fn dots_are_to_scale_and_the_oracle_is_the_scale_itself() {
        let svg = chart();
        let circles: Vec<&str> = svg.split("<circle").skip(1).collect();
        let place = |name: &str| {
            let circle = circles
                .iter()
                .find(|c| c.contains(&format!("<title>{name}")));
            circle.and_then(|circle| attribute(circle, "cx")).unwrap()
        };
        assert!(!svg.contains("<title>oracle"));
        let (one, two, four) = (place("lsq 1.00"), place("alba 2.00"), place("p2c 4.00"));
        assert!((two - one - (four - two)).abs() < 0.2, "{one} {two} {four}");
        assert_eq!(
            place("random 900.00"),
            16.0 + LABELS + PLOT,
            "far ones are at the edge"
        );
    }

    #[test]
    fn the_best_of_the_others_is_named() {
        let svg = chart();
        assert!(svg.contains(">p2c 4.00</text>") && svg.contains(">2.00</text>"));
        assert!(svg.contains("light &lt;load>"), "labels are escaped");
    }

    #[test]
    fn what_fails_is_hollow_and_never_the_best() {
        let svg = chart();
        assert!(svg.contains(">wrr 3.00</text>"));
        assert_eq!(svg.matches("class=\"fails\"").count(), 1);
        assert!(!svg.contains("<title>c3"), "it answered nothing");
    }
}
