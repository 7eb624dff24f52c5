//! The servers every run is built on: constant upstream and bare relay, one thread, edge-triggered.

mod accept;
mod slots;

pub(crate) use accept::listen;
pub(crate) use slots::Slots;

pub(crate) mod relay;
pub(crate) mod upstream;

#[cfg(test)]
mod tests;
