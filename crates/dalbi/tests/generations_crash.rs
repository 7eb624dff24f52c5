//! The process dies at any step of any change, or at any time. What comes up is what was confirmed, never a mixture,
//! and nothing that was acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::Path;
use std::process::Command;

use generations::View;
use serde_json::{Value, json};
use support::http;
use support::{Control, Folder, Process, free_port};

/// Answers every request with its mark.
fn marked(mark: usize, port: u16) -> String {
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: {port}, name: http, protocol: HTTP}}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all}}
spec:
  hosts: ['*']
  gateways: [gate]
  http:
  - directResponse: {{status: 200, body: {{string: '{mark}'}}}}
"
    )
}

/// Small, fast and the same everywhere (Steele and others, SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A process with its ports and its store.
struct Site {
    folder: Folder,
    state: tempfile::TempDir,
    port: u16,
    admin: u16,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            folder: Folder::new(),
            state: tempfile::tempdir().unwrap(),
            port: free_port(),
            admin: free_port(),
        };
        site.folder.write("site.yaml", &marked(0, site.port));
        site
    }

    /// Without a folder from the second start on, as a service is.
    fn command(&self, first: bool) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dalbi"));
        command.arg("run");
        if first {
            command.arg(self.folder.path());
        }
        command
            .args([
                "--watch=false",
                "--workers",
                "1",
                "--bind",
                "127.0.0.1",
                "--log-level",
                "warn",
            ])
            .args(["--admin", &format!("127.0.0.1:{}", self.admin)])
            .args(["--state", self.state.path().to_str().unwrap()])
            .env("NO_COLOR", "1");
        command
    }

    fn start(&self, command: Command) -> Process {
        let process = Process::spawn(command);
        process.stdout_line("`ready`", |line| (line == "ready").then_some(()));
        process
    }

    fn control(&self) -> Control {
        Control::new(([127, 0, 0, 1], self.admin).into(), self.state.path())
    }

    async fn mark(&self) -> usize {
        let answer = http::get(([127, 0, 0, 1], self.port).into(), "/").await;
        answer.text().parse().unwrap()
    }
}

/// What has been acknowledged, and what may have happened beyond it.
struct Model {
    /// Marks that were confirmed, each with the one before it.
    confirmed: Vec<(usize, Option<usize>)>,
    current: usize,
    /// What a change that was not acknowledged would have made current.
    possible: Option<usize>,
}

impl Model {
    fn parent(&self, mark: usize) -> Option<usize> {
        let found = self.confirmed.iter().find(|(known, _)| *known == mark);
        found.and_then(|(_, parent)| *parent)
    }
}

/// One change. `Err` once the process is gone.
async fn step(
    site: &Site,
    model: &mut Model,
    number: usize,
    dice: &mut Dice,
) -> Result<(), http::Error> {
    let control = site.control();
    let terms =
        |probation_s: u32| json!({"probation_s": probation_s, "force": true, "supersede": true});
    match dice.below(6) {
        0 | 1 => {
            model.possible = Some(number);
            let answer = control
                .try_apply(&marked(number, site.port), terms(0))
                .await?;
            assert_eq!(answer.status(), 202, "{}", answer.text());
            model.confirmed.push((number, Some(model.current)));
            model.current = number;
        }
        2 | 3 => {
            let answer = control
                .try_apply(&marked(number, site.port), terms(60))
                .await?;
            assert_eq!(answer.status(), 202, "{}", answer.text());
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            let verb = ["confirm", "cancel"][dice.below(2) as usize];
            model.possible = (verb == "confirm").then_some(number);
            let answer = control
                .try_post(&format!("/generations/{id}/{verb}"), json!({}))
                .await?;
            assert_eq!(answer.status(), 200, "{}", answer.text());
            if verb == "confirm" {
                model.confirmed.push((number, Some(model.current)));
                model.current = number;
            }
        }
        4 => {
            let previous = model.parent(model.current);
            model.possible = previous;
            let answer = control.try_post("/generations/rollback", json!({})).await?;
            match previous {
                None => assert_eq!(answer.status(), 404, "{}", answer.text()),
                Some(previous) => {
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    model.current = previous;
                }
            }
        }
        _ => {
            let answer = control
                .try_post("/generations/gc", json!({"keep": 64}))
                .await?;
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    }
    model.possible = None;
    Ok(())
}

/// A store whose process is gone is as it should be.
fn verify(state: &Path) {
    let report = View::open(state).unwrap().verify(&[], false).unwrap();
    let report = serde_json::to_value(&report).unwrap();
    // A kill leaves what the next start removes; nothing may be damaged.
    let damaged = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| {
            let text = finding.to_string();
            text.contains("damaged") || text.contains("hash")
        });
    let damaged: Vec<&Value> = damaged.collect();
    assert!(damaged.is_empty(), "{damaged:#?}");
}

