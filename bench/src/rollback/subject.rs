//! A dispatcher under load to which generations are applied.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::case::{Case, Mode, Scene};
use crate::http_client;
use crate::open_loop::{self, Ended};
use crate::peers::Bench;
use crate::process::Process;

/// Between looks at how a probation goes.
const LOOK: Duration = Duration::from_millis(20);

/// A running dalbi with its load.
#[derive(Debug)]
pub(crate) struct Subject {
    process: Process,
    admin: u16,
    token: String,
    load: Load,
}

/// What became of a generation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trial {
    /// How it ended.
    pub(crate) end: End,
    /// Why, in dalbi's words.
    pub(crate) why: String,
    /// From the request to apply it to the answer, which comes once it serves.
    pub(crate) apply: Duration,
    /// From then to its end.
    pub(crate) took: Duration,
    /// Requests that were due while it was tried: until the last that met it, or until its deadline.
    pub(crate) requests: usize,
    /// Of them, those that it served, and those that failed, whoever served them.
    pub(crate) exposed: usize,
    /// Requests that failed.
    pub(crate) failed: usize,
}

/// How a probation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was taken back by itself.
    RolledBack,
    /// It was found good.
    Confirmed,
    /// Its deadline passed without a verdict; we took it back then.
    Held,
}

impl Subject {
    /// Starts dalbi on the proxy core with the scene's good generation, and the load on it.
    pub(crate) fn start(
        bench: &mut Bench,
        binary: &Path,
        scene: &Scene,
        rate_per_s: f64,
        seed: u64,
    ) -> Result<Self> {
        let (process, http, admin, token) = launch(bench, binary, scene)?;
        Ok(Self {
            process,
            admin,
            token,
            load: Load::start(http, rate_per_s, seed),
        })
    }

    /// Lets the load run: balancers learn, and there is something to compare with.
    pub(crate) fn warm_up(&self, duration: Duration) -> Result<()> {
        std::thread::sleep(duration);
        let ended = self.load.take();
        let failed = ended.iter().filter(|ended| ended.latency.is_none()).count();
        if ended.is_empty() || failed > 0 {
            bail!(
                "{failed} of {} requests failed before anything was tried:\n{}",
                ended.len(),
                self.process.last_words()
            );
        }
        Ok(())
    }

    /// Applies a generation and follows it to its end. Afterwards a good one serves all requests.
    pub(crate) fn try_one(
        &self,
        scene: &Scene,
        case: Case,
        mode: Mode,
        mark: u32,
        probation: Duration,
    ) -> Result<Trial> {
        let apply = json!({
            "documents": [
                {"path": "base.yaml", "text": scene.base()},
                {"path": "routes.yaml", "text": Scene::routes(case, mark)},
            ],
            "author": "bench",
            "reason": case.name(mode),
            "source": "api",
            "terms": {"probation_s": probation.as_secs_f64(), "canary": mode.canary()},
        });
        let (asked, asked_at) = (Instant::now(), self.load.now());
        let accepted = self.post("/generations", &apply)?;
        let (swapped, swapped_at) = (Instant::now(), self.load.now());
        let id = accepted["id"]
            .as_str()
            .context("no id in the answer")?
            .to_owned();
        let end = self.follow(&id, probation)?;
        let took = swapped.elapsed();
        let shown = self.get(&format!("/generations/{id}"))?;
        let shown = &shown["generation"];
        let end = match (end, shown["state"].as_str()) {
            (End::Held, _) => {
                self.post(
                    &format!("/generations/{id}/cancel"),
                    &json!({"author": "bench"}),
                )?;
                End::Held
            }
            (_, Some("rolled-back")) => End::RolledBack,
            (_, Some("confirmed")) => End::Confirmed,
            (_, other) => bail!("generation {id} ended as {other:?}: {shown}"),
        };
        if end == End::Confirmed && case.is_bad() {
            self.post("/generations/rollback", &json!({"author": "bench"}))?;
        }
        let mut seen = self.load.between(swapped_at, swapped_at + took);
        if end == End::RolledBack {
            // We hear of it late on a busy machine, and requests have met the old one again since.
            let last = seen.iter().filter(|ended| is_exposed(ended, mark));
            let last = last.map(|ended| ended.due).max().unwrap_or_default();
            seen.retain(|ended| ended.due <= last);
        } else {
            // At the deadline at the earliest, all requests go to one that is found good.
            seen.retain(|ended| ended.due < asked_at + probation);
        }
        Ok(Trial {
            end,
            why: shown["why"].as_str().unwrap_or_default().to_owned(),
            apply: swapped - asked,
            took,
            requests: seen.len(),
            exposed: seen.iter().filter(|ended| is_exposed(ended, mark)).count(),
            failed: seen.iter().filter(|ended| ended.latency.is_none()).count(),
        })
    }

