//! A plain client for HTTP/1.1 and for HTTP/2 by prior knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::PATIENCE;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    /// All of it.
    pub body: Bytes,
    /// After the body.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The status code as a number.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// A header's first value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.head
            .headers
            .get(name)
            .map_or("", |value| value.to_str().expect("test headers are ASCII"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Which upstream answered.
    pub fn upstream(&self) -> &str {
        self.header("x-upstream-name")
    }
}

/// A request with an empty body; `Host` is `test` unless `headers` say otherwise.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    request_with_body(method, path, headers, Bytes::new())
}

/// A request with a body of known length.
pub fn request_with_body(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        builder = builder.header("host", "test");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder
        .body(Full::new(body.into()))
        .expect("a well-formed request")
}

/// GET over HTTP/1.1 on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, request("GET", path, &[])).await
}

/// One request over HTTP/1.1 on a connection of its own.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    try_send(address, request)
        .await
        .unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The same, where it may fail.
pub async fn try_send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
    Connection::open(address).await?.send(request).await
}

/// One request over HTTP/2 by prior knowledge on a connection of its own. The request's `Host` becomes its authority.
pub async fn send_h2(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    try_send_h2(address, request)
        .await
        .unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The same, where it may fail.
pub async fn try_send_h2(
    address: SocketAddr,
    mut request: Request<Full<Bytes>>,
) -> Result<Answer, Error> {
    let host = request
        .headers_mut()
        .remove("host")
        .expect("requests have a host");
    let uri = format!("http://{}{}", host.to_str().unwrap(), request.uri());
    *request.uri_mut() = uri.parse().unwrap();
    let sending = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        answer(sender.send_request(request).await?).await
    };
    in_time(sending).await
}

/// What can go wrong on the way.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A kept HTTP/1.1 connection.
pub struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, Error> {
        in_time(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection.with_upgrades());
            Ok(Self(sender))
        })
        .await
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        in_time(async {
            self.0.ready().await?;
            answer(self.0.send_request(request).await?).await
        })
        .await
    }
}

async fn answer(response: Response<hyper::body::Incoming>) -> Result<Answer, Error> {
    let (head, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(Answer {
        head,
        body: collected.to_bytes(),
        trailers,
    })
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("nothing after {PATIENCE:?}").into()),
    }
}
