//! A client's connection, from the socket to the HTTP version it speaks.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mesh::{ClientAuth, TlsAction, TlsServer};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::server::StartHandshake;

use crate::buffer::Buffer;
use crate::exchange::fields::Origin;
use crate::http::h2_transport::PREFACE;
use crate::http::{h1_server, h2_server};
use crate::snapshot::LocalSnapshot;
use crate::tcp::{self, Routed};
use crate::timer::Timer;
use crate::transport::tls::ServerTls;
use crate::transport::{Io, hello};
use crate::worker::Worker;

/// What a connection is known by for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) origin: Origin,
    /// The client's address with port, for the log.
    pub(crate) peer: SocketAddr,
    /// The listener's address: its place in the snapshot may change.
    pub(crate) address: SocketAddr,
    /// The number of the worker's newest snapshot when it was accepted.
    pub(crate) born: u64,
    /// What the handshake settled; `None` without TLS.
    shaken: Option<Handshake>,
    /// How it stands under the snapshot of that number, the last that a request came under.
    standing: Cell<(u64, Standing)>,
    _place: Place,
}

/// What a TLS handshake settled for as long as its connection lasts.
#[derive(Debug)]
struct Handshake {
    /// What the client asked for.
    server_name: Option<String>,
    /// What its certificate was checked by.
    client_auth: ClientAuth,
}

/// What the configuration in force makes of a connection that may be older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is served as a new one would be.
    Served {
        /// The listener's position in the snapshot.
        listener: usize,
        /// Which of the listener's TLS servers it belongs to.
        tls_server: Option<usize>,
    },
    /// A new one would be made in another way (TLS, another check of client certificates): this one must not go on.
    Outdated,
    /// Its listener is no longer there.
    ListenerGone,
}

impl Standing {
    /// Which of the listener's TLS servers the connection belongs to.
    pub(crate) fn tls_server(self) -> Option<usize> {
        match self {
            Self::Served { tls_server, .. } => tls_server,
            Self::Outdated | Self::ListenerGone => None,
        }
    }
}

impl Client {
    /// How the connection stands under a snapshot, which may be a later one than it began under.
    pub(crate) fn standing(&self, snapshot: &LocalSnapshot) -> Standing {
        let number = snapshot.shared.number;
        let (known_for, known) = self.standing.get();
        if known_for == number {
            return known;
        }
        let standing = match snapshot.listener(self.address) {
            Some(listener) => self.standing_at(listener, &snapshot.mesh().listeners[listener]),
            None => Standing::ListenerGone,
        };
        self.standing.set((number, standing));
        standing
    }

    /// Whether the connection can't be used any more, as the last request found.
    pub(crate) fn is_outdated(&self) -> bool {
        self.standing.get().1 == Standing::Outdated
    }

