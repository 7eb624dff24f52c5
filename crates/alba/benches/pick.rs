//! Nanoseconds per pick and completion. `cargo bench -p alba`.

fn main() {}
