//! The HTTP echo: a JSON object that says what arrived and where.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::retries::duration;
use super::{MARK, Pod, Seen};

/// Tells the echo which headers to answer with, as `name:value,name:value`.
const SET_HEADER: &str = "x-echo-set-header";

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1.1 only, as Go's server without TLS.
    One,
    /// HTTP/2 with prior knowledge only.
    Two,
    /// Whatever the client begins with.
    Both,
}

/// What is known of a connection that ended its TLS here.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    pub(super) server_name: String,
    pub(super) alpn: String,
    /// Their bytes in base64, the client's own first.
    pub(super) peer_certificates: Vec<String>,
}

/// The socket itself, to be reset in the midst of a request.
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn of(stream: &TcpStream) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self(stream.as_fd().try_clone_to_owned()?)))
    }

    /// From now on closing it sends RST.
    fn reset(&self) {
        // Fails only on a socket that is closed already.
        let _closed = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

/// Serves a connection until its end.
pub(super) async fn serve<S>(
    pod: Arc<Pod>,
    stream: S,
    socket: Arc<Socket>,
    tls: Option<Tls>,
    versions: Versions,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| {
        let (pod, socket, tls) = (Arc::clone(&pod), Arc::clone(&socket), tls.clone());
        async move { answer(&pod, request, &socket, tls.as_ref()).await }
    });
    let mut auto = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    auto.http1().preserve_header_case(true);
    let builder = match versions {
        Versions::One => auto.http1_only(),
        Versions::Two => auto.http2_only(),
        Versions::Both => auto,
    };
    // However a connection ends, its client sees it.
    let _ended = builder.serve_connection_with_upgrades(io, service).await;
}

/// The connection is to be reset.
#[derive(Debug)]
struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset as the request asked for")
    }
}

impl std::error::Error for Reset {}

async fn answer(
    pod: &Pod,
    request: Request<Incoming>,
    socket: &Socket,
    tls: Option<&Tls>,
) -> Result<Response<Full<Bytes>>, Reset> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    note(pod, &path, request.headers());
    if path == "/ws" && request.headers().contains_key(UPGRADE) {
        return Ok(websocket(request));
    }
    if let Some(failure) = pod.retries.failure(&path) {
        tokio::time::sleep(failure.delay).await;
        let Some(status) = failure
            .status
            .and_then(|code| StatusCode::from_u16(code).ok())
        else {
            socket.reset();
            return Err(Reset);
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        return Ok(response);
    }
    if let Some(delay) = query(&path, "delay").and_then(duration) {
        tokio::time::sleep(delay).await;
    }
    let (head, body) = request.into_parts();
    // What was sent is read, so that a mirror's or a retry's body shows as it does in a real server.
    let _body = body.collect().await;
    let text = assertions(pod, &path, &head, tls).to_string();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    set_headers(&head.headers, response.headers_mut());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Keeps what a request marked so looked like.
pub(super) fn note(pod: &Pod, path: &str, headers: &HeaderMap) {
    let Some(mark) = headers.get(MARK).and_then(|mark| mark.to_str().ok()) else {
        return;
    };
    pod.log.add(Seen {
        mark: mark.to_owned(),
        pod: pod.name.clone(),
        path: path.to_owned(),
        headers: pairs(headers),
    });
}

/// Headers as text, in their order.
pub(super) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

fn assertions(pod: &Pod, path: &str, head: &http::request::Parts, tls: Option<&Tls>) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in pairs(&head.headers) {
        let values = headers.entry(name).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(Value::String(value));
        }
    }
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let host = head.headers.get("host").and_then(|host| host.to_str().ok());
    let proto = match head.version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let mut said = json!({
        "path": path, "host": authority.or(host).unwrap_or_default(), "method": head.method.as_str(),
        "proto": proto, "headers": headers,
        "namespace": pod.namespace, "ingress": "", "service": "", "pod": pod.name,
    });
    if let Some(tls) = tls {
        said["tls"] = json!({
            "serverName": tls.server_name, "negotiatedProtocol": tls.alpn,
            "peerCertificates": tls.peer_certificates,
        });
    }
    said
}

fn set_headers(asked: &HeaderMap, answer: &mut HeaderMap) {
    let lists = asked
        .get_all(SET_HEADER)
        .into_iter()
        .filter_map(|list| list.to_str().ok());
    for pair in lists.flat_map(|list| list.split(',')) {
        let Some((name, value)) = pair.trim().split_once(':') else {
            continue;
        };
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
        else {
            continue;
        };
        answer.append(name, value);
    }
}

/// Echoes messages until the client closes.
fn websocket(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        use futures_util::{SinkExt, StreamExt};
        let Ok(upgraded) = upgraded.await else { return };
        let mut socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let data = message.is_text() || message.is_binary();
            if data && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// A parameter of a path's query.
pub(super) fn query<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let (_, query) = path.split_once('?')?;
    let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    parameters
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// For services that cannot fail.
pub(super) type Sure<T> = Result<T, Infallible>;