    fn standing_at(&self, listener: usize, config: &mesh::Listener) -> Standing {
        let served = |tls_server| Standing::Served {
            listener,
            tls_server,
        };
        match (&self.shaken, &config.tls) {
            (None, None) if config.tcp.is_empty() => served(None),
            (Some(shaken), Some(termination)) => {
                let position = termination.select(shaken.server_name.as_deref());
                let same = position.filter(|position| {
                    let server = &termination.servers[*position];
                    matches!(server.action, TlsAction::Http)
                        && server.client_auth == shaken.client_auth
                });
                same.map_or(Standing::Outdated, |position| served(Some(position)))
            }
            _ => Standing::Outdated,
        }
    }
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
    let Some((snapshot, listener)) = worker.snapshot_at(address) else {
        return;
    };
    let tls = snapshot.shared.listeners[listener]
        .tls
        .as_ref()
        .map(arc_swap::ArcSwap::load_full);
    let standing = Standing::Served {
        listener,
        tls_server: None,
    };
    let mut client = Client {
        origin: Origin {
            peer: peer.ip().to_canonical().to_string(),
            address: peer.ip().to_canonical(),
            scheme: if tls.is_some() { "https" } else { "http" },
            kind: snapshot.mesh().listeners[listener].kind,
        },
        peer,
        address,
        born: worker.newest(),
        shaken: None,
        standing: Cell::new((snapshot.shared.number, standing)),
        _place: place,
    };
    let Some(tls) = tls else {
        if let Some(route) = snapshot.mesh().listeners[listener].tcp.first() {
            let routed = tcp::route(&worker, &snapshot, route, &client, None);
            drop(snapshot);
            return routed
                .serve(&worker, Io::Tcp(stream), Buffer::default())
                .await;
        }
        drop(snapshot);
        return serve_plain(&worker, Io::Tcp(stream), client).await;
    };
    let limit = worker.options.limits.header_timeout;
    let shaking = Box::pin(shake(&worker, &snapshot, listener, &tls, stream, &client));
    let shaken = match tokio::time::timeout(limit, shaking).await {
        Ok(Ok(shaken)) => shaken,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "tls handshake failed");
            return;
        }
        Err(_) => return,
    };
    let number = snapshot.shared.number;
    drop(snapshot);
    match shaken {
        Shaken::Http(server, handshake, stream) => {
            let standing = Standing::Served {
                listener,
                tls_server: Some(server),
            };
            client.standing.set((number, standing));
            client.shaken = Some(handshake);
            let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = Io::Tls(stream);
            if speaks_h2 {
                h2_server::serve(&worker, io, Vec::new(), Rc::new(client)).await;
            } else {
                h1_server::serve(&worker, io, Buffer::default(), &client).await;
            }
        }
        // The client counts among the process's connections for as long.
        Shaken::Bytes(routed, io, buffer) => routed.serve(&worker, io, buffer).await,
    }
}

/// What a TLS connection turned out to carry.
enum Shaken {
    /// Requests, to this server.
    Http(usize, Handshake, Box<TlsStream<TcpStream>>),
    /// Bytes that go on as they are, and those that have been read.
    Bytes(Box<Routed>, Io, Buffer),
}

/// Reads what the client asks for, and decrypts unless the server it asks for does not want that.
async fn shake(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    listener: usize,
    tls: &ServerTls,
    mut stream: TcpStream,
    client: &Client,
) -> io::Result<Shaken> {
    let hello = hello::read(&mut stream).await?;
    let name = hello
        .accepted
        .client_hello()
        .server_name()
        .map(str::to_owned);
    let name = name.as_deref();
    let termination = snapshot.mesh().listeners[listener].tls.as_ref();
    let chosen = termination.and_then(|termination| {
        let position = termination.select(name)?;
        Some((position, &termination.servers[position]))
    });
    let Some((
        server,
        TlsServer {
            action,
            client_auth,
            ..
        },
    )) = chosen
    else {
        let reason = format!("no certificate for server name {name:?}");
        return Err(io::Error::other(reason));
    };
    let routed = |route| Box::new(tcp::route(worker, snapshot, route, client, name));
    let Some(config) = tls.config(server) else {
        let TlsAction::Passthrough(route) = action else {
            let reason = format!("the server for name {name:?} can't be served; see `check`");
            return Err(io::Error::other(reason));
        };
        let read = Buffer::holding(hello.bytes);
        return Ok(Shaken::Bytes(routed(route), Io::Tcp(stream), read));
    };
    let start = StartHandshake::from_parts(hello.accepted, stream);
    let stream = Box::new(start.into_stream(config).await?.into());
    Ok(match action {
        TlsAction::Tcp(route) => Shaken::Bytes(routed(route), Io::Tls(stream), Buffer::default()),
        TlsAction::Http | TlsAction::Passthrough(_) | TlsAction::Refuse => {
            let handshake = Handshake {
                server_name: name.map(str::to_owned),
                client_auth: client_auth.clone(),
            };
            Shaken::Http(server, handshake, stream)
        }
    })
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
