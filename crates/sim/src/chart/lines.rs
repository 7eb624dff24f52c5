//! Lines over an axis: one line per policy, named at its end.

use super::axis::{Axis, Scale};
use super::{LIMIT, OURS, grid_line, open, short, text, write};

/// One policy's line.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// Its policy.
    pub policy: &'a str,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
}

const LEFT: f64 = 70.0;
const TOP: f64 = 48.0;
const PLOT_WIDTH: f64 = 600.0;
const PLOT_HEIGHT: f64 = 340.0;
const NAMES: f64 = 120.0;
const COLOURS: usize = 10;
/// Up to so many different places along the bottom are all named.
const FEW: usize = 10;

/// A chart of one line per policy. `alba` is heavy, `oracle` dashed.
pub fn lines(title: &str, note: &str, x: Axis<'_>, y: Axis<'_>, lines: &[Line<'_>]) -> String {
    let (right, bottom) = (LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT);
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let across = Scale::over(x.log, points().map(|point| point.0), LEFT, right);
    let up = Scale::over(y.log, points().map(|point| point.1), bottom, TOP);

    let mut out = String::new();
    open(&mut out, right + NAMES, bottom + 56.0, title, note);
    for tick in up.ticks() {
        grid_line(&mut out, (LEFT, up.at(tick)), (right, up.at(tick)));
        text(
            &mut out,
            "note end",
            LEFT - 8.0,
            up.at(tick) + 4.5,
            &short(tick),
        );
    }
    let mut places: Vec<f64> = points().map(|point| point.0).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.len() > FEW {
        places = across.ticks();
    }
    for tick in places {
        let place = across.at(tick);
        grid_line(&mut out, (place, bottom), (place, bottom + 5.0));
        text(&mut out, "note middle", place, bottom + 20.0, &short(tick));
    }
    text(
        &mut out,
        "note middle",
        LEFT + PLOT_WIDTH / 2.0,
        bottom + 42.0,
        x.label,
    );
    write(
        &mut out,
        format_args!(
            "<text class=\"note middle\" transform=\"translate(18 {:.1}) rotate(-90)\">{}</text>\n",
            TOP + PLOT_HEIGHT / 2.0,
            super::escaped(y.label)
        ),
    );

    // The heavy line comes last, so that nothing hides it.
    let mut order: Vec<&Line<'_>> = lines
        .iter()
        .filter(|line| !line.points.is_empty())
        .collect();
    order.sort_by_key(|line| line.policy == OURS);
    let ends: Vec<f64> = order
        .iter()
        .map(|line| line.points.last().map_or(bottom, |point| up.at(point.1)))
        .collect();
    let names = spread(&ends, 15.0, TOP, bottom);
    let mut colour = 0;
    for (line, name_y) in order.iter().zip(names) {
        let class = match line.policy {
            OURS => "ours".to_owned(),
            LIMIT => "limit".to_owned(),
            _ => {
                colour += 1;
                format!("c{}", (colour - 1) % COLOURS)
            }
        };
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", across.at(*x), up.at(*y)))
            .collect();
        write(
            &mut out,
            format_args!(
                "<polyline class=\"{class}\" points=\"{}\"/>\n",
                points.join(" ")
            ),
        );
        let end = line.points.last().map_or(bottom, |point| up.at(point.1));
        let last_x = line.points.last().map_or(right, |point| across.at(point.0));
        // A thin line of the same colour leads from the end to the name.
        write(
            &mut out,
            format_args!(
                "<polyline class=\"{class} thin\" points=\"{last_x:.1},{end:.1} \
                 {:.1},{name_y:.1}\"/>\n",
                right + 14.0
            ),
        );
        let look = if line.policy == OURS { "ours" } else { "" };
        text(&mut out, look, right + 18.0, name_y + 4.5, line.policy);
    }
    out.push_str("</svg>\n");
    out
}

/// Places near `wanted`, in its order, at least `gap` apart and within the range as far as there is room.
fn spread(wanted: &[f64], gap: f64, least: f64, most: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = wanted.to_vec();
    let mut free = least;
    for &index in &order {
        places[index] = places[index].max(free);
        free = places[index] + gap;
    }
    let mut free = most;
    for &index in order.iter().rev() {
        places[index] = places[index].min(free);
        free = places[index] - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_overlap() {
        let places = spread(&[100.0, 101.0, 99.0, 10.0, 101.0], 15.0, 0.0, 120.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(
            sorted.windows(2).all(|pair| pair[1] - pair[0] >= 15.0),
            "{places:?}"
        );
        assert!(sorted[4] <= 120.0 && sorted[0] == 10.0, "{places:?}");
        assert!(
            places[2] < places[0] && places[0] < places[1],
            "their order stays: {places:?}"
        );
    }

    #[test]
    fn lines_are_to_scale_and_named() {
        let line = |policy, points| Line { policy, points };
        let svg = lines(
            "The ramp",
            "with antagonists",
            Axis {
                label: "load",
                log: false,
            },
            Axis {
                label: "p99 in ms",
                log: true,
            },
            &[
                line("alba", vec![(0.0, 10.0), (1.0, 100.0)]),
                line("oracle", vec![(0.0, 10.0), (0.5, 10.0)]),
                line("wrr", vec![(0.0, 10.0), (1.0, 1000.0)]),
                line("empty", vec![]),
            ],
        );
        let (right, bottom) = (LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT);
        let start = format!("{LEFT:.1},{bottom:.1}");
        assert!(svg.contains(&format!(
            "class=\"c0\" points=\"{start} {right:.1},{TOP:.1}\""
        )));
        let half = bottom - PLOT_HEIGHT / 2.0;
        assert!(svg.contains(&format!(
            "class=\"ours\" points=\"{start} {right:.1},{half:.1}\""
        )));
        assert!(svg.contains("class=\"limit\""));
        assert!(svg.contains(">wrr</text>") && !svg.contains(">empty</text>"));
    }
}
