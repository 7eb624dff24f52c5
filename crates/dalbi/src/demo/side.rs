//! One algorithm at work: servers, a proxy before them, and the load through it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use dispatcher::{ApplyError, Dispatcher, Inherited, Options, StartError};
use mesh::ListenerKind;

use super::{Algorithm, Servers};
use crate::load::{Load, Plan};
use crate::serve;

/// How often another free port is tried when somebody else takes the one that was found.
const PORT_TRIES: u32 = 20;

/// Everything runs until it is dropped, the servers until the process ends.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) algorithm: Algorithm,
    pub(crate) servers: Servers,
    /// Where the proxy listens.
    pub(crate) target: SocketAddr,
    pub(crate) load: Load,
    /// Held so that it goes on.
    _dispatcher: Dispatcher,
}

impl Side {
    /// One for each algorithm, with servers of its own, so that none gets in another's way. Servers have the
    /// same seeds on all sides. Loads begin together, once every proxy listens; with equal plans they send the
    /// same schedule.
    pub(crate) fn start_all(
        algorithms: &[Algorithm],
        plan: impl Fn(SocketAddr) -> Plan,
    ) -> anyhow::Result<Vec<Self>> {
        let mut ready = Vec::new();
        for &algorithm in algorithms {
            let servers = Servers::start()?;
            let dispatcher = start_dispatcher(&servers, algorithm)?;
            ready.push((algorithm, servers, dispatcher));
        }
        let start = |(algorithm, servers, dispatcher): (_, _, Dispatcher)| {
            let listener = dispatcher.listeners().first().cloned();
            let target = listener
                .context("the demo's documents have a listener")?
                .address;
            Ok(Self {
                algorithm,
                servers,
                target,
                load: Load::start(plan(target))?,
                _dispatcher: dispatcher,
            })
        };
        ready.into_iter().map(start).collect()
    }
}

/// Starts the real dispatcher on a free port.
fn start_dispatcher(servers: &Servers, algorithm: Algorithm) -> anyhow::Result<Dispatcher> {
    let mut tries = 0;
    loop {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let port = port.context("find a free port")?.port();
        let mut mesh = serve::own_documents("dalbi demo", servers.documents(port, algorithm))?;
        mesh.listeners
            .retain(|listener| listener.kind == ListenerKind::Gateway);
        match Dispatcher::start(Options::default(), Arc::new(mesh), "", Inherited::default()) {
            Err(StartError::Apply(ApplyError::Listen { .. })) if tries < PORT_TRIES => tries += 1,
            started => return Ok(started?),
        }
    }
}
