//! Placeholder until its work comes.
fn main() {}
