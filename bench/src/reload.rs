//! What a changed folder costs dalbi: time until it counts, requests lost, and routing among many.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::figures::{median, rounded};
use crate::load::{self, Target};
use crate::peers::dalbi::{APPLICATION, SEPARATOR, service_entry, virtual_service};
use crate::peers::{Bench, Binaries, Peer, RunningPeer, dalbi};
use crate::round::{self, Pace};
use crate::workload::Workload;
use crate::{http_client, process};

/// Options of `bench reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReloadOptions {
    /// Virtual services in the folder, each with a service entry of its own.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    virtual_services: usize,
    /// Endpoints of each service entry.
    #[arg(long, value_name = "N", default_value_t = 10)]
    endpoints_each: usize,
    /// Changes without load, and twice as many under load.
    #[arg(long, value_name = "N", default_value_t = 5)]
    changes: u32,
    /// Samples of the routing cost for each number of hosts.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    binaries: Binaries,
}

#[derive(Debug, Serialize)]
struct Figures {
    version: String,
    reload: ReloadFigures,
    routing: Vec<RoutingFigures>,
}

#[derive(Debug, Serialize)]
struct ReloadFigures {
    virtual_services: usize,
    endpoints: usize,
    /// From the changed file to the new snapshot, nothing else going on.
    quiet_ms: f64,
    quiet_ms_max: f64,
    /// The same while the only worker, on the same core, is kept busy all the time.
    busy_ms: f64,
    busy_ms_max: f64,
    changes: u32,
    requests_meanwhile: u64,
    requests_lost: u64,
}

#[derive(Debug, Serialize)]
struct RoutingFigures {
    hosts: usize,
    cpu_us: f64,
    rounds: usize,
}

/// Numbers of hosts whose routing is compared.
const HOSTS: [usize; 2] = [10, 10_000];

/// Runs what the options ask for and prints the figures.
pub(crate) fn run(options: &ReloadOptions) -> Result<()> {
    if let [missing, ..] = load::missing_tools(&[Workload::Small])[..] {
        bail!("no load without {missing}");
    }
    process::raise_open_files();
    let mut bench = Bench::prepare(options.binaries.clone())?;
    let (version, reload) = judge_reload(&mut bench, options)?;
    let routing = judge_routing(&mut bench, options.rounds)?;
    let figures = Figures {
        version,
        reload,
        routing,
    };
    print!("{}", report(&figures));
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&figures).context("writing JSON")? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn judge_reload(bench: &mut Bench, options: &ReloadOptions) -> Result<(String, ReloadFigures)> {
    let running = dalbi::start(bench, Peer::Dalbi, |site| {
        let mut documents = dalbi::base(site);
        for number in 0..options.virtual_services {
            let name = format!("service-{number}");
            // Never asked and never dialled: only what a mesh of this size has to hold.
            let endpoints: Vec<(String, u16)> = (0..options.endpoints_each)
                .map(|endpoint| {
                    (
                        endpoint_address(number * options.endpoints_each + endpoint),
                        9,
                    )
                })
                .collect();
            documents.push(virtual_service(&name, &name, &[format!("{name}.test")]));
            documents.push(service_entry(&name, &endpoints));
        }
        documents.join(SEPARATOR)
    })?;
    eprintln!(
        "dalbi {} is up with {} virtual services",
        running.version, options.virtual_services
    );
    let mut changes = Changes::of(&running)?;
    let told = || format!("dalbi's last words:\n{}\n", running.last_words());
    let quiet = changes.make(options.changes).with_context(told)?;
    eprintln!("changes without load: {quiet:.0?} ms");

    let target = target(bench, &running, None);
    let load = load::start_wrk(&target)?;
    std::thread::sleep(Duration::from_millis(500));
    let busy = changes.make(2 * options.changes).with_context(told)?;
    eprintln!("changes under load: {busy:.0?} ms");
    let outcome = load.finish()?;
    let middle = |times: &[f64]| rounded(median(times.iter().copied()).unwrap_or(f64::NAN), 1);
    let longest = |times: &[f64]| rounded(times.iter().copied().fold(0.0, f64::max), 1);
    let figures = ReloadFigures {
        virtual_services: options.virtual_services,
        endpoints: options.virtual_services * options.endpoints_each,
        quiet_ms: middle(&quiet),
        quiet_ms_max: longest(&quiet),
        busy_ms: middle(&busy),
        busy_ms_max: longest(&busy),
        changes: 3 * options.changes,
        requests_meanwhile: outcome.requests,
        requests_lost: outcome.failed,
    };
    Ok((running.version.clone(), figures))
}

/// Addresses of 10.0.0.0/8, all different.
fn endpoint_address(number: usize) -> String {
    format!(
        "10.{}.{}.{}",
        number / 62_500 % 250,
        number / 250 % 250,
        number % 250 + 1
    )
}

/// Changes to the folder of a running dalbi, timed.
#[derive(Debug)]
struct Changes {
    admin: u16,
    /// Outside the watched folder, on the same file system.
    draft: PathBuf,
    file: PathBuf,
    number: u32,
}

impl Changes {
    fn of(running: &RunningPeer) -> Result<Self> {
        Ok(Self {
            admin: running.admin.context("dalbi runs without an admin port")?,
            draft: running.folder.join("draft.yaml"),
            file: running.folder.join("documents").join("revision.yaml"),
            number: 0,
        })
    }