/// Whether the process died in the middle of a change.
async fn one_run(seed: u64) -> bool {
    let mut dice = Dice(seed);
    let site = Site::new();
    let mut model = Model {
        confirmed: vec![(0, None)],
        current: 0,
        possible: None,
    };
    drop(site.start(site.command(true)));
    let mut command = site.command(false);
    // Every third run dies from outside, at any time; the others before some change to the disk, once started.
    let from_outside = seed.is_multiple_of(3);
    if !from_outside {
        command.env("DALBI_CRASH_AT", (16 + dice.below(60)).to_string());
    }
    let mut process = site.start(command);
    let steps = 1 + dice.below(8) as usize;
    let mut died = false;
    for number in 1..=steps {
        let is_last = number == steps && from_outside;
        let done = if is_last {
            // Cut off in the middle of a change, as far as a few turns of the reactor go.
            let turns = dice.below(40);
            let killed = async {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                process.kill();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                done = step(&site, &mut model, number, &mut dice) => done,
                () = killed => unreachable!("it is pending"),
            }
        } else {
            step(&site, &mut model, number, &mut dice).await
        };
        if done.is_err() {
            died = true;
            break;
        }
    }
    process.kill();
    let process = site.start(site.command(false));
    let served = site.mark().await;
    let Model {
        current, possible, ..
    } = model;
    assert!(
        served == current || Some(served) == possible,
        "seed {seed}: {served} serves, {current} was acknowledged, {possible:?} was asked for"
    );
    let overview = site.control().overview().await;
    assert_eq!(overview["current"], overview["serving"], "seed {seed}");
    assert_eq!(overview["pending"], Value::Null, "seed {seed}");
    // It goes on: nothing is left locked or half done.
    let answer = site
        .control()
        .apply(&marked(1000, site.port), json!({"probation_s": 0}))
        .await;
    assert_eq!(answer.status(), 202, "seed {seed}: {}", answer.text());
    drop(process);
    verify(site.state.path());
    died
}

/// `DALBI_CRASH_RUNS=1000` for the whole of it.
#[tokio::test]
async fn what_was_acknowledged_survives_every_crash() {
    let runs = std::env::var("DALBI_CRASH_RUNS").map_or(30, |text| text.parse().expect("a number"));
    let first = std::env::var("DALBI_CRASH_SEED").map_or(0, |text| text.parse().expect("a number"));
    let mut died = 0;
    for seed in first..first + runs {
        println!("seed {seed}");
        died += u64::from(one_run(seed).await);
    }
    println!("{died} of {runs} died in the middle of a change");
    assert!(
        runs < 10 || died * 5 > runs,
        "only {died} of {runs} died in the middle of a change"
    );
}

#[tokio::test]
async fn a_damaged_log_is_salvaged_and_what_was_current_serves() {
    let site = Site::new();
    let process = site.start(site.command(true));
    for mark in 1..=3 {
        let terms = json!({"probation_s": 0});
        let answer = site.control().apply(&marked(mark, site.port), terms).await;
        assert_eq!(answer.status(), 202, "{}", answer.text());
    }
    drop(process);
    let log = site.state.path().join("log");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&log, &bytes).unwrap();
    // Damaged, it still serves what was current, and takes no change.
    let process = site.start(site.command(false));
    assert_eq!(site.mark().await, 3);
    drop(process);
    let state = site.state.path().to_str().unwrap();
    let salvaged = support::run_to_end(&["generations", "salvage", "--state", state]);
    assert!(salvaged.status.success(), "{salvaged:?}");
    let process = site.start(site.command(false));
    assert_eq!(site.mark().await, 3);
    let answer = site
        .control()
        .apply(&marked(4, site.port), json!({"probation_s": 0}))
        .await;
    assert_eq!(answer.status(), 202, "{}", answer.text());
    assert_eq!(site.mark().await, 4);
    drop(process);
}
