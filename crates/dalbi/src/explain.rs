//! Which way a request would take through the documents, and why not another one.

mod client;
mod request;
mod story;
mod text;

pub(crate) use client::Client;
pub(crate) use request::{Arrived, Request};
pub(crate) use story::Story;

use mesh::{Listener, ListenerKind, Mesh, RequestHead};

/// No listener takes such a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenerError {
    #[error("no listener is called `{wanted}`; there are {listeners}")]
    Name { wanted: String, listeners: String },
    #[error("nothing listens for {scheme} on port {port}; there are {listeners}")]
    Port {
        scheme: &'static str,
        port: u16,
        listeners: String,
    },
    #[error("the documents make no listener: they have neither a Gateway nor a service")]
    None,
}

/// The listener that a request arrives on: the one that is named, else the one on the URL's port. A URL
/// without a port may also reach the only place that knows its host, since nobody wants to write `:8080`
/// to find out about a route.
pub(crate) fn find_listener(
    mesh: &Mesh,
    request: &Request,
    wanted: Option<&str>,
) -> Result<usize, ListenerError> {
    if mesh.listeners.is_empty() {
        return Err(ListenerError::None);
    }
    let find = |test: &dyn Fn(&Listener) -> bool| mesh.listeners.iter().position(test);
    if let Some(wanted) = wanted {
        return find(&|listener| listener.name == wanted || listener.port.to_string() == wanted)
            .ok_or_else(|| ListenerError::Name {
                wanted: wanted.to_owned(),
                listeners: names(mesh),
            });
    }
    let takes_scheme = |listener: &Listener| listener.tls.is_some() == request.is_https();
    let knows_host = |listener: &Listener| {
        listener
            .hosts
            .lookup(request.authority(), listener.port)
            .is_some()
    };
    let is_gateway = |listener: &Listener| listener.kind == ListenerKind::Gateway;
    let by_port = find(&|listener| {
        takes_scheme(listener)
            && listener.port == request.port()
            && (listener.tls.is_some() || listener.tcp.is_empty() != request.is_connection())
    });
    let by_host = || {
        find(&|listener| is_gateway(listener) && takes_scheme(listener) && knows_host(listener))
            .or_else(|| find(&|listener| takes_scheme(listener) && knows_host(listener)))
    };
    by_port
        .or_else(|| {
            if request.has_explicit_port() {
                None
            } else {
                by_host()
            }
        })
        .ok_or_else(|| ListenerError::Port {
            scheme: if request.is_https() { "https" } else { "http" },
            port: request.port(),
            listeners: names(mesh),
        })
}

fn names(mesh: &Mesh) -> String {
    let name = |listener: &Listener| {
        let scheme = if listener.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("`{}` ({scheme} on port {})", listener.name, listener.port)
    };
    mesh.listeners
        .iter()
        .map(name)
        .collect::<Vec<_>>()
        .join(", ")
}
