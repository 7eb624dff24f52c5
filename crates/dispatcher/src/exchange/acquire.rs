//! Getting a connection to a picked endpoint.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use tokio::time::timeout_at;

use crate::cluster::Permit;
use crate::http::h1_client::H1Connection;
use crate::http::h2_client::H2Connection;
use crate::options::Limits;
use crate::pool::{EndpointPool, Place};
use crate::snapshot::LocalCluster;
use crate::transport::Io;
use crate::transport::connect::{ClientTls, Target, connect};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcquireError {
    /// The endpoint could not be reached.
    #[error("connect to {0} failed: {1}; is the server listening?")]
    Connect(Target, io::Error),
    /// Connecting took too long.
    #[error("connect to {0} timed out after {1:?}; is the server listening?")]
    Timeout(Target, std::time::Duration),
    /// It does not speak HTTP/2.
    #[error("http/2 handshake with {0} failed: {1}")]
    Handshake(Target, h2::Error),
    /// The HTTP/2 connection ended before the request was sent on it.
    #[error("http/2 connection to {0} can't be used: {1}")]
    Gone(Target, h2::Error),
    /// As many requests wait for a connection as may.
    #[error(
        "too many requests wait for a connection to this service (circuit breaker http1MaxPendingRequests)"
    )]
    Overflow,
}

/// An idle HTTP/1.1 connection or a new one. True: it has carried requests before.
pub(crate) async fn h1(
    cluster: &LocalCluster,
    pool: &Rc<EndpointPool>,
    target: &Target,
) -> Result<(H1Connection, bool), AcquireError> {
    let mut waiting = None;
    loop {
        if let Some(connection) = pool.idle() {
            return Ok((connection, true));
        }
        if let Some(place) = pool.place(&cluster.shared) {
            let io = open(cluster, target).await?;
            return Ok((H1Connection::new(io, place), false));
        }
        wait(cluster, pool, &mut waiting).await?;
    }
}

/// A shared HTTP/2 connection or a new one.
pub(crate) async fn h2(
    cluster: &LocalCluster,
    pool: &Rc<EndpointPool>,
    target: &Target,
    limits: &Limits,
) -> Result<H2Connection, AcquireError> {
    let mut waiting = None;
    loop {
        if let Some(connection) = pool.shared() {
            return Ok(connection);
        }
        let _opening = pool.opening.lock().await;
        if let Some(connection) = pool.shared() {
            return Ok(connection);
        }
        if let Some(place) = pool.place(&cluster.shared) {
            return open_h2(cluster, pool, target, place, limits).await;
        }
        drop(_opening);
        wait(cluster, pool, &mut waiting).await?;
    }
}

/// A new HTTP/2 connection, which others may share from now on.
pub(crate) async fn open_h2(
    cluster: &LocalCluster,
    pool: &Rc<EndpointPool>,
    target: &Target,
    place: Place,
    limits: &Limits,
) -> Result<H2Connection, AcquireError> {
    let io = open(cluster, target).await?;
    let config = &cluster.shared.config.connection_pool;
    let max_requests = config.max_requests_per_connection;
    let connection = H2Connection::open(io, place, max_requests, config.connect_timeout, limits)
        .await
        .map_err(|error| AcquireError::Handshake(target.clone(), error))?;
    pool.share(connection.clone());
    Ok(connection)
}

/// A connection with TLS, if the cluster has it.
pub(crate) async fn open(cluster: &LocalCluster, target: &Target) -> Result<Io, AcquireError> {
    let tls = cluster.shared.tls.as_ref();
    open_with(cluster, target, tls).await
}

/// The same for bytes of which nothing is known: TLS names no protocol.
pub(crate) async fn open_for_bytes(
    cluster: &LocalCluster,
    target: &Target,
) -> Result<Io, AcquireError> {
    let tls = cluster.shared.tls.as_ref().map(ClientTls::without_alpn);
    open_with(cluster, target, tls.as_ref()).await
}

async fn open_with(
    cluster: &LocalCluster,
    target: &Target,
    tls: Option<&ClientTls>,
) -> Result<Io, AcquireError> {
    let config = &cluster.shared.config.connection_pool;
    let opening = connect(target, config.tcp_keepalive.as_ref(), tls);
    match timeout_at((Instant::now() + config.connect_timeout).into(), opening).await {
        Ok(Ok(io)) => Ok(io),
        Ok(Err(error)) => Err(AcquireError::Connect(target.clone(), error)),
        Err(_) => Err(AcquireError::Timeout(
            target.clone(),
            config.connect_timeout,
        )),
    }
}

/// Waits for a connection to be given back, as one of at most `max_pending_requests`.
async fn wait(
    cluster: &LocalCluster,
    pool: &Rc<EndpointPool>,
    waiting: &mut Option<Permit>,
) -> Result<(), AcquireError> {
    if waiting.is_none() {
        let limit = cluster.shared.config.connection_pool.max_pending_requests;
        *waiting = Permit::acquire(&cluster.shared.usage, |usage| &usage.pending, limit);
        if waiting.is_none() {
            return Err(AcquireError::Overflow);
        }
    }
    pool.released().await;
    Ok(())
}
