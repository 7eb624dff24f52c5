//! Files that hold something else than was written.

use super::happy::{Folder, options, proposal, serve};
use super::model::{Outcome, World, script};
use crate::disk::simulated::{Fault, Machine};
use crate::store::open::open;
use crate::store::salvage::salvage;
use crate::*;

fn written() -> (Machine, GenerationId) {
    let machine = Machine::default();
    let mut world = World::open(&machine).unwrap();
    for step in script() {
        assert_eq!(world.step(&step), Outcome::Done, "{step:?}");
    }
    let current = world.store.unwrap().current().unwrap();
    (machine, current)
}

#[test]
fn a_changed_byte_anywhere_in_the_log_is_found_and_what_serves_is_still_read() {
    let (machine, current) = written();
    let log = machine.contents("log").unwrap();
    // The last record's end is where a torn write can't be told from damage.
    let last = log[..log.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap();
    for at in (0..last).step_by(7).chain([last]) {
        let mut changed = log.clone();
        changed[at] ^= 0x04;
        let copy = machine.copy();
        copy.overwrite("log", &changed);
        let error = open(copy.start(), options(1)).unwrap_err();
        let StoreError::Damaged(damage) = &error else {
            // The log's truth may end before the byte where marks show that more was written.
            panic!("byte {at}: {error}");
        };
        assert!(damage.at <= at as u64, "byte {at}: {damage}");
        assert!(error.to_string().contains("/simulated/log"), "{error}");
        let view = View::on(copy.start()).unwrap();
        assert!(view.damage().is_some());
        assert_eq!(view.current(), Some(current), "byte {at}");
        assert_eq!(view.documents(current).unwrap().len(), 2);
        assert!(!view.verify(&[], false).unwrap().is_clean());
        assert_eq!(copy.contents("log").unwrap(), changed);
    }
}

#[test]
fn a_log_that_was_cut_or_emptied_is_no_fresh_store() {
    let (machine, current) = written();
    let log = machine.contents("log").unwrap();
    for length in [0, 100, log.len() / 2] {
        let copy = machine.copy();
        copy.overwrite("log", &log[..length]);
        let error = open(copy.start(), options(1)).unwrap_err().to_string();
        assert!(error.contains("it ends after record"), "{error}");
        let view = View::on(copy.start()).unwrap();
        assert_eq!(view.current(), Some(current));
        assert_eq!(view.documents(current).unwrap().len(), 2);
    }
}

#[test]
fn another_history_of_the_same_length_is_found() {
    let (machine, _) = written();
    let log = String::from_utf8(machine.contents("log").unwrap()).unwrap();
    // Somebody who can write hashes makes the second record say something else, and leaves the others.
    let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
    let text = lines[1][74..].replace("\"by\":\"ann\"", "\"by\":\"eve\"");
    assert_ne!(text, lines[1][74..]);
    let hash = blake3::hash(text.as_bytes());
    lines[1] = format!("{:08x} {} {text}", text.len(), hash.to_hex());
    machine.overwrite("log", format!("{}\n", lines.join("\n")).as_bytes());
    let error = open(machine.start(), options(1)).unwrap_err().to_string();
    assert!(
        error.contains("does not name the hash of the one before"),
        "{error}"
    );
}

#[test]
fn damaged_small_files_are_mended_from_the_log() {
    for (name, bytes) in [
        ("current", &b""[..]),
        ("current", b"{\"id\":1}"),
        ("current", b"\0\0\0\0"),
        ("epoch", b""),
        ("epoch", b"{\"epoch\":"),
    ] {
        let (machine, current) = written();
        machine.overwrite(name, bytes);
        let (mut store, recovery) = open(machine.start(), options(1)).unwrap();
        assert_eq!(recovery.repaired_current, name == "current");
        assert_eq!(store.current(), Some(current));
        serve(&mut store, &["new"], 1);
        assert!(store.verify(&[], false).unwrap().is_clean());
    }
}

#[test]
fn a_damaged_document_or_manifest_is_named_and_the_others_served() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let first = serve(&mut store, &["a", "the same"], 1);
    let second = serve(&mut store, &["b", "the same"], 2);
    let object = ObjectId::of(b"b").to_string();
    let object = folder
        .0
        .join("objects")
        .join(&object[..2])
        .join(&object[2..]);
    std::fs::write(&object, "c").unwrap();
    let error = store.documents(second).unwrap_err().to_string();
    assert!(error.contains(object.to_str().unwrap()), "{error}");
    assert_eq!(store.documents(first).unwrap().len(), 2);
    let report = store.verify(&[], false).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].file, object);

    // Staged again, it is whole again, although a file of that name and length is there.
    std::fs::write(&object, "bb").unwrap();
    let again = store
        .stage(&proposal(Some(second), &["b"]), false, 3)
        .unwrap();
    assert_eq!(store.documents(again.id).unwrap()[0].text, "b");
    assert!(store.verify(&[], false).unwrap().is_clean());

    let manifest = folder.0.join("manifests").join(first.to_string());
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("ann", "eve")).unwrap();
    let error = store.documents(first).unwrap_err().to_string();
    assert!(
        error.contains("damaged") && error.contains("restore it"),
        "{error}"
    );
    assert_eq!(store.list().len(), 3);
    // What a damaged manifest needs is not known, so nothing is removed.
    let error = store.gc(1, &Note::default()).unwrap_err().to_string();
    assert!(error.contains(&first.to_string()), "{error}");
    assert_eq!(store.documents(second).unwrap().len(), 2);
    std::fs::remove_file(&manifest).unwrap();
    assert!(
        store.verify(&[], false).unwrap().findings[0]
            .what
            .contains("missing")
    );
}

