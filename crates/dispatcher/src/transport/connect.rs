//! Opening connections to endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mesh::TcpKeepalive;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use super::Io;

/// A resolved place to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// An IP and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// TLS towards an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    /// Trust anchors, client certificate, ALPN.
    pub(crate) config: Arc<rustls::ClientConfig>,
    /// What the server has to be called.
    pub(crate) server_name: ServerName<'static>,
}

impl ClientTls {
    /// The same without naming a protocol.
    pub(crate) fn without_alpn(&self) -> Self {
        let mut config = rustls::ClientConfig::clone(&self.config);
        config.alpn_protocols.clear();
        Self {
            config: Arc::new(config),
            server_name: self.server_name.clone(),
        }
    }
}

/// Connects and, where `tls` is given, shakes hands. No timeout: the caller's timer guards it.
pub(crate) async fn connect(
    target: &Target,
    keepalive: Option<&TcpKeepalive>,
    tls: Option<&ClientTls>,
) -> io::Result<Io> {
    let stream = match target {
        Target::Tcp(address) => TcpStream::connect(address).await?,
        // Plain text would be less than the documents ask for.
        Target::Unix(path) if tls.is_some() => {
            let path = path.display();
            let reason = format!("TLS over the Unix socket {path} is not served; remove `tls`");
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        Target::Unix(path) => return UnixStream::connect(path).await.map(Io::Unix),
    };
    stream.set_nodelay(true)?;
    if let Some(keepalive) = keepalive {
        set_keepalive(&stream, keepalive)?;
    }
    let Some(tls) = tls else {
        return Ok(Io::Tcp(stream));
    };
    let connector = tokio_rustls::TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.server_name.clone(), stream).await?;
    Ok(Io::Tls(Box::new(stream.into())))
}

fn set_keepalive(stream: &TcpStream, keepalive: &TcpKeepalive) -> io::Result<()> {
    let mut settings = socket2::TcpKeepalive::new();
    if let Some(time) = keepalive.time {
        settings = settings.with_time(time);
    }
    if let Some(interval) = keepalive.interval {
        settings = settings.with_interval(interval);
    }
    if let Some(probes) = keepalive.probes {
        settings = settings.with_retries(probes);
    }
    socket2::SockRef::from(stream).set_tcp_keepalive(&settings)
}
