//! Side-by-side measurements of dalbi and the proxies people use today, on the machine at hand.
//!
//! `bench proxy` is the table in the README: CPU time per request of each proxy on one pinned
//! core. `bench balancing` compares how they spread requests over unequal servers. `bench memory` and `bench reload` measure what a long-running gateway is judged by,
//! `bench rollback` what becomes of bad and of harmless configurations.
//! `bench upstream` and `bench relay` are the two small servers those runs are built on.
//!
//! Only ratios within one run mean something: machines and neighbours differ, CPU time per
//! request moves far less than throughput does.

mod balancing;
mod certificate;
mod chart;
mod cores;
mod cpu;
mod figures;
mod http_client;
mod idle;
mod load;
mod memory;
mod open_loop;
mod peers;
mod ports;
mod process;
mod proxy;
mod reload;
mod rollback;
mod round;
mod scratch;
mod servers;
mod table;
mod workload;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "bench",
    version,
    about = "Measures dalbi beside real proxies on this machine."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// CPU per request, throughput and latency of each proxy, one worker on one core.
    Proxy(proxy::ProxyOptions),
    /// Latency of each proxy before unequal servers: slow, hung and failing ones.
    Balancing(balancing::BalancingOptions),
    /// Memory at rest and per idle keep-alive connection, and what idle connections do to p99.
    Memory(memory::MemoryOptions),
    /// Time from a changed file to the new snapshot, requests lost meanwhile, cost of many hosts.
    Reload(reload::ReloadOptions),
    /// Bad generations and harmless ones: how soon they are taken back, how often, at what cost.
    Rollback(rollback::RollbackOptions),
    /// The upstream of all runs: constant answers of 1 KiB (`/1k`) and 100 KiB (`/100k`).
    Upstream {
        /// Address to listen on; may be given several times.
        #[arg(long, required = true)]
        listen: Vec<SocketAddr>,
    },
    /// A bare TCP relay, the floor below which no proxy can get.
    Relay {
        /// Address to listen on.
        #[arg(long)]
        listen: SocketAddr,
        /// Where connections go, in turn; may be given several times.
        #[arg(long, required = true)]
        to: Vec<SocketAddr>,
    },
    /// Becomes another program on one core, and dies with its parent.
    #[command(hide = true)]
    Pinned(process::PinnedOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Proxy(options) => process::with_cleanup(|| proxy::run(&options)),
        Command::Balancing(options) => process::with_cleanup(|| balancing::run(&options)),
        Command::Memory(options) => process::with_cleanup(|| memory::run(&options)),
        Command::Reload(options) => process::with_cleanup(|| reload::run(&options)),
        Command::Rollback(options) => process::with_cleanup(|| rollback::run(&options)),
        Command::Upstream { listen } => listen
            .into_iter()
            .map(servers::listen)
            .collect::<anyhow::Result<_>>()
            .and_then(servers::upstream::serve),
        Command::Relay { listen, to } => {
            servers::listen(listen).and_then(|socket| servers::relay::serve(socket, &to))
        }
        Command::Pinned(options) => process::become_pinned(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
