//! Real processes that die at each change to a real disk, as the environment asks them to.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use generations::{Document, End, GenerationId, Note, OpenOptions, Owner, Proposal, Store, View};

/// Names the state directory to the process that is to die.
const CHILD: &str = "GENERATIONS_FAILPOINTS_CHILD";

#[test]
fn wherever_a_process_dies_the_parent_or_the_confirmed_generation_is_current() {
    if let Some(state) = std::env::var_os(CHILD) {
        return live(Path::new(&state));
    }
    let state = Folder::new("every");
    let mut deaths = 0;
    loop {
        let output = child(&state.0, &[("DALBI_CRASH_AT", (deaths + 1).to_string())]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        check(&state.0, &told);
        if output.status.success() {
            break;
        }
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(reason.contains("crashing as asked"), "{reason}");
        deaths += 1;
        // Each life begins anew.
        std::fs::remove_dir_all(&state.0).unwrap();
    }
    assert!(deaths > 60, "{deaths}");
}

#[test]
fn a_step_is_asked_for_by_name() {
    for (label, is_confirmed) in [
        ("open rename epoch", false),
        ("stage write objects", false),
        ("stage rename manifests", false),
        ("stage sync objects", false),
        ("intend append log", false),
        ("confirm append log", false),
        ("confirm write current", true),
        ("rename current", true),
        ("gc remove manifests", true),
        ("put-aside rename aside", true),
        ("end append log", true),
    ] {
        let state = Folder::new(&label.replace(' ', "-"));
        let output = child(&state.0, &[("DALBI_CRASH_LABEL", label.to_owned())]);
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{label}");
        assert!(reason.contains(label), "{reason}");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let current = check(&state.0, &told);
        assert_eq!(current.is_some(), is_confirmed, "{label}");
    }
}

/// What the process does until it dies, telling each thing that is done.
fn live(state: &Path) {
    let note = |now| Note::new("ann", "", now);
    let tell = |what: &str, id: GenerationId| {
        let mut out = std::io::stdout();
        writeln!(out, "{what} {id}").unwrap();
        out.flush().unwrap();
    };
    let (mut store, _) = Store::open(state, options()).unwrap();
    for (number, text) in ["a", "b", "c", "bad"].into_iter().enumerate() {
        let document = |path: &str, text: &str| Document {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let proposal = Proposal {
            parent: store.current(),
            author: "ann".to_owned(),
            documents: vec![document("a.yaml", text), document("b.yaml", "the same")],
            ..Proposal::default()
        };
        let id = store.stage(&proposal, false, 1).unwrap().id;
        tell("staged", id);
        store.intend(id, 2, &note(2)).unwrap();
        tell("intended", id);
        if text == "bad" {
            store.end(id, End::RolledBack, &note(3)).unwrap();
            tell("ended", id);
        } else {
            store.confirm(id, &note(3)).unwrap();
            tell("confirmed", id);
        }
        store.put_aside("learned", text.as_bytes()).unwrap();
        if number == 2 {
            store.gc(1, &note(4)).unwrap();
        }
    }
}

/// Opens what the process left, against what it told; the current generation.
fn check(state: &Path, told: &str) -> Option<GenerationId> {
    let last = |what: &str| {
        let mut lines = told.lines().rev();
        let id = lines.find_map(|line| line.strip_prefix(what))?;
        Some(id.trim().parse::<GenerationId>().unwrap())
    };
    let (mut store, recovery) = Store::open(state, options()).unwrap();
    let current = store.current();
    let (confirmed, intended) = (last("confirmed "), last("intended "));
    assert!(
        current == confirmed || current == intended,
        "{told}{recovery:?}"
    );
    assert_eq!(store.pending(), None);
    if let Some(id) = current {
        assert_eq!(store.documents(id).unwrap().len(), 2);
    }
    if let Some(id) = last("staged ") {
        assert!(store.generation(id).is_some(), "{told}");
    }
    store.gc(1000, &Note::default()).unwrap();
    let report = store.verify(&[], false).unwrap();
    assert!(report.is_clean() && report.orphans == 0, "{report:?}");
    assert_eq!(View::open(state).unwrap().current(), current);
    current
}

fn child(state: &Path, variables: &[(&str, String)]) -> Output {
    let test = "wherever_a_process_dies_the_parent_or_the_confirmed_generation_is_current";
    let mut command = Command::new(std::env::current_exe().unwrap());
    // Lines of the harness begin otherwise than ours.
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, state);
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().unwrap()
}

fn options() -> OpenOptions {
    OpenOptions {
        owner: Owner::this_process(None, "a test"),
        keys: Vec::new(),
        require_signed: false,
        now_unix_ms: 1,
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("generations-failpoints-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
