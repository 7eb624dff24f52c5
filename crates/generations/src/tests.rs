//! What is told of the store, on real and on simulated disks.

mod happy;
