//! A server somewhere: where it is, whom to trust, and one request over a connection of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::UsageError;

/// To connect, with TLS: an admin server is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole answer: `/upgrade` waits a minute for the new process and some more for the store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of an answer: a generation's documents, with room.
const MAX_ANSWER: usize = 1024 * 1024 * 1024;

/// Where distributions keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("connect to {url}: {source}; does it listen there?")]
    Connect { url: String, source: std::io::Error },
    #[error(
        "TLS with {url}: {source}; --ca names the authority, --admin the host as its certificate has it"
    )]
    Tls { url: String, source: std::io::Error },
    #[error("{url} broke off: {reason}")]
    Lost { url: String, reason: String },
    #[error("{url} did not answer within {} s", .limit.as_secs())]
    Late { url: String, limit: Duration },
}

/// Who is believed, and who we are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// PEM; without, the system's authorities.
    pub(crate) authority: Option<PathBuf>,
    /// Certificate chain and key, PEM.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// A server that speaks HTTP/1.1.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: String,
    authority: Authority,
    port: u16,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.url)
    }
}

impl Endpoint {
    /// The server that a URL names. Files are read for `https` only.
    ///
    /// # Errors
    /// It is no URL of a server, or a file can't be used.
    pub(crate) fn of(url: &str, trust: &Trust) -> anyhow::Result<Self> {
        let strange = || {
            let text = format!("`{url}` is no server: write http://HOST:PORT or https://HOST:PORT");
            UsageError(anyhow::anyhow!(text))
        };
        let uri: Uri = url.parse().map_err(|_| strange())?;
        let authority = uri.authority().ok_or_else(strange)?.clone();
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(strange().into()),
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(strange().into());
        }
        let tls = match is_tls {
            false => None,
            true => {
                let name = bare(authority.host()).to_owned();
                let name = ServerName::try_from(name).map_err(|_| strange())?;
                Some((TlsConnector::from(Arc::new(config(trust)?)), name))
            }
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_tls { 443 } else { 80 }),
            authority,
            path: uri.path().trim_end_matches('/').to_owned(),
            tls,
        })
    }

    /// As it was named.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request whose URI is a path below the URL's, over a connection of its own, and reads the whole answer.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, EndpointError> {
        self.send_within(request, ANSWER_TIMEOUT).await
    }

    /// The same with a limit of its own.
    pub(crate) async fn send_within(
        &self,
        mut request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Bytes>, EndpointError> {
        let path = format!("{}{}", self.path, request.uri());
        *request.uri_mut() = path.parse().expect("two paths make one");
        let host = HeaderValue::from_str(self.authority.as_str());
        request
            .headers_mut()
            .insert(HOST, host.expect("authorities are plain"));
        let sending = async {
            let stream = self.connect(limit.min(CONNECT_TIMEOUT)).await?;
            match &self.tls {
                None => self.exchange(stream, request).await,
                Some((connector, name)) => {
                    let stream = connector.connect(name.clone(), stream).await;
                    let stream = stream.map_err(|source| EndpointError::Tls {
                        url: self.url.clone(),
                        source,
                    })?;
                    self.exchange(stream, request).await
                }
            }
        };
        match tokio::time::timeout(limit, sending).await {
            Ok(answered) => answered,
            Err(_) => Err(self.late(limit)),
        }
    }

    async fn connect(&self, limit: Duration) -> Result<TcpStream, EndpointError> {
        let connecting = TcpStream::connect((bare(self.authority.host()), self.port));
        match tokio::time::timeout(limit, connecting).await {
            Ok(connected) => connected.map_err(|source| EndpointError::Connect {
                url: self.url.clone(),
                source,
            }),
            Err(_) => Err(self.late(limit)),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, EndpointError> {
        let lost = |reason: String| EndpointError::Lost {
            url: self.url.clone(),
            reason,
        };
        let (mut sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| lost(error.to_string()))?;
        let exchange = async {
            let answer = sender.send_request(request).await;
            let (head, body) = answer
                .map_err(|error| lost(error.to_string()))?
                .into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| lost(error.to_string()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        // The connection moves the bytes, and ends with the answer.
        let drive = async {
            drop(connection.await);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answered = exchange => answered,
            () = drive => unreachable!("it never ends"),
        }
    }

    fn late(&self, limit: Duration) -> EndpointError {
        EndpointError::Late {
            url: self.url.clone(),
            limit,
        }
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

fn config(trust: &Trust) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(trust)?);
    let Some((chain, key)) = &trust.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key_file = key.display();
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("read key {key_file}"))?;
    let config = builder.with_client_auth_cert(certificates(chain)?, key);
    config.context("use the certificate and key given by --cert and --key")
}

fn roots(trust: &Trust) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &trust.authority {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.with_context(|| format!("use {} as an authority", path.display()))?;
        }
        return Ok(roots);
    }
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut known = SYSTEM_AUTHORITIES.iter().map(PathBuf::from);
    let path = named.or_else(|| known.find(|path| path.is_file()));
    let path = path.context("this system has no file of authorities; name one with --ca")?;
    roots.add_parsable_certificates(certificates(&path)?);
    Ok(roots)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read certificates {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers() {
        let of = |url| Endpoint::of(url, &Trust::default());
        let endpoint = of("http://[::1]:15000/").unwrap();
        assert_eq!(
            (bare(endpoint.authority.host()), endpoint.port),
            ("::1", 15000)
        );
        assert_eq!(
            (endpoint.url(), endpoint.path.as_str()),
            ("http://[::1]:15000", "")
        );
        let endpoint = of("http://shop.example/below/").unwrap();
        assert_eq!((endpoint.port, endpoint.path.as_str()), (80, "/below"));
        for bad in [
            "",
            "127.0.0.1:15000",
            "/x",
            "ftp://a",
            "http://me@a",
            "http://a/?b",
        ] {
            let error = of(bad).unwrap_err();
            assert!(error.is::<UsageError>(), "{bad}: {error}");
        }
    }
}
