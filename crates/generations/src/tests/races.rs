//! Two who want to write.

use std::sync::{Arc, Barrier};

use super::happy::{Folder, options, proposal, serve};
use super::model::World;
use crate::disk::simulated::Machine;
use crate::store::open::open;
use crate::*;

#[test]
fn of_many_at_once_one_gets_the_lock() {
    // Each time anew, since what a first start makes is what the others may stumble over.
    for _ in 0..12 {
        let folder = Folder::new();
        let barrier = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (path, barrier) = (folder.0.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    let result = Store::open(&path, options(1));
                    // Nobody lets go before all have tried.
                    barrier.wait();
                    match result {
                        Ok(_) => true,
                        Err(StoreError::Locked { .. }) => false,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        let won = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(won.filter(|&won| won).count(), 1);
    }
}

#[test]
fn of_two_for_one_parent_the_second_is_stale() {
    let folder = Folder::new();
    let (mut store, _) = Store::open(&folder.0, options(1)).unwrap();
    let first = serve(&mut store, &["a"], 1);
    let store = Arc::new(std::sync::Mutex::new(store));
    let barrier = Arc::new(Barrier::new(2));
    let threads = ["mine", "yours"].map(|text| {
        let (store, barrier) = (Arc::clone(&store), Arc::clone(&barrier));
        std::thread::spawn(move || {
            let proposal = proposal(Some(first), &[text]);
            barrier.wait();
            let mut store = store.lock().unwrap();
            let id = store.stage(&proposal, false, 2)?.id;
            let note = Note::new("ann", "", 3);
            store.intend(id, 4, &note)?;
            store.confirm(id, &note)?;
            Ok::<_, StageError>(id)
        })
    });
    let results = threads.map(|thread| thread.join().unwrap());
    let won = results.iter().filter_map(|result| result.as_ref().ok());
    let won: Vec<GenerationId> = won.copied().collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.lock().unwrap().current(), Some(won[0]));
    let lost = results.iter().find_map(|result| result.as_ref().err());
    assert!(matches!(
        lost,
        Some(StageError::Stale { expected, current })
            if *expected == Some(first) && *current == Some(won[0])
    ));
}

#[test]
fn a_writer_whose_lock_was_taken_away_writes_no_more() {
    let folder = Folder::new();
    let (mut old, _) = Store::open(&folder.0, options(1)).unwrap();
    let first = serve(&mut old, &["a"], 1);
    // What an impatient person does.
    std::fs::remove_file(folder.0.join("lock")).unwrap();
    let (mut new, _) = Store::open(&folder.0, options(2)).unwrap();
    let log = std::fs::read(folder.0.join("log")).unwrap();
    let note = Note::new("old", "", 3);
    let error = old
        .stage(&proposal(Some(first), &["b"]), false, 3)
        .unwrap_err();
    assert!(
        matches!(error, StageError::Store(StoreError::Fenced { own: 1, .. })),
        "{error}"
    );
    let error = old.pin(first, "p", &note).unwrap_err();
    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    let error = old.put_aside("learned", b"old").unwrap_err();
    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    assert_eq!(std::fs::read(folder.0.join("log")).unwrap(), log);
    serve(&mut new, &["c"], 4);
    assert!(new.verify(&[], false).unwrap().is_clean());
}

#[test]
fn an_append_to_a_log_that_somebody_else_wrote_to_is_refused() {
    let machine = Machine::default();
    let mut world = World::open(&machine).unwrap();
    let store = world.store.as_mut().unwrap();
    let id = serve(store, &["a"], 1);
    let mut log = machine.contents("log").unwrap();
    log.extend_from_slice(b"not ours\n");
    machine.overwrite("log", &log);
    let error = store.pin(id, "p", &Note::default()).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert_eq!(machine.contents("log").unwrap(), log);
}

#[test]
fn a_view_beside_a_writer_sees_one_state_or_the_next() {
    let machine = Machine::default();
    let (mut store, _) = open(machine.start(), options(1)).unwrap();
    let first = serve(&mut store, &["a"], 1);
    let id = store
        .stage(&proposal(Some(first), &["b"]), false, 2)
        .unwrap()
        .id;
    store.intend(id, 3, &Note::default()).unwrap();
    let log = machine.contents("log").unwrap();
    store.confirm(id, &Note::default()).unwrap();
    let whole = machine.contents("log").unwrap();
    for length in log.len()..=whole.len() {
        // Before the confirmation returns, `current` is the old one.
        let copy = Machine::default();
        let (writer, _) = open(copy.start(), options(1)).unwrap();
        drop(writer);
        copy.overwrite("log", &whole[..length]);
        copy.overwrite("epoch", &machine.contents("epoch").unwrap());
        let view = View::on(copy.start()).unwrap();
        assert_eq!(view.damage(), None);
        let expected = if length == whole.len() { id } else { first };
        assert_eq!(view.current(), Some(expected), "{length}");
    }
}
