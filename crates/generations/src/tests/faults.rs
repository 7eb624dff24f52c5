//! Disks that are full, read-only or broken, at any operation.

use std::io::ErrorKind;

use super::model::{Outcome, Step, World, script};
use crate::disk::simulated::{Fault, Machine};

/// Runs the script with a fault at every operation; each failed step must leave the store as it was.
fn with(kind: ErrorKind, stays: bool) {
    let mut failures = 0;
    for at in 1.. {
        let machine = Machine::default();
        machine.plan(Some(Fault::Fail { at, kind, stays }));
        let Ok(mut world) = World::open(&machine) else {
            machine.kill_all();
            World::nothing(&machine).recover(None);
            continue;
        };
        let mut failed = None;
        for step in script() {
            if let Outcome::Failed(error) = world.step(&step) {
                let place = machine.last();
                println!("{kind:?} at {at}, `{place}`, in {step:?}: {error}");
                failures += 1;
                failed_clearly(&mut world, &step, &error);
                failed = Some(step);
                break;
            }
        }
        let was_reached = machine.operations() >= at || failed.is_some();
        machine.kill_all();
        world.recover(failed.as_ref());
        if !was_reached {
            break;
        }
    }
    assert!(failures > 20, "{failures}");
}

fn failed_clearly(world: &mut World, step: &Step, error: &str) {
    assert!(error.contains("/simulated"), "{error}");
    world.machine.plan(None);
    let Some(store) = &world.store else {
        assert_eq!(step, &Step::Reopen);
        return;
    };
    // The file `current` may be behind until the next record is written.
    if let Err(wrong) = world.model.check_state(store) {
        // A collection is what its record says, whether or not all files could be removed, and what is put
        // aside may be in place although its name is not durable.
        assert!(matches!(step, Step::Gc(_) | Step::Aside(_)), "{wrong}");
        world.model.after(step).unwrap().check_state(store).unwrap();
    }
    // The fault is gone. Either all goes on, or it is told that the store must be opened anew.
    if let Outcome::Failed(error) = world.step(step) {
        assert!(error.contains("then restart"), "{error}");
        assert!(world.store.as_ref().unwrap().poisoned().is_some());
        let again = world.step(&Step::Aside(b"again".to_vec()));
        assert!(matches!(again, Outcome::Failed(_)), "{again:?}");
    }
}

#[test]
fn a_full_disk_changes_nothing() {
    with(ErrorKind::StorageFull, true);
    with(ErrorKind::StorageFull, false);
}

#[test]
fn a_disk_that_became_read_only_changes_nothing() {
    with(ErrorKind::ReadOnlyFilesystem, true);
}

#[test]
fn a_broken_disk_changes_nothing() {
    with(ErrorKind::Other, false);
    with(ErrorKind::Other, true);
}
