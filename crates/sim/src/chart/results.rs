//! Which charts a set of results makes.

use std::collections::BTreeMap;

use crate::Row;

use super::{Axis, Dot, DotRow, LIMIT, Line, dots, lines};

/// What charts need of one run. Runs that differ only in their seeds count with their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// `file` or `file/variant`.
    pub scenario: &'a str,
    /// Servers at the start.
    pub servers: u32,
    /// Dispatchers.
    pub dispatchers: u32,
    /// Work offered, as a share of all allocations.
    pub load: f64,
    /// The policy.
    pub policy: &'a str,
    /// 99 % of its requests were answered within this, in milliseconds.
    pub p99_ms: f64,
    /// Share of requests without a good answer in time.
    pub error_rate: f64,
}

impl<'a> From<&'a Row> for Point<'a> {
    fn from(row: &'a Row) -> Self {
        Self {
            scenario: &row.scenario,
            servers: row.servers,
            dispatchers: row.dispatchers,
            load: row.load,
            policy: &row.policy,
            p99_ms: row.figures.p99_ms,
            error_rate: row.figures.error_rate,
        }
    }
}

/// An SVG document and its file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// For example `p99-100x100.svg`.
    pub file: String,
    /// The document.
    pub svg: String,
}

/// A size needs this many scenarios to make a chart by scenario.
const FEWEST_ROWS: usize = 3;

/// Share of requests that a policy may fail beyond what the oracle fails before its p99 says little: those
/// that fail at once count for none.
const TOLERATED: f64 = 0.005;

/// All charts that the points suffice for: `p99-SIZE.svg` (every scenario and policy against the oracle),
/// `ramp-SIZE.svg` (p99 against load) and `herding-SERVERS.svg` (p99 against dispatchers). Policies and
/// scenarios keep the order in which they first appear.
pub fn charts(points: &[Point<'_>]) -> Vec<Chart> {
    let means = means(points);
    let mut charts = Vec::new();
    for size in distinct(&means, |point| (point.servers, point.dispatchers)) {
        let of_size: Vec<Point<'_>> = means
            .iter()
            .filter(|point| (point.servers, point.dispatchers) == size)
            .copied()
            .collect();
        charts.extend(by_scenario(size, &of_size));
        charts.extend(ramp(size, &of_size));
    }
    for servers in distinct(&means, |point| point.servers) {
        let herding: Vec<Point<'_>> = means
            .iter()
            .filter(|point| point.servers == servers && file(point) == "herding")
            .copied()
            .collect();
        charts.extend(herding_chart(servers, &herding));
    }
    charts
}

fn by_scenario<'a>((servers, dispatchers): (u32, u32), points: &[Point<'a>]) -> Option<Chart> {
    let rows: Vec<DotRow<'_>> = distinct(points, |point| point.scenario)
        .into_iter()
        .filter_map(|scenario| {
            let of_scenario = || points.iter().filter(|point| point.scenario == scenario);
            let limit = of_scenario().find(|point| point.policy == LIMIT)?;
            let dot = |point: &Point<'a>| Dot {
                policy: point.policy,
                value: point.p99_ms / limit.p99_ms,
                fails: point.error_rate > limit.error_rate + TOLERATED,
            };
            Some(DotRow {
                label: scenario,
                dots: of_scenario().map(dot).collect(),
            })
        })
        .collect();
    (rows.len() >= FEWEST_ROWS).then(|| Chart {
        file: format!("p99-{servers}x{dispatchers}.svg"),
        svg: dots(
            &format!("p99 with {servers} servers and {dispatchers} dispatchers"),
            "less is better; hollow: fails 0.5 % more requests than the oracle",
            "p99 as a multiple of the oracle's",
            &rows,
        ),
    })
}

