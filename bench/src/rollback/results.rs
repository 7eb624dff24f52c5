//! Trials to rows, and those to a table, JSON and a picture.

use std::fmt::Write;

use serde::Serialize;

use super::case::{CANARY, Case, Mode};
use super::operations::Operation;
use super::subject::{End, Trial};
use crate::chart::{Bar, Chart, Kind, Panel};
use crate::figures::{median, rounded};

/// A bad generation is to be taken back within so many seconds.
const GOAL_SECONDS: f64 = 10.0;

/// At most this share of harmless ones may be.
const GOAL_HARMLESS: f64 = 0.05;

/// What became of all generations of a kind.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    #[serde(skip)]
    of: Case,
    #[serde(skip)]
    how: Mode,
    /// With a canary under the case's bare name.
    pub(crate) case: String,
    mode: &'static str,
    /// Generations applied.
    pub(crate) runs: usize,
    /// Taken back by itself.
    pub(crate) rolled_back: usize,
    /// Found good.
    pub(crate) confirmed: usize,
    /// Neither, when the probation was over.
    pub(crate) held: usize,
    /// From the swap until it was taken back; of those that were.
    seconds_p50: Option<f64>,
    seconds_max: Option<f64>,
    /// Of the requests from the swap to the last that met it, or to its deadline: those that it served and those that
    /// failed.
    exposed_share: f64,
    /// The most of one trial.
    exposed_share_max: f64,
    /// How many those were.
    requests: usize,
    /// Of them, those that failed.
    failed: usize,
    /// From the request to apply it until it served: checks, files, log and swap.
    apply_ms_p50: f64,
    /// Why the first one was taken back.
    why: Option<String>,
}

impl Row {
    /// Of trials of one kind; nothing without any.
    pub(crate) fn of(case: Case, mode: Mode, trials: &[Trial]) -> Option<Self> {
        if trials.is_empty() {
            return None;
        }
        let ended = |end| trials.iter().filter(move |trial| trial.end == end);
        let seconds = || ended(End::RolledBack).map(|trial| trial.took.as_secs_f64());
        let requests: usize = trials.iter().map(|trial| trial.requests).sum();
        let exposed: usize = trials.iter().map(|trial| trial.exposed).sum();
        let share = |exposed: usize, requests: usize| exposed as f64 / requests.max(1) as f64;
        let shares = trials
            .iter()
            .map(|trial| share(trial.exposed, trial.requests));
        let applied = trials.iter().map(|trial| trial.apply.as_secs_f64() * 1e3);
        Some(Self {
            of: case,
            how: mode,
            case: case.name(mode),
            mode: match mode {
                Mode::Canary => "canary 10%",
                Mode::Whole => "all requests",
            },
            runs: trials.len(),
            rolled_back: ended(End::RolledBack).count(),
            confirmed: ended(End::Confirmed).count(),
            held: ended(End::Held).count(),
            seconds_p50: median(seconds()).map(|seconds| rounded(seconds, 2)),
            seconds_max: seconds()
                .reduce(f64::max)
                .map(|seconds| rounded(seconds, 2)),
            exposed_share: rounded(share(exposed, requests), 4),
            exposed_share_max: rounded(shares.fold(0.0, f64::max), 4),
            requests,
            failed: trials.iter().map(|trial| trial.failed).sum(),
            apply_ms_p50: rounded(median(applied).unwrap_or(f64::NAN), 1),
            why: ended(End::RolledBack).next().map(|trial| trial.why.clone()),
        })
    }

    /// What a canary may expose: its share, three standard deviations for the lot that each request draws, and the
    /// request that each trial ends with, which has met it by definition.
    fn exposed_at_most(&self) -> f64 {
        let last = self.rolled_back as f64 / self.requests.max(1) as f64;
        let spread = (CANARY * (1.0 - CANARY) / self.requests.max(1) as f64).sqrt();
        CANARY + 3.0 * spread + last
    }

