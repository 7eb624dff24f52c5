//! What the whole crate does, through its public surface and under virtual time.

mod easing;
mod ejection;
mod hashing;
mod learned;
mod locality;
mod rates;
mod reload;
mod restart;
mod selection;
mod subset;
mod tenants;
mod threads;
mod world;
