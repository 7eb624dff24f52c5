//! What `run`, `proxy` and `demo` have in common: a dispatcher's settings, what is said at its start, and its end.

mod admin;
mod options;
mod trial;

use std::io::{self, Write};
use std::net::TcpListener;

use anyhow::Context;
use dispatcher::Dispatcher;
use engine::admin::{Access, Admin, Generations, Server};
use mesh::{Mesh, SourceFile};

pub(crate) use admin::{AdminAddress, AdminServerOptions, admin_socket};
pub(crate) use options::ServeOptions;
pub(crate) use trial::TrialOptions;

use crate::signals::Signals;

/// Says what listens where, and then that requests are served. Scripts and tests read these lines.
pub(crate) fn announce(dispatcher: &Dispatcher, admin: Option<&Server>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for listener in dispatcher.listeners() {
        let scheme = if listener.tls { "https" } else { "http" };
        writeln!(
            out,
            "listening: {} on {scheme}://{}",
            listener.name, listener.address
        )?;
    }
    if let Some(admin) = admin {
        writeln!(out, "admin: {}", admin.url())?;
    }
    writeln!(out, "ready")?;
    out.flush()
}

/// Shows and, with generations, changes what the dispatcher does; `None` without a socket.
pub(crate) fn admin(
    dispatcher: &Dispatcher,
    socket: Option<TcpListener>,
    access: Access,
    generations: Option<Generations>,
) -> anyhow::Result<Option<Server>> {
    let admin = Admin {
        inspector: dispatcher.inspector(),
        access,
        generations,
    };
    let server = socket
        .map(|socket| Server::start(socket, admin))
        .transpose();
    server.context("start the admin server")
}

/// Lets requests in flight end. A further signal ends the wait.
pub(crate) async fn drain(dispatcher: Dispatcher, signals: &mut Signals) -> anyhow::Result<()> {
    tracing::info!("draining: requests in flight may end; send the signal again not to wait");
    let (tell, drained) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("drain".to_owned())
        .spawn(move || tell.send(dispatcher.drain()))
        .context("start a thread")?;
    tokio::select! {
        cut_off = drained => match cut_off? {
            0 => tracing::info!("drained"),
            cut_off => tracing::warn!(cut_off, "connections were still open at the drain timeout"),
        },
        () = signals.stopped_again() => tracing::warn!("stopped without waiting"),
    }
    Ok(())
}

/// The mesh of documents that we wrote ourselves.
pub(crate) fn own_documents(name: &str, text: String) -> anyhow::Result<Mesh> {
    let file = SourceFile {
        path: name.into(),
        text,
    };
    let loaded = mesh::load(&[file], &mesh::Options::default());
    loaded.mesh.with_context(|| {
        let findings: Vec<_> = loaded.diagnostics.iter().map(ToString::to_string).collect();
        format!(
            "the generated documents are wrong, please report this: {}",
            findings.join("; ")
        )
    })
}