    /// Makes `count` changes one after the other; milliseconds until each is served.
    fn make(&mut self, count: u32) -> Result<Vec<f64>> {
        (0..count).map(|_| self.make_one()).collect()
    }

    fn make_one(&mut self) -> Result<f64> {
        const PATIENCE: Duration = Duration::from_secs(10);
        self.number += 1;
        let host = format!("revision-{}.test", self.number);
        write(
            &self.draft,
            &virtual_service("revision", APPLICATION, &[host]),
        )?;
        let before = snapshot(self.admin)?;
        let changed = Instant::now();
        std::fs::rename(&self.draft, &self.file)
            .with_context(|| format!("renaming to {}", self.file.display()))?;
        while snapshot(self.admin)? == before {
            if changed.elapsed() > PATIENCE {
                bail!(
                    "change {} was not taken up within {PATIENCE:?}",
                    self.number
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(changed.elapsed().as_secs_f64() * 1e3)
    }
}

/// What `/config/status` says of the snapshot that serves.
fn snapshot(admin: u16) -> Result<Value> {
    let body = http_client::get(admin, "/config/status")?;
    let status: Value = serde_json::from_slice(&body).context("reading /config/status")?;
    match status.get("snapshot") {
        Some(snapshot) => Ok(snapshot.clone()),
        None => bail!("no `snapshot` in /config/status: {status}"),
    }
}

/// The same ten hosts are asked for in turn, among few and among many.
fn judge_routing(bench: &mut Bench, rounds: u32) -> Result<Vec<RoutingFigures>> {
    let mut contestants = Vec::new();
    for count in HOSTS {
        let hosts: Vec<String> = (0..count)
            .map(|number| format!("host-{number}.test"))
            .collect();
        let asked: Vec<&str> = hosts
            .iter()
            .step_by(count / 10)
            .map(String::as_str)
            .collect();
        let script = bench.scratch.path().join(format!("hosts-{count}.lua"));
        write(&script, &rotating_hosts(&asked))?;
        let running = dalbi::start(bench, Peer::Dalbi, |site| {
            let mut documents = dalbi::base(site);
            documents.extend(hosts.chunks(10).enumerate().map(|(number, hosts)| {
                virtual_service(&format!("hosts-{number}"), APPLICATION, hosts)
            }));
            documents.join(SEPARATOR)
        })?;
        contestants.push((count, running, script, Vec::new()));
    }
    let pace = Pace {
        warm_up: Duration::from_millis(500),
        measure: Duration::from_secs(2),
    };
    for _ in 0..rounds {
        for (count, running, script, samples) in &mut contestants {
            let target = target(bench, running, Some(script.clone()));
            let sample = round::measure(running, bench.cores, pace, |duration| {
                load::run(&target, duration)
            })?;
            eprintln!(
                "{count} hosts: {:.1} µs, {} failed",
                sample.cpu_us, sample.failed
            );
            if sample.failed > 0 {
                bail!("{} requests failed with {count} hosts", sample.failed);
            }
            samples.push(sample.cpu_us);
        }
    }
    Ok(contestants
        .into_iter()
        .map(|(hosts, _, _, samples)| RoutingFigures {
            hosts,
            cpu_us: rounded(median(samples.iter().copied()).unwrap_or(f64::NAN), 2),
            rounds: samples.len(),
        })
        .collect())
}

/// Lua for wrk: one prepared request per host, in turn.
fn rotating_hosts(hosts: &[&str]) -> String {
    let list: Vec<String> = hosts.iter().map(|host| format!("{host:?}")).collect();
    format!(
        "\
local requests, turn = {{}}, 0
function init(args)
  for _, host in ipairs({{{}}}) do
    requests[#requests + 1] = wrk.format(nil, nil, {{Host = host}})
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
",
        list.join(", ")
    )
}

fn target<'a>(bench: &'a Bench, running: &RunningPeer, script: Option<PathBuf>) -> Target<'a> {
    Target {
        port: running.port(Workload::Small),
        workload: Workload::Small,
        core: bench.cores.load,
        folder: bench.scratch.path(),
        script,
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn report(figures: &Figures) -> String {
    let reload = &figures.reload;
    let mut out = format!(
        "\nreload of {} virtual services, {} endpoints (median, longest)\n\
         \x20 without load  {:>8.1} ms {:>8.1} ms\n\
         \x20 under load    {:>8.1} ms {:>8.1} ms\n\
         \x20 requests lost {:>8} of {} during {} changes\n\
         routing by host\n",
        reload.virtual_services,
        reload.endpoints,
        reload.quiet_ms,
        reload.quiet_ms_max,
        reload.busy_ms,
        reload.busy_ms_max,
        reload.requests_lost,
        reload.requests_meanwhile,
        reload.changes,
    );
    for row in &figures.routing {
        out.push_str(&format!(
            "  {:>6} hosts  {:>8.1} µs per request\n",
            row.hosts, row.cpu_us
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn endpoint_addresses_are_valid_and_differ() {
        let addresses: BTreeSet<std::net::Ipv4Addr> = (0..100_000)
            .map(|number| endpoint_address(number).parse().unwrap())
            .collect();
        assert_eq!(addresses.len(), 100_000);
    }

    #[test]
    fn script_names_each_host() {
        let script = rotating_hosts(&["a.test", "b.test"]);
        assert!(
            script.contains("ipairs({\"a.test\", \"b.test\"})"),
            "{script}"
        );
    }
}
