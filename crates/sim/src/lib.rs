//! A seeded discrete-event world in which balancing policies are compared under virtual time.
//!
//! Servers, antagonists, networks and arrivals are models; the learned policy is the real [`alba`] crate,
//! the very code that runs in the proxy. Nothing here reads a clock or draws unseeded randomness: a
//! scenario, a policy and a seed give the same result, bit by bit, on any machine.

pub mod policy;
