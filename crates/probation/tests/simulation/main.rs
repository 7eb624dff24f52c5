//! Thousands of seeded probations: how often harmless generations are rolled back, and how soon harmful ones.

mod detection;
mod false_alarms;
mod invariants;
mod traffic;
