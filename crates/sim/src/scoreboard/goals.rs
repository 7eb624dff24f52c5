//! What was set as a goal, and whether it is met.

use super::{Cell, GAP_NOISE, Mean, Scoreboard};

/// A goal and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// What was set.
    pub text: String,
    /// `None` if nothing that ran says anything of it.
    pub met: Option<bool>,
    /// What was measured, and where it fails.
    pub found: String,
}

/// At most this share of the p99 gap may be left open …
const OPEN: f64 = 0.4;
/// … in so many of the scenarios.
const CLOSED_SCENARIOS: usize = 10;
/// Neither p50 nor p99 may be above so many times the best baseline's.
const NEVER_ABOVE: f64 = 1.03;
/// In the guard scenario.
const GUARD_ABOVE: f64 = 1.01;
/// Errors may exceed the best baseline's by so much.
const ERRORS_ABOVE: f64 = 0.0002;
const PRICE_OF_ANARCHY: f64 = 1.1;
const JAIN_TENANTS: f64 = 0.95;
const USEFUL: f64 = 0.95;
const SINKHOLE_ERRORS: f64 = 0.001;

/// The scenario in which cleverness must cost nothing.
const GUARD: &str = "uniform";

/// The sizes that goals speak of.
const SIZES: [(u32, u32); 2] = [(100, 100), (10, 3)];

impl Scoreboard {
    /// All goals, in the order in which they were set.
    pub fn goals(&self) -> Vec<Goal> {
        let mut goals: Vec<Goal> = SIZES.iter().map(|&size| self.gap(size)).collect();
        goals.push(self.never_above("p50", |mean| mean.p50_ms));
        goals.push(self.never_above("p99", |mean| mean.p99_ms));
        goals.push(self.errors());
        goals.push(self.guard());
        goals.push(self.round_robin());
        goals.push(self.anarchy());
        goals.push(self.tenants());
        goals.push(self.sinkhole());
        goals
    }

