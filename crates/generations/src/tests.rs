//! What is told of the store, on real and on simulated disks.

mod crash;
mod damage;
mod faults;
mod happy;
mod model;
mod power_loss;
mod races;
mod sequences;
