//! What becomes of bad generations, and of harmless ones.
//!
//! Real dispatchers under an open-loop load get generations over their admin API. Clients see how many requests meet
//! each: every generation's answers carry a mark of its own.

mod case;
mod operations;
mod results;
mod subject;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http_client;
use crate::peers::{Bench, Binaries, dalbi};
use crate::process::{self, Process};

use case::{Case, Mode, Scene};
use results::{Figures, Row};
use subject::{Subject, Trial};

/// Options of `bench rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct RollbackOptions {
    /// Few runs, two minutes.
    #[arg(long)]
    quick: bool,
    /// Bad generations of each kind [default: 30, or 3 with --quick].
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Harmless ones with a canary, and a quarter as many without [default: 1000, or 8 with --quick].
    #[arg(long, value_name = "N")]
    aa_runs: Option<usize>,
    /// Dispatchers at a time, each with its own load.
    #[arg(long, value_name = "K", default_value_t = 4)]
    parallel: usize,
    /// Requests per second to each dispatcher.
    #[arg(long, value_name = "N", default_value_t = 500.0)]
    rate: f64,
    /// Seconds that a bad generation may be watched before it counts as missed.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    probation: f64,
    /// Seconds that a harmless one is watched: a canary needs some hundred requests to be found good.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    aa_probation: f64,
    /// Seconds of load before the first generation: connections open, balancers learn, and there is a time before to
    /// compare with.
    #[arg(long, value_name = "SECONDS", default_value_t = 12.0)]
    warm_up: f64,
    /// Only these kinds.
    #[arg(long, value_name = "CASE,…", value_delimiter = ',')]
    cases: Vec<Case>,
    /// Only in these ways.
    #[arg(long, value_name = "MODE,…", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Times of activation and of the store's steps [default: 20, or 3 with --quick; 0 for none].
    #[arg(long, value_name = "N")]
    operations: Option<usize>,
    /// Of arrivals and of the order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a bar chart.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    binaries: Binaries,
}

/// Where the documents' gateway listens, before it is moved.
const HTTP: u16 = 8080;

/// What the application's servers take: short, and different from request to request, as in life.
const LATENCY: &str = "exp:4ms";

/// One generation to be tried.
#[derive(Debug, Clone, Copy)]
struct Job {
    case: Case,
    mode: Mode,
    mark: u32,
}

/// Runs what the options ask for and prints the figures.
pub(crate) fn run(options: &RollbackOptions) -> Result<()> {
    if options.parallel == 0 || !(1.0..=20_000.0).contains(&options.rate) {
        bail!("--parallel has to be at least 1, and --rate from 1 to 20000");
    }
    let seconds = [options.probation, options.aa_probation, options.warm_up];
    if !seconds
        .iter()
        .all(|seconds| (0.0..=3600.0).contains(seconds))
    {
        bail!("--probation, --aa-probation and --warm-up have to be from 0 to 3600 s");
    }
    process::raise_open_files();
    let mut bench = Bench::prepare(options.binaries.clone())?;
    let binary = dalbi::find(options.binaries.dalbi.as_deref())?;
    let (scene, _servers) = scene(&mut bench, &binary)?;
    let operations = match options
        .operations
        .unwrap_or(if options.quick { 3 } else { 20 })
    {
        0 => Vec::new(),
        runs => operations::measure(&mut bench, &binary, &scene, runs)?,
    };
    let jobs = jobs(options);
    let parallel = options.parallel.min(jobs.len());
    eprintln!(
        "{} generations on {parallel} dispatchers at a time",
        jobs.len()
    );
    let subjects = (0..parallel).map(|index| {
        let seed = options.seed + index as u64;
        Subject::start(&mut bench, &binary, &scene, options.rate, seed)
    });
    let subjects: Vec<Subject> = subjects.collect::<Result<_>>()?;
    let (trials, errors) = try_all(options, &scene, subjects, jobs);
    let kinds = Case::ALL
        .into_iter()
        .flat_map(|case| Mode::ALL.map(|mode| (case, mode)));
    let rows = kinds.filter_map(|kind| Row::of(kind.0, kind.1, trials.get(&kind)?));
    let figures = Figures {
        version: dalbi::version(&binary)?,
        rate_per_s: options.rate,
        parallel,
        probation_s: options.probation,
        aa_probation_s: options.aa_probation,
        seed: options.seed,
        results: rows.collect(),
        operations,
    };
    print!("\n{}\n{}", figures.table(), figures.goals());
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&figures).context("writing JSON")? + "\n";
        write(path, &text)?;
    }
    if let Some(path) = &options.svg {
        write(path, &figures.svg())?;
    }
    match errors.as_slice() {
        [] => Ok(()),
        [first, ..] => bail!(
            "{} dispatchers ended early; the first: {first}",
            errors.len()
        ),
    }
}

