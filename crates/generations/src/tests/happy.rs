//! The store on the real file system, when nothing goes wrong.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::*;

/// A folder of its own that goes with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("generations-{}-{number}", std::process::id());
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

pub(super) fn options(now_unix_ms: u64) -> OpenOptions {
    OpenOptions {
        owner: Owner::this_process(Some("127.0.0.1:15000".to_owned()), "dalbi run"),
        keys: Vec::new(),
        require_signed: false,
        now_unix_ms,
    }
}

pub(super) fn proposal(parent: Option<GenerationId>, texts: &[&str]) -> Proposal {
    let documents = texts.iter().enumerate();
    let documents = documents.map(|(index, text)| Document {
        path: format!("{index}.yaml"),
        text: (*text).to_owned(),
    });
    Proposal {
        parent,
        author: "ann".to_owned(),
        reason: "a change".to_owned(),
        source: "mesh".to_owned(),
        documents: documents.collect(),
        ..Proposal::default()
    }
}

fn note(now_unix_ms: u64) -> Note {
    Note::new("gate", "all is well", now_unix_ms)
}

/// Stages, intends and confirms.
pub(super) fn serve(store: &mut Store, texts: &[&str], now: u64) -> GenerationId {
    let id = store
        .stage(&proposal(store.current(), texts), false, now)
        .unwrap()
        .id;
    store.intend(id, now + 60_000, &note(now)).unwrap();
    store.confirm(id, &note(now + 1)).unwrap();
    id
}

#[test]
fn a_generation_lives_from_proposal_to_confirmation() {
    let folder = Folder::new();
    let (mut store, recovery) = Store::open(&folder.0, options(1)).unwrap();
    assert_eq!(recovery, Recovery::default());
    assert_eq!(store.current(), None);

    let first = serve(&mut store, &["a", "b"], 10);
    let manifest = store.stage(&proposal(Some(first), &["a", "c"]), false, 20);
    let second = manifest.unwrap().id;
    assert_eq!(store.generation(second).unwrap().state, State::Staged);
    let detail = serde_json::json!({"canary": 0.1});
    let applied = note(21).with_detail(detail.clone());
    store.intend(second, 60_021, &applied).unwrap();
    let pending = store.pending().unwrap();
    assert_eq!((pending.id, pending.from), (second, Some(first)));
    assert_eq!(pending.detail, detail);
    assert_eq!(store.current(), Some(first));
    assert!(
        matches!(store.intend(first, 0, &note(22)), Err(StoreError::Pending(id)) if id == second)
    );
    store.extend(second, 90_000, &note(23)).unwrap();
    assert_eq!(store.pending().unwrap().deadline_unix_ms, 90_000);
    store.confirm(second, &note(24)).unwrap();

    assert_eq!(store.current(), Some(second));
    assert_eq!(store.pending(), None);
    let generation = store.generation(second).unwrap();
    assert!(generation.current && generation.confirmed_unix_ms == Some(24));
    assert!(!store.generation(first).unwrap().current);
    assert_eq!(store.previous().unwrap().id, first);
    assert_eq!(store.documents(second).unwrap()[1].text, "c");
    assert!(store.verify(&[], false).unwrap().is_clean());
    let read_only = View::open(&folder.0).unwrap();
    assert_eq!(read_only.list(), store.list());

    drop(store);
    let (store, recovery) = Store::open(&folder.0, options(0)).unwrap();
    assert_eq!(recovery, Recovery::default());
    assert_eq!(store.list(), read_only.list());
    let kinds = store.log().unwrap().len();
    // Two openings, 2 × (staged, intent, confirmed), one extension.
    assert_eq!(kinds, 9);
}