fn ramp((servers, dispatchers): (u32, u32), points: &[Point<'_>]) -> Option<Chart> {
    let ramp: Vec<Point<'_>> = points
        .iter()
        .filter(|point| file(point) == "ramp")
        .copied()
        .collect();
    let by_load = by_policy(&ramp, |point| point.load)?;
    Some(Chart {
        file: format!("ramp-{servers}x{dispatchers}.svg"),
        svg: lines(
            "p99 on the ramp",
            &format!("{servers} servers, {dispatchers} dispatchers, antagonists"),
            Axis {
                label: "offered load as a multiple of the allocation",
                log: false,
            },
            P99,
            &by_load,
        ),
    })
}

fn herding_chart(servers: u32, points: &[Point<'_>]) -> Option<Chart> {
    let by_count = by_policy(points, |point| f64::from(point.dispatchers))?;
    Some(Chart {
        file: format!("herding-{servers}.svg"),
        svg: lines(
            "p99 by the number of dispatchers",
            &format!("{servers} servers under the same load"),
            Axis {
                label: "dispatchers",
                log: true,
            },
            P99,
            &by_count,
        ),
    })
}

const P99: Axis<'static> = Axis {
    label: "p99 in ms",
    log: true,
};

/// A line per policy from left to right; `None` if there are fewer than two places along `x`.
fn by_policy<'a>(points: &[Point<'a>], x: impl Fn(&Point<'_>) -> f64) -> Option<Vec<Line<'a>>> {
    if distinct(points, |point| x(point).to_bits()).len() < 2 {
        return None;
    }
    let line = |policy| {
        let mut line: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.policy == policy)
            .map(|point| (x(point), point.p99_ms))
            .collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line {
            policy,
            points: line,
        }
    };
    let policies = distinct(points, |point| point.policy);
    Some(policies.into_iter().map(line).collect())
}

/// The scenario's name without its variant.
fn file<'a>(point: &Point<'a>) -> &'a str {
    let name = point.scenario;
    name.split_once('/').map_or(name, |(file, _)| file)
}

/// One point for all seeds of a case, in the order in which cases first appear.
fn means<'a>(points: &[Point<'a>]) -> Vec<Point<'a>> {
    let mut cases = BTreeMap::new();
    let mut means: Vec<(Point<'a>, f64)> = Vec::new();
    for point in points {
        let case = (
            point.scenario,
            point.servers,
            point.dispatchers,
            point.load.to_bits(),
            point.policy,
        );
        let place = *cases.entry(case).or_insert(means.len());
        match means.get_mut(place) {
            Some((sum, count)) => {
                sum.p99_ms += point.p99_ms;
                sum.error_rate += point.error_rate;
                *count += 1.0;
            }
            None => means.push((*point, 1.0)),
        }
    }
    means
        .into_iter()
        .map(|(sum, count)| Point {
            p99_ms: sum.p99_ms / count,
            error_rate: sum.error_rate / count,
            ..sum
        })
        .collect()
}

/// What `key` says of the points, each once, in their order.
fn distinct<'a, K: PartialEq>(points: &[Point<'a>], key: impl Fn(&Point<'a>) -> K) -> Vec<K> {
    let mut keys = Vec::new();
    for point in points {
        let key = key(point);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scenario: &'static str, policy: &'static str, p99_ms: f64) -> Point<'static> {
        Point {
            scenario,
            servers: 10,
            dispatchers: 3,
            load: 0.5,
            policy,
            p99_ms,
            error_rate: 0.0,
        }
    }

    fn files(points: &[Point<'_>]) -> Vec<String> {
        charts(points).into_iter().map(|chart| chart.file).collect()
    }

    #[test]
    fn seeds_count_with_their_mean_against_the_oracle() {
        let mut points = Vec::new();
        for scenario in ["hang", "uniform", "zones"] {
            points.push(point(scenario, "oracle", 9.0));
            points.push(point(scenario, "oracle", 11.0));
            points.push(point(scenario, "alba", 14.0));
            points.push(point(scenario, "alba", 16.0));
        }
        let charts = charts(&points);
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].file, "p99-10x3.svg");
        assert_eq!(charts[0].svg.matches("<title>alba 1.50</title>").count(), 3);
    }

    #[test]
    fn a_policy_that_fails_more_than_the_oracle_is_hollow() {
        let mut points = Vec::new();
        for scenario in ["hang", "sinkhole", "zones"] {
            points.push(point(scenario, "oracle", 10.0));
            points.push(point(scenario, "lsq", 9.0));
            points.push(point(scenario, "p2c", 12.0));
        }
        points[4].error_rate = 0.3;
        let svg = &charts(&points)[0].svg;
        assert_eq!(svg.matches("class=\"fails\"").count(), 1);
        assert_eq!(svg.matches(">lsq 0.90</text>").count(), 2);
        assert_eq!(svg.matches(">p2c 1.20</text>").count(), 1);
    }

    #[test]
    fn each_chart_needs_its_points() {
        let mut points: Vec<_> = ["ramp/0.75", "ramp/1.74"]
            .map(|scenario| point(scenario, "alba", 20.0))
            .into();
        assert!(files(&points).is_empty(), "one load is no ramp");
        points[1].load = 1.74;
        assert_eq!(files(&points), ["ramp-10x3.svg"]);
        for dispatchers in [1, 200] {
            points.push(Point {
                dispatchers,
                ..point("herding/some", "alba", 30.0)
            });
        }
        assert_eq!(files(&points), ["ramp-10x3.svg", "herding-10.svg"]);
    }
}
