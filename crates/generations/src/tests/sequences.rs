//! Any sequence of operations leads to what the model says.

use proptest::prelude::*;

use super::happy::options;
use super::model::{Model, Outcome, World, random_step};
use crate::disk::simulated::Machine;
use crate::store::open::open;
use crate::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_store_is_what_the_model_says(seed: u64, length in 1..80_usize) {
        let mut random = fastrand::Rng::with_seed(seed);
        let machine = Machine::default();
        let mut world = World::open(&machine).unwrap();
        for _ in 0..length {
            let step = random_step(&mut random);
            let outcome = world.step(&step);
            prop_assert!(!matches!(outcome, Outcome::Failed(_)), "{:?}: {:?}", step, outcome);
            let store = world.store.as_ref().unwrap();
            prop_assert_eq!(world.model.check(store), Ok(()), "after {:?}", step);
        }
        // What the log amounts to is what was kept in memory.
        let read_anew = View::on(machine.start()).unwrap();
        prop_assert_eq!(read_anew.list(), world.store.unwrap().list());
        world.store = None;
        let (store, recovery) = open(machine.start(), options(0)).unwrap();
        prop_assert_eq!(world.model.restarted().check(&store), Ok(()));
        prop_assert_eq!(recovery.torn_bytes, 0);
    }
}

#[test]
fn the_model_can_tell_a_difference() {
    let machine = Machine::default();
    let mut world = World::open(&machine).unwrap();
    let store = world.store.as_mut().unwrap();
    super::happy::serve(store, &["a"], 1);
    assert!(Model::default().check(store).is_err());
}
