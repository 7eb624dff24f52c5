//! A process that is killed at any operation on the disk. What it wrote stays, durable or not.

use super::happy::options;
use super::model::{Outcome, World, random_step, script};
use crate::disk::simulated::{Fault, Machine};
use crate::store::open::open;

#[test]
fn killed_at_every_operation_the_store_is_as_acknowledged() {
    let mut operations = 0;
    for at in 1.. {
        let machine = Machine::default();
        machine.plan(Some(Fault::Kill { at }));
        let Ok(mut world) = World::open(&machine) else {
            machine.kill_all();
            let mut world = World::nothing(&machine);
            world.recover(None);
            continue;
        };
        let steps = script();
        let failed = steps.iter().find(|step| match world.step(step) {
            Outcome::Done => false,
            Outcome::Refused => panic!("{step:?} was refused"),
            Outcome::Failed(_) => true,
        });
        let was_reached = machine.operations() >= at;
        machine.kill_all();
        world.recover(failed);
        if !was_reached {
            operations = at;
            break;
        }
    }
    // Guards against a script that does nothing.
    assert!(operations > 200, "{operations}");
}

#[test]
fn killed_again_and_again_while_it_recovers() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let machine = Machine::default();
        let mut world = World::open(&machine).unwrap();
        let mut in_flight = None;
        machine.plan(Some(Fault::Kill {
            at: random.u64(1..400),
        }));
        for _ in 0..40 {
            let step = random_step(&mut random);
            if let Outcome::Failed(_) = world.step(&step) {
                in_flight = Some(step);
                break;
            }
        }
        machine.kill_all();
        for _ in 0..3 {
            machine.plan(Some(Fault::Kill {
                at: random.u64(1..40),
            }));
            drop(open(machine.start(), options(7)));
            machine.kill_all();
        }
        println!("seed {seed}, after {in_flight:?}");
        world.recover(in_flight.as_ref());
    }
}
