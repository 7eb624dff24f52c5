//! Rows of dots: one row per scenario, one dot per policy.

use super::axis::Scale;
use super::{LIMIT, OURS, grid_line, open, short, text, write};

/// One row.
#[derive(Debug, Clone)]
pub struct DotRow<'a> {
    /// Its name.
    pub label: &'a str,
    /// Policies with their values, above 0. The policy `oracle` is left out: it is what others are measured
    /// by.
    pub values: Vec<(&'a str, f64)>,
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
/// pointed at.
pub fn dots(title: &str, axis: &str, rows: &[DotRow<'_>]) -> String {
    let width = 16.0 + LABELS + PLOT + VALUES;
    let height = TOP + rows.len() as f64 * PITCH + 46.0;
    let (left, right) = (16.0 + LABELS, 16.0 + LABELS + PLOT);
    let values = rows
        .iter()
        .flat_map(|row| &row.values)
        .map(|(_, value)| value.min(MOST));
    let scale = Scale::over(true, values.chain([1.0]), left, right);

    let mut out = String::new();
    open(
        &mut out,
        width,
        height,
        title,
        "less is better; logarithmic",
    );
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
    let others = row
        .values
        .iter()
        .filter(|(policy, value)| ![OURS, LIMIT].contains(policy) && value.is_finite());
    let best = others.clone().min_by(|a, b| a.1.total_cmp(&b.1));
    for (policy, value) in others {
        dot(out, "dot", scale.at(*value), y, 4.0, policy, *value);
    }
    if let Some((policy, value)) = best {
        dot(out, "best", scale.at(*value), y, 4.0, policy, *value);
        text(
            out,
            "note",
            right + 80.0,
            y + 4.5,
            &format!("{policy} {value:.2}"),
        );
    }
    // Last, so that nothing hides it.
    if let Some((policy, value)) = row.values.iter().find(|(policy, _)| *policy == OURS) {
        dot(out, "ours", scale.at(*value), y, 5.5, policy, *value);
        text(out, "ours", right + 16.0, y + 4.5, &format!("{value:.2}"));
    }
}

fn dot(out: &mut String, class: &str, x: f64, y: f64, radius: f64, policy: &str, value: f64) {
    write(
        out,
        format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">\
             <title>{} {value:.2}</title></circle>\n",
            super::escaped(policy)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::super::attribute;
    use super::*;

    fn rows() -> Vec<DotRow<'static>> {
        let row = |label, values| DotRow { label, values };
        vec![
            row(
                "hang",
                vec![
                    ("oracle", 1.0),
                    ("alba", 2.0),
                    ("p2c", 4.0),
                    ("random", 900.0),
                ],
            ),
            row("light <load>", vec![("alba", 1.0), ("lsq", 1.0)]),
        ]
    }

    #[test]
    fn dots_are_to_scale_and_the_oracle_is_the_scale_itself() {
        let svg = dots("p99", "times the oracle's", &rows());
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
        let svg = dots("p99", "times the oracle's", &rows());
        assert!(svg.contains(">p2c 4.00</text>") && svg.contains(">2.00</text>"));
        assert!(svg.contains("light &lt;load>"), "labels are escaped");
    }
}
