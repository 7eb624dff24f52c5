//! `dalbi apply`, `dalbi generations` and `dalbi upgrade` as a person uses them, beside a running `dalbi run`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::http::{self, request};
use support::{Authority, Dalbi, Folder, Load, Process, free_port};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_dalbi");

/// Judged by failures alone: how busy this machine is says nothing about the configuration.
const GATE: &str = "latency=off,saturation=off,tolerance=10%";

/// One gateway on port 8080 that answers everything with this status and `body`.
fn answering(status: u16, body: &str) -> String {
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 8080, name: http, protocol: HTTP}}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all}}
spec:
  hosts: ['*']
  gateways: [gate]
  http:
  - directResponse:
      status: {status}
      body: {{string: {body}}}
"
    )
}

/// A dispatcher that serves `one`, and a folder of its own to apply.
struct Site {
    dalbi: Dalbi,
    next: Folder,
    _first: Folder,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn ended(self, code: i32, stdout: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.stdout.contains(stdout), "no `{stdout}` in {self:#?}");
        self
    }

    #[track_caller]
    fn said(self, stderr: &str) -> Self {
        assert!(self.stderr.contains(stderr), "no `{stderr}` in {self:#?}");
        self
    }
}

/// Runs `dalbi` with a state directory, while the test's own tasks go on.
async fn command(state: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("DALBI_STATE", state)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Site {
    fn start() -> Self {
        let (first, next) = (Folder::new(), Folder::new());
        first.write("site.yaml", &answering(200, "one"));
        Self {
            dalbi: Dalbi::run(first.path(), &["--watch=false"]),
            next,
            _first: first,
        }
    }

    fn state(&self) -> PathBuf {
        self.dalbi.process.state().to_owned()
    }

    /// `dalbi apply` of a folder that holds this document.
    async fn apply(&self, document: &str, arguments: &[&str]) -> Done {
        self.next.write("site.yaml", document);
        let folder = self.next.path().to_str().unwrap();
        let common = ["apply", folder, "--author", "ann", "--gate", GATE];
        command(&self.state(), &[&common, arguments].concat()).await
    }

    async fn generations(&self, arguments: &[&str]) -> Done {
        command(&self.state(), &[&["generations"], arguments].concat()).await
    }

    async fn body(&self) -> String {
        let answer = http::get(self.dalbi.address(8080), "/").await;
        answer.text().to_owned()
    }

    /// Some hundred requests a second, of which some were answered already.
    async fn load(&self) -> Load {
        let (period, address) = (Duration::from_millis(5), self.dalbi.address(8080));
        let load = Load::paced(4, period, address, || request("GET", "/", &[]));
        load.answered(200).await;
        load
    }
}

#[tokio::test]
async fn a_good_generation_is_confirmed_under_traffic() {
    let site = Site::start();
    let load = site.load().await;
    let reason = ["--probation", "3s", "--reason", "a second greeting"];
    let done = site.apply(&answering(200, "two"), &reason).await;
    let done = done.ended(0, "generation 2 (");
    assert!(done.stdout.contains(" is confirmed after "), "{done:?}");
    assert_eq!(site.body().await, "two");
    let tally = load.stop().await;
    assert_eq!(tally.failed, Vec::<String>::new());

    let shown = site
        .generations(&["show", "2"])
        .await
        .ended(0, "a second greeting");
    assert!(shown.stdout.contains("confirmed, current"), "{shown:?}");
    assert!(shown.stdout.contains("site.yaml"), "{shown:?}");
    assert!(shown.stdout.contains("evidence"), "{shown:?}");
    // The same again changes nothing.
    let again = site
        .apply(&answering(200, "two"), &["--json"])
        .await
        .ended(0, "");
    assert_eq!(
        (&again.json()["outcome"], &again.json()["number"]),
        (&"unchanged".into(), &2.into())
    );
}

#[tokio::test]
async fn a_bad_generation_is_taken_back_under_traffic() {
    let site = Site::start();
    let load = site.load().await;
    let done = site
        .apply(&answering(503, "bad"), &["--probation", "60s", "--json"])
        .await;
    let done = done.ended(4, "rolled-back");
    assert!(
        done.json()["why"].as_str().unwrap().contains("failed"),
        "{done:?}"
    );
    assert_eq!(site.body().await, "one");
    drop(load.stop().await);

    // Its documents are remembered.
    let again = site
        .apply(&answering(503, "bad"), &["--probation", "60s"])
        .await;
    again.ended(3, "").said("--force");
    let listed = site.generations(&["list"]).await.ended(0, "rolled back");
    assert!(listed.stdout.contains("*   1"), "{}", listed.stdout);
}

#[tokio::test]
async fn documents_with_errors_or_failing_tests_are_not_sent() {
    let site = Site::start();
    let wrong = answering(200, "two").replace("hosts:", "hoosts:");
    let done = site
        .apply(&wrong, &[])
        .await
        .ended(1, "")
        .said("site.yaml:8");
    assert!(done.stderr.contains("unknown field `hoosts`"), "{done:?}");

    let test = "testCases:\n- description: it is moved\n  request: {authority: [a], uri: [/]}\n  \
                expect: {status: 404}\n";
    site.next.write("site_test.yaml", test);
    let done = site
        .apply(&answering(200, "two"), &["--json"])
        .await
        .ended(1, "findings");
    let done = done.said("it is moved");
    assert_eq!(done.json()["outcome"], "findings");
    let listed = site
        .generations(&["list", "--json"])
        .await
        .ended(0, "")
        .json();
    assert_eq!(listed["generations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stale_parent_is_refused() {
    let site = Site::start();
    let at_once = ["--probation", "0s"];
    site.apply(&answering(200, "two"), &at_once)
        .await
        .ended(0, "is confirmed");
    let stale = [&at_once[..], &["--parent", "1"]].concat();
    let done = site
        .apply(&answering(200, "three"), &stale)
        .await
        .ended(3, "");
    done.said("is current");
    let any = [&at_once[..], &["--parent", "any"]].concat();
    site.apply(&answering(200, "three"), &any)
        .await
        .ended(0, "generation 3 (");
    assert_eq!(site.body().await, "three");
}

#[tokio::test]
async fn without_traffic_it_is_held_until_someone_decides() {
    let site = Site::start();
    let done = site
        .apply(&answering(200, "two"), &["--probation", "1s"])
        .await;
    done.ended(5, "is held, neither confirmed nor taken back");
    assert_eq!(site.body().await, "two");
    let busy = site.apply(&answering(200, "three"), &[]).await;
    busy.ended(3, "").said("--supersede");
    site.generations(&["list"]).await.ended(0, "held");
    let extended = site.generations(&["extend", "--for", "1h"]).await;
    extended.ended(0, "another 3600 s");
    site.generations(&["confirm", "--reason", "looked at"])
        .await
        .ended(0, "generation 2 (");
    let log = site.generations(&["log"]).await.ended(0, "confirmed ");
    assert!(log.stdout.contains("looked at"), "{}", log.stdout);

    let done = site.apply(&answering(200, "three"), &["--no-wait"]).await;
    done.ended(5, "generation 3 (");
    site.generations(&["cancel"])
        .await
        .ended(0, "generation 2 (");
    assert_eq!(site.body().await, "two");
}

#[tokio::test]
async fn older_generations_come_back_and_old_ones_go() {
    let site = Site::start();
    for body in ["two", "three", "four"] {
        let done = site
            .apply(&answering(200, body), &["--probation", "0s"])
            .await;
        done.ended(0, "is confirmed");
    }
    let diff = site.generations(&["diff", "1", "current"]).await;
    diff.ended(0, "1 rule changed");
    site.generations(&["rollback", "--reason", "as it was"])
        .await
        .ended(0, "generation 3 (");
    assert_eq!(site.body().await, "three");
    site.generations(&["activate", "2"])
        .await
        .ended(0, "generation 2 (");
    assert_eq!(site.body().await, "two");

    site.generations(&["pin", "1", "--name", "first"])
        .await
        .ended(0, "is kept, as `first`");
    site.generations(&["gc", "--keep", "1"])
        .await
        .ended(0, "removed ");
    let listed = site.generations(&["list"]).await.ended(0, "[first]");
    assert!(listed.stdout.contains("*   2"), "{}", listed.stdout);
    site.generations(&["unpin", "1", "--name", "first"])
        .await
        .ended(0, "no longer kept");
    site.generations(&["verify"])
        .await
        .ended(0, "everything is as it was written");
    site.generations(&["show", "77"])
        .await
        .ended(3, "")
        .said("77");
}

#[tokio::test]
async fn a_wrong_token_changes_nothing() {
    let site = Site::start();
    site.next.write("token", "guessed");
    let file = site.next.path().join("token");
    let guessed = ["--token-file", file.to_str().unwrap()];
    let done = site
        .apply(&answering(200, "two"), &guessed)
        .await
        .ended(3, "");
    done.said("not the token");
    let none = ["--token-file", "/nowhere"];
    let done = site.apply(&answering(200, "two"), &none).await.ended(3, "");
    done.said("there was none to send: read /nowhere");
    assert_eq!(site.body().await, "one");
}

#[tokio::test]
async fn the_history_is_there_without_a_process() {
    let mut site = Site::start();
    let state = site.state();
    let at_once = ["--probation", "0s"];
    site.apply(&answering(200, "two"), &at_once)
        .await
        .ended(0, "is confirmed");
    site.dalbi.process.signal(Signal::TERM);
    site.dalbi.process.wait();

    let done = site.apply(&answering(200, "three"), &[]).await.ended(3, "");
    done.said("no dalbi runs with the state directory");
    site.generations(&["list"]).await.ended(0, "*   2");
    site.generations(&["diff"]).await.ended(0, "1 rule changed");
    site.generations(&["confirm"])
        .await
        .ended(3, "")
        .said("no dalbi runs");
    site.generations(&["rollback"])
        .await
        .ended(0, "generation 1 (");
    site.generations(&["list"]).await.ended(0, "*   1");
    site.generations(&["pin", "2"]).await.ended(0, "is kept");
    site.generations(&["gc", "--keep", "1"])
        .await
        .ended(0, "removed 0");
    site.generations(&["verify"])
        .await
        .ended(0, "everything is as it was written");

    // A byte of a document that is another one.
    let manifest = site.generations(&["show", "2", "--json"]).await.json();
    let text = manifest["documents"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let object = files_below(&state)
        .into_iter()
        .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes()));
    std::fs::write(object.unwrap(), text.replace("two", "two!")).unwrap();
    let done = site
        .generations(&["verify"])
        .await
        .ended(1, "1 thing is wrong");
    assert!(done.stdout.contains("bytes"), "{done:?}");
}

#[tokio::test]
async fn whoever_is_cut_off_gets_the_old_one_back() {
    let site = Site::start();
    let through = format!("http://{}", site.dalbi.address(8080));
    let remote = ["--probation", "2s", "--confirm-by-remote", &through];
    let done = site.apply(&answering(200, "two"), &remote).await;
    done.ended(0, "generation 2 (");

    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let remote = ["--probation", "2s", "--confirm-by-remote", &nowhere];
    let done = site.apply(&answering(200, "three"), &remote).await;
    let done = done.ended(4, "rolled back");
    assert!(
        done.stdout.contains(&format!("connect to {nowhere}")),
        "{done:?}"
    );
    assert_eq!(site.body().await, "two");
}

#[tokio::test]
async fn whoever_stops_waiting_hears_how_it_goes_on() {
    let site = Site::start();
    site.next.write("site.yaml", &answering(200, "two"));
    let (state, folder) = (site.state(), site.next.path());
    let folder = folder.to_str().unwrap();
    let mut applying = Process::start(&["apply", folder, "--state", state.to_str().unwrap()]);
    applying.log_line("progress", |line| line.contains(" s left").then_some(()));
    applying.signal(Signal::INT);
    let line = applying.stdout_line("the result", |line| Some(line.to_owned()));
    assert!(
        line.contains("generation 2 (") && line.contains("goes on being tried"),
        "{line}"
    );
    assert_eq!(applying.wait().code(), Some(5));
    assert_eq!(site.body().await, "two");
    // Flags may stand behind the action, too.
    let elsewhere = Folder::new();
    let arguments = [
        "generations",
        "cancel",
        "2",
        "--state",
        state.to_str().unwrap(),
    ];
    command(elsewhere.path(), &arguments)
        .await
        .ended(0, "was taken back");
}

#[tokio::test]
async fn a_client_certificate_is_as_good_as_the_token() {
    let (first, next, secrets) = (Folder::new(), Folder::new(), Folder::new());
    let authority = Authority::new(&secrets, "ca");
    authority.sign(&secrets, "server", "localhost");
    authority.sign(&secrets, "client", "ann");
    let file = |name: &str| secrets.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
    first.write("site.yaml", &answering(200, "one"));
    let dalbi = Dalbi::run(
        first.path(),
        &[
            "--admin-cert",
            &cert,
            "--admin-key",
            &key,
            "--admin-client-ca",
            &ca,
        ],
    );
    next.write("site.yaml", &answering(200, "two"));
    let admin = format!("https://localhost:{}", dalbi.admin().port());
    let asked = [
        "apply",
        next.path().to_str().unwrap(),
        "--probation",
        "0s",
        "--admin",
        &admin,
        "--ca",
        &ca,
    ];
    let elsewhere = Folder::new();
    let done = command(elsewhere.path(), &asked).await;
    done.ended(3, "").said("there was none to send");
    let (cert, key) = (file("client.crt"), file("client.key"));
    let shown = [&asked[..], &["--cert", &cert, "--key", &key]].concat();
    command(elsewhere.path(), &shown)
        .await
        .ended(0, "is confirmed");
    let untrusted = &asked[..6];
    let done = command(elsewhere.path(), untrusted).await;
    assert_eq!(done.code, Some(3), "{done:?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
