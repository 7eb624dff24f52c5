//! The power goes: whatever was not synced is there or not, in any combination.

use std::io::ErrorKind;

use super::happy::options;
use super::model::{Outcome, Step, World, random_step, script};
use crate::disk::simulated::{Fault, Machine};
use crate::store::open::open;

/// How many histories end in the dark. `DALBI_POWER_LOSSES` asks for more.
fn cases() -> u64 {
    let asked = std::env::var("DALBI_POWER_LOSSES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(3000)
}

#[test]
fn any_subset_of_what_was_not_synced_may_be_lost() {
    for seed in 0..cases() {
        let mut random = fastrand::Rng::with_seed(seed);
        let machine = Machine::default();
        machine.plan(Some(Fault::Kill {
            at: random.u64(1..500),
        }));
        let steps: Vec<Step> = if random.bool() {
            script()
        } else {
            (0..25).map(|_| random_step(&mut random)).collect()
        };
        let mut world = World::open(&machine).unwrap_or_else(|_| World::nothing(&machine));
        let failed = steps
            .iter()
            .find(|step| matches!(world.step(step), Outcome::Failed(_)));
        println!("seed {seed}, {failed:?} at `{}`", machine.last());
        machine.lose_power(&mut random);
        // Again while it recovers: what that mended may be lost as well.
        for _ in 0..random.u8(0..3) {
            machine.plan(Some(Fault::Kill {
                at: random.u64(1..40),
            }));
            drop(open(machine.start(), options(7)));
            if random.bool() {
                machine.lose_power(&mut random);
            } else {
                machine.kill_all();
            }
        }
        world.recover(failed);
        machine.lose_power(&mut random);
        world.recover(None);
    }
}

#[test]
fn a_failed_sync_whose_pages_are_lost_harms_nothing_that_was_acknowledged() {
    for seed in 0..600 {
        let mut random = fastrand::Rng::with_seed(seed);
        let machine = Machine::default();
        let mut world = World::open(&machine).unwrap();
        machine.plan(Some(Fault::Fail {
            at: random.u64(1..250),
            kind: ErrorKind::Other,
            stays: false,
        }));
        let steps = script();
        let failed = steps
            .iter()
            .find(|step| matches!(world.step(step), Outcome::Failed(_)));
        println!("seed {seed}, {failed:?} at `{}`", machine.last());
        machine.kill_all();
        world.recover(failed);
        machine.lose_power(&mut random);
        world.recover(None);
    }
}

#[test]
fn what_is_acknowledged_is_there_when_the_power_goes_at_once() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let machine = Machine::default();
        let mut world = World::open(&machine).unwrap();
        for step in script() {
            assert_eq!(world.step(&step), Outcome::Done, "{step:?}");
            let copy = machine.copy();
            println!("seed {seed}, after {step:?}");
            copy.lose_power(&mut random);
            let (store, _) = open(copy.start(), options(3)).unwrap();
            world.model.restarted().check(&store).unwrap();
        }
    }
}

#[test]
fn a_last_record_cut_at_any_byte_was_never_there() {
    let machine = Machine::default();
    let mut world = World::open(&machine).unwrap();
    for step in script() {
        let before = machine.contents("log").unwrap().len();
        let model = world.model.clone();
        assert_eq!(world.step(&step), Outcome::Done, "{step:?}");
        // `epoch` and `current` say that these were durable.
        if matches!(
            step,
            Step::Confirm | Step::Reopen | Step::Gc(_) | Step::Aside(_)
        ) {
            continue;
        }
        let log = machine.contents("log").unwrap();
        for length in before..log.len() {
            let copy = machine.copy();
            copy.overwrite("log", &log[..length]);
            let (store, recovery) = open(copy.start(), options(3)).unwrap();
            assert_eq!(recovery.torn_bytes, (length - before) as u64);
            model.restarted().check(&store).unwrap();
        }
    }
}