    /// What was wanted, and whether it came true.
    fn goals(&self) -> Vec<(String, bool)> {
        let mut goals = Vec::new();
        if self.of.is_bad() {
            let all = self.rolled_back == self.runs;
            let slowest = self.seconds_max.unwrap_or(f64::INFINITY);
            goals.push((
                format!("all taken back within {GOAL_SECONDS:.0} s"),
                all && slowest <= GOAL_SECONDS,
            ));
        } else {
            let share = self.rolled_back as f64 / self.runs as f64;
            goals.push((
                format!("at most {:.0} % taken back", GOAL_HARMLESS * 100.0),
                share <= GOAL_HARMLESS,
            ));
        }
        if self.how == Mode::Canary {
            goals.push((
                format!("at most {:.0} % of requests exposed", CANARY * 100.0),
                self.exposed_share <= self.exposed_at_most(),
            ));
        }
        goals
    }
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// dalbi's.
    pub(crate) version: String,
    /// Requests per second of each dispatcher.
    pub(crate) rate_per_s: f64,
    /// Dispatchers at a time, on one core.
    pub(crate) parallel: usize,
    /// Seconds that a bad generation and a harmless one is watched.
    pub(crate) probation_s: f64,
    pub(crate) aa_probation_s: f64,
    pub(crate) seed: u64,
    /// Kind by kind.
    pub(crate) results: Vec<Row>,
    /// What single steps take.
    pub(crate) operations: Vec<Operation>,
}

impl Figures {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut out = format!(
            "{:<26} {:>5} {:>11} {:>9} {:>5} {:>7} {:>7} {:>9} {:>9} {:>9}\n",
            "generation",
            "runs",
            "rolled back",
            "confirmed",
            "held",
            "s p50",
            "s max",
            "exposed %",
            "of reqs",
            "apply ms"
        );
        let shown =
            |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), |s| format!("{s:.1}"));
        for row in &self.results {
            line(
                &mut out,
                format_args!(
                    "{:<26} {:>5} {:>11} {:>9} {:>5} {:>7} {:>7} {:>9.2} {:>9} {:>9.0}",
                    row.case,
                    row.runs,
                    row.rolled_back,
                    row.confirmed,
                    row.held,
                    shown(row.seconds_p50),
                    shown(row.seconds_max),
                    row.exposed_share * 100.0,
                    row.requests,
                    row.apply_ms_p50
                ),
            );
        }
        for operation in &self.operations {
            line(&mut out, format_args!("{operation}"));
        }
        out
    }

    /// One line per goal.
    pub(crate) fn goals(&self) -> String {
        let mut out = String::new();
        let rows = self.results.iter().flat_map(|row| {
            let goals = row.goals().into_iter();
            goals.map(move |(goal, met)| (row.case.clone(), goal, met))
        });
        let operations = self.operations.iter().filter_map(|operation| {
            let (goal, met) = operation.goal()?;
            Some((operation.name.clone(), goal, met))
        });
        for (what, goal, met) in rows.chain(operations) {
            let verdict = if met { "met" } else { "MISSED" };
            line(&mut out, format_args!("{what:<26} {goal:<40} {verdict}"));
        }
        out
    }

    /// A picture of how soon bad generations go, and how many harmless ones.
    pub(crate) fn svg(&self) -> String {
        let panels = Case::ALL.into_iter().filter_map(|case| {
            let bars = self.results.iter().filter(|row| row.of == case);
            let bars: Vec<Bar> = bars.filter_map(bar).collect();
            let title = match case {
                Case::Errors => "2 % of requests fail",
                Case::Slow => "5 % take 100 ms longer",
                Case::DeadEndpoint => "10 % go to a dead endpoint",
                Case::Harmless => "harmless: % taken back",
            };
            let title = title.to_owned();
            (!bars.is_empty()).then_some(Panel { title, bars })
        });
        Chart {
            title: "Seconds until a generation is taken back",
            note: "median, and up to the longest; each panel has a scale of its own",
            label_width: 90.0,
            panels: panels.collect(),
        }
        .svg()
    }
}

