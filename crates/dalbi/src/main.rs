//! `dalbi`: a load balancer that serves Istio documents from a folder.

mod admin_client;
mod cli;
mod commands;
mod demo;
mod describe;
mod diff;
mod documents;
mod explain;
mod follow;
mod history;
mod load;
mod logging;
mod quantity;
mod report;
mod route_tests;
mod serve;
mod service;
mod signals;
mod simulate;
mod state;
mod upstream;

use std::process::ExitCode;

/// Small allocations per connection and header block are what a proxy does all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