#[test]
fn another_program_s_directory_is_left_alone() {
    let folder = Folder::new();
    std::fs::create_dir(&folder.0).unwrap();
    std::fs::write(folder.0.join("thesis.tex"), "x").unwrap();
    let error = Store::open(&folder.0, options(1)).unwrap_err().to_string();
    assert!(error.contains("thesis.tex"), "{error}");
    assert!(View::open(&folder.0).is_err());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);

    std::fs::remove_file(folder.0.join("thesis.tex")).unwrap();
    assert!(matches!(
        View::open(&folder.0),
        Err(StoreError::Absent { .. })
    ));
    drop(Store::open(&folder.0, options(1)).unwrap());
    std::fs::write(folder.0.join("format"), "dalbi generations 2\n").unwrap();
    let error = Store::open(&folder.0, options(1)).unwrap_err().to_string();
    assert!(
        error.contains("generations 2") && error.contains("newer"),
        "{error}"
    );
    std::fs::write(folder.0.join("format"), "<html>").unwrap();
    let error = Store::open(&folder.0, options(1)).unwrap_err().to_string();
    assert!(error.contains("<html>"), "{error}");
}

#[test]
fn too_long_a_reason_is_cut_and_too_much_evidence_left_out() {
    let machine = Machine::default();
    let (mut store, _) = open(machine.start(), options(1)).unwrap();
    let id = store.stage(&proposal(None, &["a"]), false, 1).unwrap().id;
    let detail = serde_json::json!({ "text": "x".repeat(MAX_DETAIL_BYTES) });
    let note = Note::new(&"ü".repeat(1000), &"\u{1}".repeat(100_000), 2).with_detail(detail);
    store.intend(id, 3, &note).unwrap();
    store.end(id, End::RolledBack, &note).unwrap();
    let records = store.log().unwrap();
    let last = records.last().unwrap();
    assert_eq!(last.why.len(), MAX_TEXT_BYTES);
    assert_eq!(last.by.len(), MAX_NAME_BYTES);
    let Event::Ended { detail, .. } = &last.event else {
        panic!("{last:?}");
    };
    let left_out = detail["left_out"].as_str().unwrap();
    assert!(left_out.contains("of at most 65536"), "{left_out}");
    assert!(store.verify(&[], false).unwrap().is_clean());
}

