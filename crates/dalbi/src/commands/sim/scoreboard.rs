//! `dalbi sim scoreboard`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use sim::Row;
use sim::chart::{Point, charts};
use sim::policies::{self, Factory};
use sim::scenario::{self, Scenario, Size};
use sim::scoreboard::{JUDGED, Scoreboard};

use crate::cli::Verdict;
use crate::simulate::{Runs, read_json, write_json};

/// `dalbi sim scoreboard`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One seed, half the time and the best-known policies only: minutes instead of the better part of an
    /// hour
    #[arg(long)]
    quick: bool,
    /// Servers and dispatchers
    #[arg(
        long,
        value_name = "SERVERSxDISPATCHERS,…",
        value_delimiter = ',',
        default_value = "100x100,10x3"
    )]
    sizes: Vec<Size>,
    /// Compare alba with itself without each of its parts, instead of with others
    #[arg(long)]
    ablation: bool,
    /// Judge and draw the figures that an earlier run wrote, instead of running anything
    #[arg(long, value_name = "JSON", conflicts_with_all = ["quick", "ablation", "sizes"])]
    from: Option<PathBuf>,
    /// Folder for the page, the figures and the charts
    #[arg(long, value_name = "DIR", default_value = "docs/balancing")]
    out: PathBuf,
    #[command(flatten)]
    runs: super::RunOptions,
}

/// What `--quick` compares.
const QUICK: &[&str] = &[
    "round_robin",
    "p2c",
    "peak_ewma",
    "prequal",
    "alba",
    "oracle",
];

/// With ever more dispatchers each sees less: from 10 × 3 to 10 × 1000, against round robin.
const GUARD_SIZES: [&str; 3] = ["10x30", "10x100", "10x1000"];
const GUARD_SCENARIOS: [&str; 3] = ["uniform", "mixed-speed", "scale"];
const GUARD_POLICIES: &[&str] = &["round_robin", "alba", "oracle"];

/// Runs everything and writes what came of it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let rows = if let Some(earlier) = &arguments.from {
        read_json(earlier)?
    } else if arguments.ablation {
        let without = policies::PARTS
            .iter()
            .map(|part| format!("{JUDGED}-{part}"));
        let names: Vec<String> = std::iter::once(JUDGED.to_owned()).chain(without).collect();
        arguments.rows(&scenario::builtin("all")?, &arguments.sizes, &names)
    } else {
        arguments.comparison()?
    };
    let board = Scoreboard::new(&rows);
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    let (name, page) = if arguments.ablation {
        ("ablation", board.ablation())
    } else {
        ("results", board.markdown(&write_charts(&rows, out)?))
    };
    let page = format!("{}\n{page}", arguments.head());
    let path = out.join(name).with_extension("md");
    std::fs::write(&path, &page).with_context(|| format!("write {}", path.display()))?;
    write_json(&rows, &out.join(name).with_extension("json"))?;
    io::stdout().write_all(page.as_bytes())?;
    Ok(Verdict::Good)
}

impl Arguments {
    fn comparison(&self) -> anyhow::Result<Vec<Row>> {
        let names = if self.quick { QUICK } else { policies::NAMES };
        let mut rows = self.rows(&scenario::builtin("all")?, &self.sizes, names);
        let mut guards = Vec::new();
        for name in GUARD_SCENARIOS {
            guards.extend(scenario::builtin(name)?);
        }
        let sizes = GUARD_SIZES.map(|size| size.parse().expect("a size"));
        rows.extend(self.rows(&guards, &sizes, GUARD_POLICIES));
        Ok(rows)
    }

    fn rows<S: AsRef<str>>(&self, scenarios: &[Scenario], sizes: &[Size], names: &[S]) -> Vec<Row> {
        let mut scenarios = scenarios.to_vec();
        if self.quick {
            // A timetable cannot be cut in half.
            for scenario in scenarios.iter_mut().filter(|scenario| scenario.stretch) {
                scenario.measured_s /= 2.0;
            }
        }
        let policies: Vec<Factory> = names
            .iter()
            .filter_map(|name| policies::by_name(name.as_ref()))
            .collect();
        Runs {
            scenarios: &scenarios,
            sizes,
            policies: &policies,
            seeds: self.runs.seeds(self.default_seeds()),
            jobs: self.runs.jobs(),
        }
        .run()
    }

    fn default_seeds(&self) -> u64 {
        if self.quick { 1 } else { 5 }
    }

    fn head(&self) -> String {
        let quick = if self.quick { " --quick" } else { "" };
        let ablation = if self.ablation { " --ablation" } else { "" };
        let seeds = self.runs.seeds(self.default_seeds());
        let (first, last) = (seeds.start, seeds.end - 1);
        format!(
            "# {}\n\nMade by `dalbi sim scoreboard{quick}{ablation}` with seeds {first} to {last}. Where a field \
             has three numbers, they are the best baseline's, **alba's** and the oracle's.\n",
            if self.ablation {
                "What each part is worth"
            } else {
                "Results of the simulator"
            },
        )
    }
}

/// Returns the files' names.
fn write_charts(rows: &[Row], out: &Path) -> anyhow::Result<Vec<String>> {
    let points: Vec<Point<'_>> = rows.iter().map(Point::from).collect();
    charts(&points)
        .into_iter()
        .map(|chart| {
            let path = out.join(&chart.file);
            std::fs::write(&path, chart.svg)
                .with_context(|| format!("write {}", path.display()))?;
            Ok(chart.file)
        })
        .collect()
}