#[test]
fn what_did_harm_is_not_staged_again_unless_forced() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let good = serve(&mut store, &["good"], 1);
    let bad = store
        .stage(&proposal(Some(good), &["bad"]), false, 2)
        .unwrap();
    store.intend(bad.id, 3, &note(2)).unwrap();
    let why = Note::new("gate", "12 % errors where 1 % were before", 4);
    store.end(bad.id, End::RolledBack, &why).unwrap();
    assert_eq!(store.current(), Some(good));
    let generation = store.generation(bad.id).unwrap();
    assert!(generation.bad && generation.state == State::RolledBack);
    assert!(generation.why.as_ref().unwrap().contains("12 %"));

    let again = proposal(Some(good), &["bad"]);
    let error = store.stage(&again, false, 5).unwrap_err();
    assert!(error.to_string().contains("12 % errors"), "{error}");
    let forced = store.stage(&again, true, 6).unwrap();
    assert_eq!(forced.tree, bad.tree);
    assert_ne!(forced.id, bad.id);
    store.intend(forced.id, 7, &note(7)).unwrap();
    store.confirm(forced.id, &note(8)).unwrap();
    assert!(!store.generation(bad.id).unwrap().bad);

    for (end, is_bad) in [
        (End::Cancelled, false),
        (End::Superseded, false),
        (End::Interrupted, false),
        (End::Crashed, true),
    ] {
        let next = proposal(store.current(), &[&format!("{end:?}")]);
        let id = store.stage(&next, false, 9).unwrap().id;
        store.intend(id, 10, &note(9)).unwrap();
        store.end(id, end, &note(10)).unwrap();
        assert_eq!(store.generation(id).unwrap().bad, is_bad, "{end:?}");
        assert!(matches!(
            store.confirm(id, &note(11)),
            Err(StoreError::NotPending { pending: None, .. })
        ));
    }
}

#[test]
fn what_serves_is_not_bad_because_the_same_again_did_not_end_well() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let good = serve(&mut store, &["good"], 1);
    let again = proposal(Some(good), &["good"]);
    let id = store.stage(&again, false, 2).unwrap().id;
    store.intend(id, 3, &note(2)).unwrap();
    drop(store);
    let (mut store, recovery) = Store::open(&folder.0, options(4)).unwrap();
    assert_eq!(recovery.crashed, Some(id));
    assert_eq!(store.generation(id).unwrap().state, State::Crashed);
    assert!(!store.generation(good).unwrap().bad);
    store.stage(&again, false, 5).unwrap();
}

#[test]
fn a_proposal_for_another_parent_is_stale() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let first = serve(&mut store, &["a"], 1);
    let mine = proposal(Some(first), &["mine"]);
    let second = serve(&mut store, &["theirs"], 2);
    let error = store.stage(&mine, false, 3).unwrap_err();
    assert!(
        matches!(error, StageError::Stale { expected, current }
            if expected == Some(first) && current == Some(second)),
        "{error}"
    );
    let error = store.stage(&proposal(None, &["x"]), true, 3).unwrap_err();
    assert!(
        error.to_string().contains("made for no generation"),
        "{error}"
    );
}

#[test]
fn a_person_finds_a_generation_by_what_they_remember() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    assert!(store.find("current").is_err());
    let first = serve(&mut store, &["a"], 1);
    let second = serve(&mut store, &["b"], 2);
    for (name, id) in [
        ("current", second),
        ("previous", first),
        ("2", second),
        ("#1", first),
        (&first.short(), first),
        (&second.to_string(), second),
    ] {
        assert_eq!(store.find(name).unwrap().id, id, "{name}");
    }
    for name in ["3", "pending", "", "zzzz", "xyz", &first.to_string()[..3]] {
        assert!(
            matches!(store.find(name), Err(FindError::Unknown(_))),
            "{name}"
        );
    }
}

#[test]
fn a_collection_keeps_what_may_be_wanted() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let texts: Vec<String> = (0..8).map(|number| format!("text {number}")).collect();
    let ids: Vec<GenerationId> = texts
        .iter()
        .map(|text| serve(&mut store, &["the same", text], 1))
        .collect();
    store.pin(ids[2], "before the sale", &note(2)).unwrap();
    store.pin(ids[2], "before the sale", &note(2)).unwrap();
    for number in 0..3 {
        let next = proposal(store.current(), &[&format!("staged {number}")]);
        store.stage(&next, false, 3).unwrap();
    }
    let report = store.gc(2, &note(4)).unwrap();
    // Kept: the pinned, the last two confirmed, the last two staged.
    assert_eq!(report.generations.len(), 6);
    assert_eq!((report.manifests, report.objects), (6, 6));
    let numbers: Vec<u64> = store.list().iter().map(|kept| kept.number).collect();
    assert_eq!(numbers, [3, 7, 8, 10, 11]);
    assert_eq!(store.generation(ids[2]).unwrap().pins, ["before the sale"]);
    assert!(matches!(
        store.documents(ids[0]),
        Err(StoreError::Unknown(_))
    ));
    assert_eq!(store.documents(ids[2]).unwrap()[1].text, "text 2");
    let verified = store.verify(&[], false).unwrap();
    assert!(verified.is_clean() && verified.orphans == 0, "{verified:?}");
    assert_eq!(store.gc(2, &note(5)).unwrap(), GcReport::default());

    // Numbers are not given twice, and what collected generations said stays in the log.
    assert!(store.unpin(ids[2], "before the sale", &note(6)).unwrap());
    assert!(!store.unpin(ids[2], "before the sale", &note(6)).unwrap());
    drop(store);
    let (mut store, _) = Store::open(&folder.0, options(7)).unwrap();
    assert_eq!(store.gc(1, &note(8)).unwrap().generations.len(), 2);
    let staged = proposal(store.current(), &["new"]);
    assert_eq!(store.stage(&staged, false, 9).unwrap().number, 12);
    let staged = |record: &Record| matches!(record.event, Event::Staged { .. });
    assert_eq!(
        store
            .log()
            .unwrap()
            .iter()
            .filter(|record| staged(record))
            .count(),
        12
    );
}

