//! Accepts connections of the test server: HTTP/1.1 and HTTP/2, told apart by their first bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dalbi_load::LOAD_PATH;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{Layer, Service};

use super::Upstream;
use super::answer::Aborted;

/// A bound address that nobody is answered on yet.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    /// The address, with the port that was chosen for port 0.
    pub(crate) address: SocketAddr,
}

/// What an answer tells about the connection it came by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
}

impl Listener {
    /// Listens on `address`. Needs a runtime.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }
}

/// Accepts until the runtime stops.
pub(crate) async fn serve(listener: Listener, upstream: Arc<Upstream>, tls: Option<TlsAcceptor>) {
    loop {
        let (stream, peer) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors is the usual reason: wait for some to be closed.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY failed");
        }
        let connection = Connection {
            local: listener.address,
            peer,
            tls: tls.is_some(),
        };
        let upstream = Arc::clone(&upstream);
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => serve_stream(stream, upstream, connection).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve_stream(stream, upstream, connection).await,
                    Err(error) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                },
            }
        });
    }
}

async fn serve_stream<S>(stream: S, upstream: Arc<Upstream>, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !upstream.behaviour.connect_delay.is_zero() {
        tokio::time::sleep(upstream.behaviour.connect_delay).await;
    }
    let counted = upstream.load_layer().layer(tower::service_fn({
        let upstream = Arc::clone(&upstream);
        move |request| {
            let upstream = Arc::clone(&upstream);
            async move { upstream.answer(request, connection).await }
        }
    }));
    let service = service_fn(move |request: Request<Incoming>| {
        let upstream = Arc::clone(&upstream);
        let mut counted = counted.clone();
        async move {
            match request.uri().path() {
                "/healthz" => return Ok(upstream.answer_health(&request)),
                // Whoever answers no request at all answers no probe.
                LOAD_PATH if upstream.behaviour.hang_rate >= 1.0 => std::future::pending().await,
                _ => {}
            }
            let response = counted.call(request).await?;
            Ok::<_, Aborted>(response.map(BodyExt::boxed_unsync))
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = server
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(peer = %connection.peer, %error, "connection ended");
    }
}