    /// Until it is no longer pending, or held.
    fn follow(&self, id: &str, probation: Duration) -> Result<End> {
        let patience = probation + Duration::from_secs(30);
        let since = Instant::now();
        loop {
            let pending = self.get("/generations/pending")?;
            if pending["id"].as_str() != Some(id) {
                // Which of the two the generation itself tells.
                return Ok(End::Confirmed);
            }
            if pending["held"] == true {
                return Ok(End::Held);
            }
            if since.elapsed() > patience {
                bail!("generation {id} is still in probation after {patience:?}: {pending}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends the load; says how many requests there were.
    pub(crate) fn finish(self) -> Result<u64> {
        self.load.finish()
    }

    fn get(&self, path: &str) -> Result<Value> {
        let body = http_client::get(self.admin, path)?;
        serde_json::from_slice(&body).with_context(|| format!("reading {path}"))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        post(self.admin, &self.token, path, body)
    }
}

/// Whether a request met the generation with this mark. One that failed before it could be marked counts: the load
/// has no failures of its own.
fn is_exposed(ended: &Ended, mark: u32) -> bool {
    ended.mark == Some(mark) || (ended.mark.is_none() && ended.latency.is_none())
}

/// Starts dalbi with the scene's good generation: the process, the port for requests, the admin port, the token.
pub(super) fn launch(
    bench: &mut Bench,
    binary: &Path,
    scene: &Scene,
) -> Result<(Process, u16, u16, String)> {
    const MESH: u16 = 15001;
    let offset = bench.ports.free_offset(&[scene.http, MESH])?;
    let admin = bench.ports.free()?;
    let http = scene.http + offset;
    let folder = bench.scratch.folder(&format!("dalbi-{admin}/documents"))?;
    write(&folder.join("base.yaml"), &scene.base())?;
    write(
        &folder.join("routes.yaml"),
        &Scene::routes(Case::Harmless, 0),
    )?;
    let home = folder.with_file_name("state");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let command = [
        text(binary),
        "run".to_owned(),
        text(&folder),
        "--watch=false".to_owned(),
        "--workers=1".to_owned(),
        "--bind=127.0.0.1".to_owned(),
        format!("--port-offset={offset}"),
        format!("--admin=127.0.0.1:{admin}"),
        format!("--state={}", text(&home)),
    ];
    let log = folder.with_file_name("log.txt");
    let mut process = Process::server(bench.cores.proxy, &command, &log)?;
    process.wait_until(|| {
        http_client::get(http, "/").is_ok() && http_client::get(admin, "/ready").is_ok()
    })?;
    let token = home.join("admin-token");
    let token =
        std::fs::read_to_string(&token).with_context(|| format!("reading {}", token.display()))?;
    Ok((process, http, admin, token.trim().to_owned()))
}

/// The body of an answer that is no error.
pub(super) fn post(admin: u16, token: &str, path: &str, body: &Value) -> Result<Value> {
    let fields = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIf-Match: *\r\n"
    );
    let (status, answer) =
        http_client::send(admin, "POST", path, &fields, body.to_string().as_bytes())?;
    let text = String::from_utf8_lossy(&answer);
    if !(200..300).contains(&status) {
        bail!("POST {path} was answered with {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("POST {path}: {text}"))
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Requests at a rate, whatever becomes of them, until it is told to stop.
#[derive(Debug)]
struct Load {
    start: Instant,
    stop: Arc<AtomicBool>,
    ended: Arc<Mutex<Vec<Ended>>>,
    thread: JoinHandle<Result<u64>>,
}

impl Load {
    fn start(port: u16, rate_per_s: f64, seed: u64) -> Self {
        let start = Instant::now();
        let (stop, ended) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let (stopped, all) = (stop.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            let arrivals = open_loop::arrivals(rate_per_s, seed);
            open_loop::until(&stopped, start, port, arrivals, |one| {
                count += 1;
                all.lock().expect("no panic holds it").push(one);
            })?;
            Ok(count)
        });
        Self {
            start,
            stop,
            ended,
            thread,
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// All that have ended since the last call.
    fn take(&self) -> Vec<Ended> {
        std::mem::take(&mut *self.ended.lock().expect("no panic holds it"))
    }

    /// Those that were due in this time, once the last of them has ended; earlier ones are forgotten.
    fn between(&self, from: Duration, to: Duration) -> Vec<Ended> {
        // Clients give up by then.
        let settled = to + open_loop::PATIENCE.mul_f64(0.1);
        std::thread::sleep(settled.saturating_sub(self.now()));
        let mut seen = self.take();
        seen.retain(|ended| (from..to).contains(&ended.due));
        seen
    }

    fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("the load's thread panicked"),
        }
    }
}