#[test]
fn signatures_are_asked_for_and_checked() {
    let folder = Folder::new();
    let [trusted, other] = [1, 2].map(|seed| PrivateKey::from_seed(&[seed; 32]));
    let mut strict = options(1);
    strict.keys = vec![trusted.public()];
    strict.require_signed = true;
    let (mut store, _) = Store::open(&folder.0, strict).unwrap();
    let mut next = proposal(None, &["a"]);
    assert!(matches!(
        store.stage(&next, false, 1),
        Err(StageError::Unsigned)
    ));
    next.signature = Some(Signature::sign(&other, &next));
    assert!(matches!(
        store.stage(&next, false, 1),
        Err(StageError::Untrusted(_))
    ));
    next.signature = Some(Signature::sign(&trusted, &next));
    let id = store.stage(&next, false, 1).unwrap().id;
    next.reason = "another".to_owned();
    assert!(matches!(
        store.stage(&next, false, 1),
        Err(StageError::Forged(_))
    ));

    assert_eq!(
        store.manifest(id).unwrap().signature.unwrap().key,
        trusted.public()
    );
    assert!(store.verify(&[trusted.public()], true).unwrap().is_clean());
    let report = store.verify(&[other.public()], true).unwrap();
    assert!(
        report.findings[0].what.contains("not trusted"),
        "{report:?}"
    );
}

#[test]
fn what_is_put_aside_is_replaced_and_checked() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    assert_eq!(store.aside("learned").unwrap(), None);
    store.put_aside("learned", b"first").unwrap();
    store.put_aside("learned", b"").unwrap();
    assert_eq!(store.aside("learned").unwrap().unwrap(), b"");
    store.put_aside("learned", b"third").unwrap();
    for name in ["", "../log", "A", "a/b"] {
        assert!(
            matches!(store.put_aside(name, b""), Err(StoreError::AsideName(_))),
            "{name}"
        );
    }
    assert!(store.verify(&[], false).unwrap().is_clean());
    let path = folder.0.join("aside/learned");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = store.aside("learned").unwrap_err().to_string();
    assert!(
        error.contains("learned") && error.contains("another hash"),
        "{error}"
    );
    assert_eq!(store.verify(&[], false).unwrap().findings.len(), 1);
}

#[test]
fn one_process_writes_and_says_who_it_is() {
    let folder = Folder::new();
    assert_eq!(lock_owner(&folder.0).unwrap(), None);
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let error = Store::open(&folder.0, options(1)).unwrap_err().to_string();
    assert!(
        error.contains("127.0.0.1:15000") && error.contains("dalbi run"),
        "{error}"
    );
    store.announce(Some("127.0.0.1:15001".to_owned())).unwrap();
    let owner = lock_owner(&folder.0).unwrap().unwrap();
    assert_eq!(owner.admin.as_deref(), Some("127.0.0.1:15001"));
    assert_eq!(owner.pid, std::process::id());
    store.release();
    assert_eq!(lock_owner(&folder.0).unwrap(), None);
    assert!(Store::open(&folder.0, options(2)).is_ok());
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    serve(&mut store, &["a"], 1);
    store.put_aside("learned", b"x").unwrap();
    let mut folders = vec![folder.0.clone()];
    while let Some(path) = folders.pop() {
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            0o700,
            "{path:?}"
        );
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(
                    path.metadata().unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{path:?}"
                );
            }
        }
    }
}
