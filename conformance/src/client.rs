//! The client's side of a case: what is sent to a listener, and what came back.

mod grpc;
mod http;
mod tcp;
mod tls;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) use self::grpc::{Call, Reply};
pub(crate) use self::http::{Answer, Ask, Version};
pub(crate) use self::tcp::Dialogue;
pub(crate) use self::tls::Tls;
pub(crate) use self::websocket::echo as websocket_echo;

/// How long one request may take. Cases wait a second at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// A byte stream in either direction.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects, with TLS where it is asked for.
async fn connect(address: SocketAddr, tls: Option<&Tls>) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    Ok(match tls {
        Some(tls) => Box::new(tls.handshake(stream).await?),
        None => Box::new(stream),
    })
}

/// Ends what takes too long with an error that says what it was.
async fn in_time<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.with_context(|| format!("{what}: nothing for {PATIENCE:?}"))?
}
