//! One run: a scenario, a size, a policy and a seed in, figures out.

use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::policies::Factory;
use crate::scenario::{Scenario, Size};
use crate::world::World;

/// Seeds below this are for tuning; what is reported starts here, so that nothing was fitted to it.
pub const FIRST_REPORTED_SEED: u64 = 1000;

/// One run's figures, and what they are of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `file` or `file/variant`.
    pub scenario: String,
    /// Servers at the start.
    pub servers: u32,
    /// Dispatchers.
    pub dispatchers: u32,
    /// Work offered, as a share of all allocations.
    pub load: f64,
    /// The policy.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// What came of it.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Runs one world. The same arguments give the same row; the same scenario, size and seed give every
/// policy the same requests.
pub fn run(scenario: &Scenario, size: Size, policy: &Factory, seed: u64) -> Row {
    let size = scenario.size(size);
    Row {
        scenario: scenario.name.clone(),
        servers: size.servers,
        dispatchers: size.dispatchers,
        load: scenario.load,
        policy: policy.name().to_owned(),
        seed,
        figures: World::new(scenario, size, policy, seed).run(),
    }
}
