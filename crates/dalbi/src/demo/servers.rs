//! Six servers as one finds them in the field, in this process.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::Context;

use super::Algorithm;
use crate::upstream::{self, Behaviour, Distribution, Listener, Upstream};

/// Running servers; they end with the process.
#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<Server>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Server {
    /// As answers and tables call it.
    pub(crate) name: String,
    /// What is special about it.
    pub(crate) description: String,
    address: SocketAddr,
    upstream: Arc<Upstream>,
}

impl Servers {
    /// Starts them on free ports of the loopback interface.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (tell, told) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        thread::Builder::new()
            .name("demo-servers".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    // The receiver waits for exactly this.
                    let _told = tell.send(bind_all().await);
                    std::future::pending::<()>().await;
                });
            })
            .context("start a thread for the servers")?;
        let servers = told.recv().context("the servers' thread ended")??;
        Ok(Self { servers })
    }

    /// In the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// Documents that let requests in on `port` and spread them over the servers by `algorithm`.
    pub(crate) fn documents(&self, port: u16, algorithm: Algorithm) -> String {
        let mut yaml = include_str!("documents.yaml")
            .replace("number: 8080", &format!("number: {port}"))
            .replace(
                "algorithm: Alba",
                &format!("algorithm: {}", algorithm.document_name()),
            );
        for server in &self.servers {
            let (address, port) = (server.address.ip(), server.address.port());
            write!(
                yaml,
                "  - address: {address}   # {}: {}\n    ports:\n      http: {port}\n",
                server.name, server.description
            )
            .expect("a String takes everything");
        }
        yaml
    }
}

impl Server {
    /// Requests it works on or keeps waiting.
    pub(crate) fn in_flight(&self) -> u64 {
        self.upstream.in_flight()
    }

    /// Requests that it failed so far. Most are tried again elsewhere, and no client hears of them.
    pub(crate) fn failed(&self) -> u64 {
        self.upstream.failed()
    }
}

async fn bind_all() -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for (behaviour, description) in behaviours() {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into())
            .await
            .context("listen on a free port")?;
        let address = listener.address;
        let name = behaviour.name.clone();
        let upstream = Arc::new(Upstream::new(behaviour));
        tokio::spawn(upstream::serve(listener, Arc::clone(&upstream), None));
        servers.push(Server {
            name,
            description: description.to_owned(),
            address,
            upstream,
        });
    }
    Ok(servers)
}

/// Two as they should be, and four that make a balancer earn its keep.
fn behaviours() -> Vec<(Behaviour, &'static str)> {
    let server = |seed, name: &str, mean_ms, slots| Behaviour {
        name: name.to_owned(),
        latency: Distribution::Exponential {
            mean: std::time::Duration::from_millis(mean_ms),
        },
        concurrency: Some(slots),
        queue: Some(1000),
        seed,
        ..Behaviour::default()
    };
    vec![
        (server(1, "fast-1", 4, 16), "4 ms, 16 at once"),
        (server(2, "fast-2", 4, 16), "4 ms, 16 at once"),
        (server(3, "old", 12, 16), "12 ms, 16 at once"),
        (server(4, "slow", 40, 8), "40 ms, 8 at once"),
        (server(5, "small", 6, 2), "6 ms, 2 at once"),
        (
            Behaviour {
                error_rate: 0.05,
                ..server(6, "flaky", 4, 16)
            },
            "4 ms, 5 % answer 503 at once",
        ),
    ]
}
