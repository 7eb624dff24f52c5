//! Runs of the simulator: in parallel, with progress, as a table and as JSON.

mod table;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context;
use sim::Row;
use sim::policies::Factory;
use sim::scenario::{Scenario, Size};

pub(crate) use table::table;

/// Everything that is to be run: each scenario at each size under each policy with each seed.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    pub(crate) scenarios: &'a [Scenario],
    pub(crate) sizes: &'a [Size],
    pub(crate) policies: &'a [Factory],
    pub(crate) seeds: std::ops::Range<u64>,
    /// Threads.
    pub(crate) jobs: usize,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    scenario: &'a Scenario,
    size: Size,
    policy: &'a Factory,
    seed: u64,
}

impl Runs<'_> {
    /// Rows in the order of scenarios, sizes, policies and seeds, whoever ran them.
    pub(crate) fn run(&self) -> Vec<Row> {
        let tasks = self.tasks();
        let next = AtomicUsize::new(0);
        let rows = Mutex::new(vec![None; tasks.len()]);
        let progress = Progress::new(tasks.len());
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(index) else {
                    break;
                };
                progress.show(task);
                let row = sim::run(task.scenario, task.size, task.policy, task.seed);
                // No thread panics while it holds the lock, so it is never poisoned.
                if let Ok(mut rows) = rows.lock() {
                    rows[index] = Some(row);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.jobs {
                scope.spawn(work);
            }
            work();
        });
        progress.end();
        rows.into_inner()
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .collect()
    }

    fn tasks(&self) -> Vec<Task<'_>> {
        let mut tasks = Vec::new();
        for scenario in self.scenarios {
            let mut sizes: Vec<Size> = self.sizes.iter().map(|&size| scenario.size(size)).collect();
            sizes.dedup();
            for size in sizes {
                for policy in self.policies {
                    for seed in self.seeds.clone() {
                        tasks.push(Task {
                            scenario,
                            size,
                            policy,
                            seed,
                        });
                    }
                }
            }
        }
        tasks
    }
}

/// A line on standard error that says what runs, if somebody watches.
#[derive(Debug)]
struct Progress {
    all: usize,
    begun: AtomicUsize,
    watched: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            all,
            begun: AtomicUsize::new(0),
            watched: io::stderr().is_terminal(),
        }
    }

    fn show(&self, task: &Task<'_>) {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        if self.watched {
            let (scenario, policy) = (&task.scenario.name, task.policy.name());
            // Nobody is hurt if progress cannot be shown.
            let _shown = write!(
                io::stderr(),
                "\r\x1b[K{begun}/{} {scenario} {} {policy} seed {}",
                self.all,
                task.size,
                task.seed
            );
        }
    }

    fn end(&self) {
        if self.watched {
            let _shown = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The rows that [`write_json`] wrote.
pub(crate) fn read_json(path: &Path) -> anyhow::Result<Vec<Row>> {
    #[derive(serde::Deserialize)]
    struct Written {
        results: Vec<Row>,
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let written: Written = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what `dalbi sim` writes", path.display()))?;
    Ok(written.results)
}

/// Writes rows as `{"results":[…]}`; `-` is standard output.
pub(crate) fn write_json(rows: &[Row], path: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&serde_json::json!({ "results": rows }))?;
    if path == Path::new("-") {
        writeln!(io::stdout(), "{text}")?;
        return Ok(());
    }
    std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}
