//! The crate from outside: documents in, routes and findings out.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has to read the files that the crate is given"
)]

mod documentation;
mod folder;
mod gateway_api;
mod gateway_hosts;
mod gateways;
mod golden;
mod localities;
mod mesh_listener;
mod paths;
mod properties;
mod request;
mod size;
mod visibility;
