//! What single steps take: activation of a large generation, a record of the store.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::case::{Case, Scene};
use super::subject;
use crate::figures::{median, rounded};
use crate::peers::Bench;
use crate::peers::dalbi::{service_entry, virtual_service};

/// Virtual services of the large generation, each with a service of its own.
const VIRTUAL_SERVICES: usize = 1_000;
/// Endpoints of each service.
const ENDPOINTS_EACH: usize = 10;

/// From the request to its answer; what it waits for the disk to sync is part of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Operation {
    /// What was done.
    pub(crate) name: String,
    runs: usize,
    ms_p50: f64,
    ms_max: f64,
    /// What the median is to stay below.
    goal_ms: Option<f64>,
}

impl Operation {
    fn of(name: &str, times: &[Duration], goal_ms: Option<f64>) -> Self {
        let ms = || times.iter().map(|time| time.as_secs_f64() * 1e3);
        Self {
            name: name.to_owned(),
            runs: times.len(),
            ms_p50: rounded(median(ms()).unwrap_or(f64::NAN), 2),
            ms_max: rounded(ms().fold(0.0, f64::max), 2),
            goal_ms: goal_ms.map(|goal| rounded(goal, 2)),
        }
    }

    /// What was wanted, if something was, and whether it came true.
    pub(crate) fn goal(&self) -> Option<(String, bool)> {
        let goal = self.goal_ms?;
        Some((format!("under {goal:.0} ms"), self.ms_p50 < goal))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            runs,
            ms_p50,
            ms_max,
            ..
        } = self;
        write!(
            out,
            "{name:<44} {runs:>4} times, median {ms_p50:.1} ms, at most {ms_max:.1} ms"
        )
    }
}

/// Measures on a dispatcher of its own without load.
pub(crate) fn measure(
    bench: &mut Bench,
    binary: &Path,
    scene: &Scene,
    runs: usize,
) -> Result<Vec<Operation>> {
    let (process, _, admin, token) = subject::launch(bench, binary, scene)?;
    let post = |path: &str, body: &Value| {
        let asked = Instant::now();
        let answer = subject::post(admin, &token, path, body);
        let answer =
            answer.with_context(|| format!("dalbi's last words:\n{}", process.last_words()))?;
        Ok::<_, anyhow::Error>((asked.elapsed(), answer))
    };
    let mut documents = large();
    let mut apply = |mark: u32| {
        documents.push(json!({"path": "base.yaml", "text": scene.base()}));
        documents.push(json!({"path": "routes.yaml", "text": Scene::routes(Case::Harmless, mark)}));
        let body =
            json!({"documents": documents, "author": "bench", "terms": {"probation_s": 0.0}});
        documents.truncate(documents.len() - 2);
        let (took, accepted) = post("/generations", &body)?;
        let id = accepted["id"]
            .as_str()
            .context("no id in the answer")?
            .to_owned();
        Ok::<_, anyhow::Error>((took, id))
    };
    let (first, one) = apply(1)?;
    let (_, other) = apply(2)?;
    let mut applied = Vec::new();
    for run in 0..runs {
        applied.push(apply(3 + run as u32)?.0);
    }
    let mut activated = Vec::new();
    for id in [&one, &other].into_iter().cycle().take(runs) {
        activated.push(
            post(
                &format!("/generations/{id}/activate"),
                &json!({"author": "bench"}),
            )?
            .0,
        );
    }
    let mut recorded = Vec::new();
    for run in 0..runs {
        let pin = json!({"author": "bench", "name": format!("pin-{run}")});
        recorded.push(post(&format!("/generations/{one}/pin"), &pin)?.0);
    }
    let synced = syncs(&bench.scratch.path().join("synced"), runs)?;
    let synced = Operation::of("one append and fsync of this disk", &synced, None);
    // A record is one append and one fsync.
    let record_goal = 20.0 + synced.ms_p50;
    let what = format!(
        "{} endpoints, {VIRTUAL_SERVICES} virtual services",
        VIRTUAL_SERVICES * ENDPOINTS_EACH
    );
    Ok(vec![
        Operation::of(&format!("activate {what}"), &activated, Some(300.0)),
        Operation::of("apply them with one document changed", &applied, None),
        Operation::of("apply them to a store that has none of it", &[first], None),
        Operation::of("write a record", &recorded, Some(record_goal)),
        synced,
    ])
}

/// Documents of services that nobody asks for, a file each.
fn large() -> Vec<Value> {
    (0..VIRTUAL_SERVICES)
        .map(|number| {
            let name = format!("service-{number}");
            let endpoints: Vec<_> = (0..ENDPOINTS_EACH)
                .map(|endpoint| {
                    let endpoint = number * ENDPOINTS_EACH + endpoint;
                    let address = format!(
                        "10.{}.{}.{}",
                        endpoint / 62_500,
                        endpoint / 250 % 250,
                        endpoint % 250 + 1
                    );
                    (address, 9)
                })
                .collect();
            let routes = virtual_service(&name, &name, &[format!("{name}.test")]);
            let text = [routes, service_entry(&name, &endpoints)].join("---\n");
            json!({"path": format!("{name}.yaml"), "text": text})
        })
        .collect()
}

/// What the disk itself takes to make a short record durable.
fn syncs(path: &Path, runs: usize) -> Result<Vec<Duration>> {
    let mut file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    (0..runs)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[b'x'; 400])
                .and_then(|()| file.sync_data())
                .with_context(|| format!("writing {}", path.display()))?;
            Ok(started.elapsed())
        })
        .collect()
}