#[test]
fn a_damaged_log_is_kept_and_a_new_one_begins_with_what_can_be_read() {
    let (machine, current) = written();
    let log = machine.contents("log").unwrap();
    let mut changed = log.clone();
    changed[log.len() / 2] ^= 1;
    for damaged in [&changed[..], &[], &log[..500]] {
        let machine = machine.copy();
        machine.overwrite("log", damaged);
        let (mut store, recovery) = salvage(machine.start(), options(9)).unwrap();
        assert_eq!(recovery.crashed, None);
        assert_eq!(machine.contents("log.damaged-1").unwrap(), damaged);
        assert_eq!(store.current(), Some(current));
        assert_eq!(store.documents(current).unwrap().len(), 2);
        let numbers: Vec<u64> = store.list().iter().map(|it| it.number).collect();
        assert_eq!(numbers, [1, 4]);
        assert!(store.find("current").unwrap().current);
        assert!(store.verify(&[], false).unwrap().is_clean());
        let id = serve(&mut store, &["new"], 10);
        assert_eq!(store.generation(id).unwrap().number, 5);
        assert_eq!(store.previous().unwrap().id, current);
        drop(store);
        let (store, recovery) = open(machine.start(), options(11)).unwrap();
        assert_eq!(recovery, Recovery::default());
        assert_eq!(store.current(), Some(id));
        let records = store.log().unwrap();
        assert!(matches!(records[0].event, Event::Salvaged { .. }));
        assert!(
            records[0].why.contains("damaged at byte"),
            "{}",
            records[0].why
        );
        drop(store);

        // It may be damaged again.
        let mut log = machine.contents("log").unwrap();
        log[100] ^= 1;
        machine.overwrite("log", &log);
        let (store, _) = salvage(machine.start(), options(12)).unwrap();
        assert_eq!(store.current(), Some(id));
        assert_eq!(machine.contents("log.damaged-2").unwrap(), log);
    }
}

#[test]
fn a_salvage_that_dies_is_done_again() {
    let (machine, current) = written();
    let mut log = machine.contents("log").unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    machine.overwrite("log", &log);
    for at in 1.. {
        for seed in 0..4 {
            let copy = machine.copy();
            copy.plan(Some(Fault::Kill { at }));
            let is_done = salvage(copy.start(), options(9)).is_ok() && copy.operations() < at;
            copy.lose_power(&mut fastrand::Rng::with_seed(seed));
            let (store, _) = salvage(copy.start(), options(9)).unwrap();
            assert_eq!(store.current(), Some(current));
            assert_eq!(copy.contents("log.damaged-1").unwrap(), log);
            assert_eq!(copy.contents("log.damaged-2"), None);
            assert!(store.verify(&[], false).unwrap().is_clean());
            if is_done {
                assert!(at > 20, "{at}");
                return;
            }
        }
    }
}

#[test]
fn an_intact_store_is_salvaged_by_opening_it_and_a_broken_current_one_not_at_all() {
    let (machine, current) = written();
    let (store, _) = salvage(machine.start(), options(9)).unwrap();
    assert_eq!(machine.contents("log.damaged-1"), None);
    drop(store);
    machine.overwrite("log", b"");
    let manifest = format!("manifests/{current}");
    machine.overwrite(&manifest, b"{}");
    let error = salvage(machine.start(), options(9))
        .unwrap_err()
        .to_string();
    assert!(error.contains(&manifest), "{error}");
    assert_eq!(machine.contents("log").unwrap(), b"");
}

#[test]
fn evidence_that_could_not_be_read_again_is_left_out() {
    let machine = Machine::default();
    let (mut store, _) = open(machine.start(), options(1)).unwrap();
    let nested = |depth: usize| {
        let deepest = serde_json::json!(1);
        (0..depth).fold(deepest, |inner, _| serde_json::json!([inner]))
    };
    let id = store.stage(&proposal(None, &["a"]), false, 1).unwrap().id;
    let note = |depth| Note::new("ann", "", 2).with_detail(nested(depth));
    store.intend(id, 3, &note(MAX_DETAIL_DEPTH)).unwrap();
    assert_eq!(store.pending().unwrap().detail, nested(MAX_DETAIL_DEPTH));
    store
        .end(id, End::Cancelled, &note(MAX_DETAIL_DEPTH + 1))
        .unwrap();
    store.intend(id, 3, &note(1000)).unwrap();
    assert!(store.pending().unwrap().detail["left_out"].is_string());
    assert!(store.verify(&[], false).unwrap().is_clean());
    assert_eq!(View::on(machine.start()).unwrap().damage(), None);
}

#[test]
fn a_generation_has_so_many_pins() {
    let machine = Machine::default();
    let (mut store, _) = open(machine.start(), options(1)).unwrap();
    let id = serve(&mut store, &["a"], 1);
    for number in 0..MAX_PINS {
        let name = number.to_string();
        store.pin(id, &name, &Note::default()).unwrap();
    }
    let error = store.pin(id, "one more", &Note::default()).unwrap_err();
    assert!(error.to_string().contains("65 where at most 64"), "{error}");
    store.pin(id, "0", &Note::default()).unwrap();
    assert!(store.unpin(id, "0", &Note::default()).unwrap());
    store.pin(id, "one more", &Note::default()).unwrap();
    assert!(store.pin(id, "", &Note::default()).is_err());
}