/// `None` where nothing was taken back that should have been.
fn bar(row: &Row) -> Option<Bar> {
    let (value, range) = if row.of.is_bad() {
        (
            row.seconds_p50?,
            row.seconds_max
                .map(|max| (row.seconds_p50.unwrap_or(max), max)),
        )
    } else {
        (100.0 * row.rolled_back as f64 / row.runs as f64, None)
    };
    Some(Bar {
        label: row.mode.to_owned(),
        value,
        range,
        kind: match row.how {
            Mode::Canary => Kind::Ours,
            Mode::Whole => Kind::Others,
        },
    })
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trial(end: End, seconds: u64, exposed: usize) -> Trial {
        Trial {
            end,
            why: "2.0 % of 50 requests failed".to_owned(),
            apply: Duration::from_millis(30),
            took: Duration::from_secs(seconds),
            requests: 1000,
            exposed,
            failed: 2,
        }
    }

    fn figures(results: Vec<Row>) -> Figures {
        Figures {
            version: "0.1.0".to_owned(),
            rate_per_s: 500.0,
            parallel: 1,
            probation_s: 30.0,
            aa_probation_s: 10.0,
            seed: 1,
            results,
            operations: Vec::new(),
        }
    }

    #[test]
    fn rows_have_the_fields_that_were_asked_for() {
        let trials = [
            trial(End::RolledBack, 2, 100),
            trial(End::RolledBack, 4, 110),
        ];
        let row = Row::of(Case::Errors, Mode::Canary, &trials).unwrap();
        let json = serde_json::to_value(figures(vec![row])).unwrap();
        let row = &json["results"][0];
        assert_eq!(row["case"], "errors-2pct");
        assert_eq!((&row["runs"], &row["rolled_back"]), (&2.into(), &2.into()));
        assert_eq!(row["seconds_p50"], 3.0);
        assert_eq!(row["seconds_max"], 4.0);
        assert_eq!(row["exposed_share"], 0.105);
        assert!(Row::of(Case::Errors, Mode::Canary, &[]).is_none());
    }

    #[test]
    fn goals_are_missed_by_one_that_stays_or_comes_late() {
        let verdict = |case, mode, trials: &[Trial]| {
            figures(vec![Row::of(case, mode, trials).unwrap()]).goals()
        };
        let good = verdict(Case::Slow, Mode::Canary, &[trial(End::RolledBack, 9, 100)]);
        assert_eq!(good.matches(" met\n").count(), 2, "{good}");
        for bad in [End::Confirmed, End::Held] {
            let bad = verdict(Case::Slow, Mode::Whole, &[trial(bad, 9, 1000)]);
            assert!(bad.ends_with("MISSED\n"), "{bad}");
        }
        let late = verdict(Case::Slow, Mode::Whole, &[trial(End::RolledBack, 11, 1000)]);
        assert!(late.ends_with("MISSED\n"), "{late}");
        let exposed = verdict(Case::Slow, Mode::Canary, &[trial(End::RolledBack, 9, 150)]);
        assert_eq!(exposed.matches("MISSED").count(), 1, "{exposed}");
        let mut harmless = vec![trial(End::Confirmed, 10, 100); 19];
        harmless.push(trial(End::RolledBack, 1, 100));
        assert!(!verdict(Case::Harmless, Mode::Canary, &harmless).contains("MISSED"));
        harmless.push(trial(End::RolledBack, 1, 100));
        assert!(verdict(Case::Harmless, Mode::Canary, &harmless).contains("MISSED"));
    }

    #[test]
    fn the_picture_has_a_panel_for_each_case() {
        let trials = [trial(End::RolledBack, 2, 100)];
        let rows = [
            (Case::Errors, Mode::Canary),
            (Case::Errors, Mode::Whole),
            (Case::Harmless, Mode::Canary),
        ];
        let rows = rows.map(|(case, mode)| Row::of(case, mode, &trials).unwrap());
        let svg = figures(rows.to_vec()).svg();
        assert_eq!(svg.matches("class=\"title\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        let none = Row::of(
            Case::Harmless,
            Mode::Canary,
            &[trial(End::Confirmed, 10, 100)],
        );
        let svg = figures(vec![none.unwrap()]).svg();
        assert!(svg.contains(">0.0</text>") && !svg.contains("NaN"), "{svg}");
    }
}