/// The application's servers, and where nobody listens.
fn scene(bench: &mut Bench, binary: &Path) -> Result<(Scene, Vec<Process>)> {
    let mut servers = Vec::new();
    let mut upstreams = Vec::new();
    for index in 0..2 {
        let port = bench.ports.free()?;
        let command = [
            binary.to_string_lossy().into_owned(),
            "upstream".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--latency={LATENCY}"),
            format!("--seed={index}"),
            "--report=none".to_owned(),
        ];
        let log = bench.scratch.path().join(format!("server-{port}.log"));
        let mut server = Process::server(bench.cores.load, &command, &log)?;
        server.wait_until(|| http_client::get(port, "/healthz").is_ok())?;
        servers.push(server);
        upstreams.push(port);
    }
    let scene = Scene {
        http: HTTP,
        upstreams,
        // Given to nobody else.
        nobody: bench.ports.free()?,
    };
    Ok((scene, servers))
}

/// What is to be tried, in an order that mixes all kinds: a machine that changes hurts none in particular.
fn jobs(options: &RollbackOptions) -> Vec<Job> {
    let (runs, aa_runs) = if options.quick { (3, 8) } else { (30, 1000) };
    let (runs, aa_runs) = (
        options.runs.unwrap_or(runs),
        options.aa_runs.unwrap_or(aa_runs),
    );
    let mut jobs = Vec::new();
    let wanted = |case| options.cases.is_empty() || options.cases.contains(&case);
    for case in Case::ALL.into_iter().filter(|&case| wanted(case)) {
        let modes = Mode::ALL.into_iter();
        for mode in modes.filter(|mode| options.modes.is_empty() || options.modes.contains(mode)) {
            let count = match (case.is_bad(), mode) {
                (true, _) => runs,
                (false, Mode::Canary) => aa_runs,
                (false, Mode::Whole) => aa_runs.div_ceil(4),
            };
            jobs.extend((0..count).map(|_| (case, mode)));
        }
    }
    fastrand::Rng::with_seed(options.seed).shuffle(&mut jobs);
    // Zero is the mark of the generation that everything begins with.
    let marked = jobs.into_iter().zip(1..);
    marked
        .map(|((case, mode), mark)| Job { case, mode, mark })
        .collect()
}

type Trials = HashMap<(Case, Mode), Vec<Trial>>;

/// Each dispatcher takes the next generation when it is done with one. What went wrong is handed back beside what
/// came out.
fn try_all(
    options: &RollbackOptions,
    scene: &Scene,
    subjects: Vec<Subject>,
    jobs: Vec<Job>,
) -> (Trials, Vec<String>) {
    let (total, started) = (jobs.len(), Instant::now());
    let jobs = Mutex::new(jobs);
    let trials = Mutex::new((Trials::new(), 0));
    let work = |subject: Subject| -> Result<()> {
        subject.warm_up(Duration::from_secs_f64(options.warm_up))?;
        loop {
            let Some(job) = jobs.lock().expect("no panic holds it").pop() else {
                break;
            };
            let seconds = if job.case.is_bad() {
                options.probation
            } else {
                options.aa_probation
            };
            let probation = Duration::from_secs_f64(seconds);
            let trial = subject.try_one(scene, job.case, job.mode, job.mark, probation)?;
            let (all, done) = &mut *trials.lock().expect("no panic holds it");
            *done += 1;
            tell(job, &trial, *done, total, started);
            all.entry((job.case, job.mode)).or_default().push(trial);
        }
        subject.finish().map(drop)
    };
    let mut errors = Vec::new();
    std::thread::scope(|scope| {
        let work = &work;
        let working: Vec<_> = subjects
            .into_iter()
            .map(|subject| scope.spawn(move || work(subject)))
            .collect();
        for thread in working {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => errors.push(format!("{error:#}")),
                Err(_) => errors.push("a thread panicked".to_owned()),
            }
        }
    });
    let (trials, _) = trials.into_inner().expect("no panic holds it");
    (trials, errors)
}

/// What did not go as it should is always told, the rest now and then.
fn tell(job: Job, trial: &Trial, done: usize, total: usize, started: Instant) {
    let as_wanted = (trial.end == subject::End::RolledBack) == job.case.is_bad();
    if as_wanted && !done.is_multiple_of(20) {
        return;
    }
    eprintln!(
        "{:>5.0} s {done:>5} of {total}  {:<26} {:?} after {:.1} s, {} of {} requests exposed  {}",
        started.elapsed().as_secs_f64(),
        job.case.name(job.mode),
        trial.end,
        trial.took.as_secs_f64(),
        trial.exposed,
        trial.requests,
        trial.why
    );
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
