//! A seeded discrete-event world in which balancing policies are compared under virtual time.
//!
//! Servers, antagonists, networks and arrivals are models; the learned policy is the real [`alba`] crate,
//! the very code that runs in the proxy. Nothing here reads a clock or draws unseeded randomness: a
//! scenario, a policy and a seed give the same result, bit by bit, on any machine.
//!
//! ```
//! let scenario = &sim::scenario::builtin("uniform")?[0];
//! let policy = sim::policies::by_name("round_robin").expect("a policy of that name");
//! # let mut scenario = scenario.clone();
//! # scenario.measured_s = 0.5;
//! # let scenario = &scenario;
//! let row = sim::run(scenario, "10x3".parse()?, &policy, 1);
//! assert!(row.figures.p50_ms < row.figures.p99_ms);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it refuses to do: write files, start threads, measure real time. Whoever calls it does that.

pub mod chart;
mod draws;
mod figures;
pub mod policies;
pub mod policy;
mod runner;
pub mod scenario;
pub mod scoreboard;
mod world;

pub use figures::{Figures, jain};
pub use runner::{FIRST_REPORTED_SEED, Row, run};