    /// Cells at the two sizes, and those whose scenario sets its own number of dispatchers.
    fn main_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| {
            cell.file() == "herding" || SIZES.contains(&(cell.servers, cell.dispatchers))
        })
    }

    fn gap(&self, (servers, dispatchers): (u32, u32)) -> Goal {
        // A file's share is the mean of its variants', so that no scenario counts twice. What one variant
        // gains beyond the limit does not close another's gap.
        let mut files: Vec<(&str, Vec<f64>)> = Vec::new();
        for cell in &self.cells {
            let here = cell.servers == servers
                && (cell.dispatchers == dispatchers || cell.file() == "herding");
            let (true, Some(best), Some(judged)) = (here, cell.best(), cell.judged()) else {
                continue;
            };
            // Without a gap there is nothing to close, only something to lose.
            let level = judged.p99_ms <= (1.0 + GAP_NOISE) * best.p99_ms;
            let open = cell
                .open()
                .unwrap_or(if level { 0.0 } else { f64::INFINITY })
                .max(0.0);
            match files.iter_mut().find(|(file, _)| *file == cell.file()) {
                Some((_, shares)) => shares.push(open),
                None => files.push((cell.file(), vec![open])),
            }
        }
        let all = files.len();
        let open: Vec<String> = files
            .iter()
            .map(|(file, shares)| (file, shares.iter().sum::<f64>() / shares.len() as f64))
            .filter(|&(_, share)| share > OPEN)
            .map(|(file, share)| format!("{file} {share:.2}"))
            .collect();
        let closed = all - open.len();
        Goal {
            text: format!(
                "{servers}×{dispatchers}: at most {OPEN} of the p99 gap between best baseline and oracle \
                 left open in at least {CLOSED_SCENARIOS} of 14 scenarios"
            ),
            met: (all > 0).then_some(closed >= CLOSED_SCENARIOS),
            found: format!("{closed} of {all}{}", list("; more is left open in", &open)),
        }
    }

    fn never_above(&self, name: &str, of: fn(&Mean) -> f64) -> Goal {
        let factors = self.main_cells().filter_map(|cell| {
            // Which baseline is the best depends on what is compared.
            let best = cell.contenders().map(|(_, mean)| of(mean));
            let best = best.min_by(f64::total_cmp)?;
            Some((of(cell.judged()?) / best, label(cell)))
        });
        let text = format!("{name} never above {NEVER_ABOVE} × the best baseline's");
        at_most(text, NEVER_ABOVE, factors)
    }

    fn errors(&self) -> Goal {
        let cells: Vec<(f64, String)> = self
            .main_cells()
            .filter_map(|cell| {
                let more = cell.judged()?.error_rate - cell.best()?.error_rate;
                Some((more, label(cell)))
            })
            .collect();
        let above: Vec<String> = cells
            .iter()
            .filter(|(more, _)| *more > ERRORS_ABOVE)
            .map(|(more, label)| format!("{label} +{:.3} points", more * 100.0))
            .collect();
        Goal {
            text: "errors never more than the best baseline's plus 0.02 points".to_owned(),
            met: (!cells.is_empty()).then_some(above.is_empty()),
            found: format!(
                "{} of {} cells{}",
                cells.len() - above.len(),
                cells.len(),
                list("; more in", &above)
            ),
        }
    }

    fn guard(&self) -> Goal {
        let factors: Vec<(f64, String)> = self
            .main_cells()
            .filter(|cell| cell.file() == GUARD)
            .filter_map(|cell| Some((cell.judged()?.p99_ms / cell.best()?.p99_ms, label(cell))))
            .collect();
        let found: Vec<String> = factors
            .iter()
            .map(|(factor, label)| format!("{label} {factor:.3}"))
            .collect();
        Goal {
            text: format!("{GUARD}: p99 within 1 % of the best baseline's"),
            met: (!factors.is_empty())
                .then(|| factors.iter().all(|(factor, _)| *factor <= GUARD_ABOVE)),
            found: found.join(", "),
        }
    }

    fn round_robin(&self) -> Goal {
        let cells = self.cells.iter();
        let factors = cells
            .filter(|cell| cell.servers == 10 && cell.dispatchers >= 3)
            .filter_map(|cell| {
                let round_robin = cell.means.get("round_robin")?;
                Some((cell.judged()?.p99_ms / round_robin.p99_ms, label(cell)))
            });
        let text = "with 10 servers and 3 to 1000 dispatchers, p99 never above round robin's (by more than \
                    1 %)";
        at_most(text.to_owned(), GUARD_ABOVE, factors)
    }

    fn anarchy(&self) -> Goal {
        let cells = self.cells.iter();
        let prices = cells
            .filter(|cell| (cell.servers, cell.dispatchers) == SIZES[0])
            .filter_map(|cell| Some((cell.price_of_anarchy()?, label(cell))));
        let text = format!("price of anarchy at most {PRICE_OF_ANARCHY} at 100×100");
        at_most(text, PRICE_OF_ANARCHY, prices)
    }

    fn tenants(&self) -> Goal {
        let cells: Vec<(&Cell, &Mean, f64)> = self
            .main_cells()
            .filter(|cell| cell.load >= 2.0)
            .filter_map(|cell| {
                let judged = cell.judged()?;
                Some((cell, judged, judged.jain_tenants?))
            })
            .collect();
        let found: Vec<String> = cells
            .iter()
            .map(|(cell, mean, jain)| {
                format!(
                    "{} Jain {jain:.3}, useful work {:.3}",
                    label(cell),
                    mean.useful_share
                )
            })
            .collect();
        Goal {
            text: format!(
                "tenants at 2 × load: Jain of work by fair share at least {JAIN_TENANTS}, useful work at \
                 least {USEFUL} of capacity"
            ),
            met: (!cells.is_empty()).then(|| {
                cells
                    .iter()
                    .all(|(_, mean, jain)| *jain >= JAIN_TENANTS && mean.useful_share >= USEFUL)
            }),
            found: found.join("; "),
        }
    }

    fn sinkhole(&self) -> Goal {
        let cells: Vec<(f64, String)> = self
            .cells
            .iter()
            .filter(|cell| {
                cell.file() == "sinkhole" && (cell.servers, cell.dispatchers) == (100, 100)
            })
            .filter_map(|cell| Some((cell.judged()?.error_rate, label(cell))))
            .collect();
        let found: Vec<String> = cells
            .iter()
            .map(|(errors, label)| format!("{label} {:.3} %", errors * 100.0))
            .collect();
        Goal {
            text: "sinkhole at 100×100: at most 0.1 % failed requests".to_owned(),
            met: (!cells.is_empty())
                .then(|| cells.iter().all(|(errors, _)| *errors <= SINKHOLE_ERRORS)),
            found: found.join(", "),
        }
    }
}

/// The goal that no cell's factor exceeds the limit; those that do are named, the worst first.
fn at_most(text: String, limit: f64, factors: impl Iterator<Item = (f64, String)>) -> Goal {
    let mut factors: Vec<_> = factors.collect();
    factors.sort_by(|a, b| b.0.total_cmp(&a.0));
    let above: Vec<String> = factors
        .iter()
        .filter(|(factor, _)| *factor > limit)
        .map(|(factor, label)| format!("{label} {factor:.2}"))
        .collect();
    Goal {
        text,
        met: (!factors.is_empty()).then_some(above.is_empty()),
        found: format!(
            "{} of {} cells{}",
            factors.len() - above.len(),
            factors.len(),
            list("; above in", &above)
        ),
    }
}

fn label(cell: &Cell) -> String {
    format!("{} {}×{}", cell.scenario, cell.servers, cell.dispatchers)
}

/// Nothing for nothing.
fn list(head: &str, items: &[String]) -> String {
    match items {
        [] => String::new(),
        items => format!("{head} {}", items.join(", ")),
    }
}
