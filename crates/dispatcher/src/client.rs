//! A client's connection, from the socket to the HTTP version it speaks.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;

use crate::buffer::Buffer;
use crate::exchange::fields::Origin;
use crate::http::h2_transport::PREFACE;
use crate::http::{h1_server, h2_server};
use crate::timer::Timer;
use crate::transport::Io;
use crate::worker::Worker;

/// What a connection is known by for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) origin: Origin,
    /// The client's address with port, for the log.
    pub(crate) peer: SocketAddr,
    /// The listener's address: its place in the snapshot may change.
    pub(crate) address: SocketAddr,
    /// Which of the listener's TLS servers the handshake chose.
    pub(crate) tls_server: Option<usize>,
    _place: Place,
}

/// A place among the process's client connections, given back on drop.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// `None` when there are `limit` already.
    pub(crate) fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let taken = count.fetch_add(1, Ordering::Relaxed);
        let place = Self(count.clone());
        (taken < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection that was just accepted.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    address: SocketAddr,
    place: Place,
) {
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(address) else {
        return;
    };
    let tls = snapshot.shared.listeners[listener]
        .tls
        .as_ref()
        .map(arc_swap::ArcSwap::load_full);
    let mut client = Client {
        origin: Origin {
            peer: peer.ip().to_canonical().to_string(),
            address: peer.ip().to_canonical(),
            scheme: if tls.is_some() { "https" } else { "http" },
            kind: snapshot.mesh().listeners[listener].kind,
        },
        peer,
        address,
        tls_server: None,
        _place: place,
    };
    let Some(tls) = tls else {
        drop(snapshot);
        return serve_plain(&worker, Io::Tcp(stream), client).await;
    };
    let handshake = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let name = hello.server_name().map(str::to_owned);
        let termination = snapshot.mesh().listeners[listener].tls.as_ref();
        let server = termination.and_then(|termination| termination.select(name.as_deref()));
        let Some(server) = server else {
            return Err(std::io::Error::other(format!(
                "no certificate for server name {name:?}"
            )));
        };
        let stream = start.into_stream(tls.config(server)).await?;
        Ok((server, stream))
    };
    let limit = worker.options.limits.header_timeout;
    let (server, stream) = match tokio::time::timeout(limit, Box::pin(handshake)).await {
        Ok(Ok(shaken)) => shaken,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "tls handshake failed");
            return;
        }
        Err(_) => return,
    };
    drop(snapshot);
    client.tls_server = Some(server);
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Io::Tls(Box::new(stream.into()));
    if speaks_h2 {
        h2_server::serve(&worker, io, Vec::new(), Rc::new(client)).await;
    } else {
        h1_server::serve(&worker, io, Buffer::default(), &client).await;
    }
}

/// Tells HTTP/2 by prior knowledge from HTTP/1.1 by the first bytes.
async fn serve_plain(worker: &Rc<Worker>, io: Io, client: Client) {
    let io = RefCell::new(io);
    let mut buffer = Buffer::default();
    let mut timer = Timer::default();
    let accepted = Instant::now();
    let is_h2 = loop {
        // Not even the first byte came: as idle as between requests.
        let limit = if buffer.is_empty() {
            worker.options.limits.idle_timeout
        } else {
            worker.options.limits.header_timeout
        };
        match timer
            .until(Some((accepted + limit).into()), buffer.fill(&io))
            .await
        {
            Ok(Ok(1..)) => {}
            _ => return,
        }
        let filled = buffer.filled();
        let compared = filled.len().min(PREFACE.len());
        if filled[..compared] != PREFACE[..compared] {
            break false;
        }
        if compared == PREFACE.len() {
            break true;
        }
    };
    drop(timer);
    let io = io.into_inner();
    if is_h2 {
        h2_server::serve(worker, io, buffer.take_all(), Rc::new(client)).await;
    } else {
        h1_server::serve(worker, io, buffer, &client).await;
    }
}
