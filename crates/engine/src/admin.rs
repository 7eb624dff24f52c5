//! The admin server: what a dispatcher is doing, for whoever can reach it; changes for whoever may make them.
//!
//! It has a thread of its own, so that it answers while a configuration is loaded.

mod access;
mod changes;
mod pages;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use dispatcher::Inspector;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use access::{Access, AccessError, Tls};

use crate::Handle;
use crate::upgrade::Upgrader;

/// From a connection's first byte to a request's last header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A request's body may take this long.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long answers under way may take at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// After a failed `accept`, as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the server shows and changes.
pub struct Admin {
    /// The dispatcher.
    pub inspector: Inspector,
    /// Who may change something.
    pub access: Access,
    /// Generations; without, there are only pages.
    pub generations: Option<Generations>,
}

/// What there is to change.
pub struct Generations {
    /// The control plane.
    pub handle: Handle,
    /// Starts a new process in this one's place.
    pub upgrader: Upgrader,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    is_tls: bool,
    socket: std::net::TcpListener,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers on a socket that listens already.
    ///
    /// # Errors
    /// The socket can't be used, or no thread be started.
    pub fn start(socket: std::net::TcpListener, admin: Admin) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_tls = admin.access.tls().is_some();
        let (stop, stopped) = watch::channel(false);
        let listening = socket.try_clone()?;
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || run(listening, &Arc::new(admin), stopped))?;
        Ok(Self {
            address: socket.local_addr()?,
            is_tls,
            socket,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Another handle of its socket, for another process.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn socket(&self) -> std::io::Result<std::net::TcpListener> {
        self.socket.try_clone()
    }

    /// Accepts no more.
    pub fn stop(mut self) {
        // It may have ended by itself.
        self.stop.send(true).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(socket: std::net::TcpListener, admin: &Arc<Admin>, mut stopped: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only a few file descriptors");
    runtime.block_on(async {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, "admin socket can't be registered"),
        };
        let connections = tokio::task::LocalSet::new();
        connections
            .run_until(async {
                loop {
                    let accepted = tokio::select! {
                        accepted = socket.accept() => accepted,
                        _ = stopped.changed() => return,
                    };
                    match accepted {
                        Ok((stream, _)) => {
                            tokio::task::spawn_local(connection(stream, admin.clone()));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "admin accept failed");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            })
            .await;
        drop(socket);
        // Whoever asked for an upgrade is still to get the answer.
        drop(tokio::time::timeout(LAST_ANSWERS, connections).await);
    });
    runtime.shutdown_background();
}

async fn connection(stream: tokio::net::TcpStream, admin: Arc<Admin>) {
    let Some(acceptor) = admin.access.tls() else {
        return serve(stream, admin, false).await;
    };
    match tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certified = stream.get_ref().1.peer_certificates().is_some();
            serve(stream, admin, certified).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "admin tls handshake failed"),
        Err(_) => {}
    }
}

/// `certified`: the client has shown a certificate that was checked.
async fn serve<S>(stream: S, admin: Arc<Admin>, certified: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(&admin, request, certified).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away is its own trouble.
    drop(served.await);
}

pub(crate) type Answer = Response<Full<Bytes>>;

async fn answer(admin: &Admin, request: Request<Incoming>, certified: bool) -> Answer {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read && let Some(page) = pages::page(&admin.inspector, request.uri()) {
        return page;
    }
    let Some(generations) = &admin.generations else {
        return pages::nothing_here(request.uri().path(), is_read);
    };
    // Documents may hold secrets; all other pages leave them out.
    let is_open = is_read
        && !request
            .uri()
            .path()
            .trim_end_matches('/')
            .ends_with("/documents");
    if !is_open && let Err(denied) = admin.access.check(&request, certified) {
        return pages::problem(StatusCode::UNAUTHORIZED, &denied);
    }
    if request.uri().path() == "/upgrade" {
        // It has limits of its own.
        return changes::answer(generations, request).await;
    }
    match tokio::time::timeout(BODY_TIMEOUT, changes::answer(generations, request)).await {
        Ok(answer) => answer,
        Err(_) => pages::problem(
            StatusCode::REQUEST_TIMEOUT,
            "the request took longer than a minute",
        ),
    }
}
