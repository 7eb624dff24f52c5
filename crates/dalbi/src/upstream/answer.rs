//! From a request to the test server's answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use serde::Serialize;

use super::body::{self, Body};
use super::overrides::{self, Abort, Overrides};
use super::server::Connection;
use super::{Fate, Upstream, grpc, websocket};

/// Text of a longer request body is left out of the echo.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;

/// The request asked for a broken connection.
#[derive(Debug, thiserror::Error)]
#[error("aborted on request")]
pub(crate) struct Aborted;

/// Takes away the body where there must be none. Over HTTP/1.1 hyper does so by itself; over HTTP/2 it would
/// send it, which is a protocol error.
fn leave_out_body(method: &Method, response: &mut Response<Body>) {
    let no_content = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if *method != Method::HEAD && !no_content {
        return;
    }
    let length = response.body().size_hint().exact();
    *response.body_mut() = body::full(Vec::new());
    let headers = response.headers_mut();
    if no_content {
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = length {
        headers
            .entry(CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
}

/// A request as the test server saw it.
#[derive(Debug, Serialize)]
struct Echo<'a> {
    name: &'a str,
    protocol: &'static str,
    tls: bool,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    host: Cow<'a, str>,
    /// A list each, since order and repetition are what proxies get wrong.
    headers: BTreeMap<&'a str, Vec<Cow<'a, str>>>,
    body: EchoBody,
    port: u16,
    peer: String,
}

#[derive(Debug, Default, Serialize)]
struct EchoBody {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trailers: BTreeMap<String, Vec<String>>,
}

impl Upstream {
    /// Answers one request as this server's behaviour and the request's overrides say.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response<Body>, Aborted> {
        let is_grpc = grpc::is_grpc(request.headers());
        let mut overrides = Overrides::default();
        let mut response = match read_overrides(&mut overrides, &request) {
            Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
            Ok(()) => match self.work(&overrides).await? {
                Some(status) if is_grpc => {
                    grpc::status(grpc::UNAVAILABLE, status.canonical_reason().unwrap_or(""))
                }
                Some(status) => text(
                    status,
                    format!("{} answers {status}\n", self.behaviour.name),
                ),
                None if websocket::is_upgrade(request.headers()) => websocket::accept(request),
                None if is_grpc => match overrides.grpc_status {
                    Some(code) => grpc::status(code, "as asked"),
                    None => grpc::echo(
                        request.headers().get(CONTENT_TYPE).cloned(),
                        request.into_body(),
                    ),
                },
                None => self.answer_plain(request, &overrides, connection).await?,
            },
        };
        if response.status().is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let headers = response.headers_mut();
        headers.insert("x-upstream-name", self.name_header.clone());
        headers.insert(
            "x-upstream-port",
            HeaderValue::from(connection.local.port()),
        );
        headers.extend(overrides.headers);
        Ok(response)
    }

    /// Waits as long as the work takes; `Some` is a failure to answer with.
    async fn work(&self, overrides: &Overrides) -> Result<Option<StatusCode>, Aborted> {
        let fate = self.fate();
        let Ok(_slot) = self.gate.enter().await else {
            return Ok(Some(StatusCode::SERVICE_UNAVAILABLE));
        };
        // What the request asks for goes before what chance has in store.
        let service_time = match (overrides.delay, fate) {
            _ if overrides.hang => std::future::pending().await,
            (Some(delay), _) => delay,
            (None, Fate::Answer(service_time)) => service_time,
            (None, Fate::Hang) => std::future::pending().await,
            (None, Fate::Fail) if overrides.status.is_some() => Duration::ZERO,
            (None, Fate::Fail) => return Ok(Some(self.behaviour.error_status)),
        };
        if !service_time.is_zero() {
            tokio::time::sleep(service_time).await;
        }
        match overrides.abort {
            Some(Abort::Head) => Err(Aborted),
            _ => Ok(None),
        }
    }

    async fn answer_plain(
        &self,
        request: Request<Incoming>,
        overrides: &Overrides,
        connection: Connection,
    ) -> Result<Response<Body>, Aborted> {
        let (parts, request_body) = request.into_parts();
        let abort_after = match overrides.abort {
            Some(Abort::Body(bytes)) => Some(bytes),
            _ => None,
        };
        let size_bytes = overrides.size_bytes.or(self.behaviour.body_bytes);
        let mut response = if overrides.echo_body {
            let mut response = Response::new(body::echoed(request_body));
            if let Some(content_type) = parts.headers.get(CONTENT_TYPE) {
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, content_type.clone());
            }
            response
        } else if size_bytes.is_some() || abort_after.is_some() {
            // An aborted body promises more than it sends.
            let bytes = size_bytes.unwrap_or_else(|| abort_after.unwrap_or(0).saturating_add(1024));
            // What is left unread of the request would keep the connection from being used again.
            drain(request_body).await?;
            let mut response = Response::new(body::filled(self.filler.clone(), bytes, abort_after));
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        } else {
            let json = self.echo(&parts, read(request_body).await?, connection);
            let mut response = Response::new(body::full(json));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        *response.status_mut() = overrides.status.unwrap_or(StatusCode::OK);
        leave_out_body(&parts.method, &mut response);
        Ok(response)
    }

    fn echo(&self, parts: &Parts, body: EchoBody, connection: Connection) -> Vec<u8> {
        let mut headers: BTreeMap<&str, Vec<Cow<'_, str>>> = BTreeMap::new();
        for (name, value) in &parts.headers {
            headers
                .entry(name.as_str())
                .or_default()
                .push(String::from_utf8_lossy(value.as_bytes()));
        }
        let host = match (parts.uri.authority(), parts.headers.get(HOST)) {
            (Some(authority), _) => Cow::Borrowed(authority.as_str()),
            (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()),
            (None, None) => Cow::Borrowed(""),
        };
        let echo = Echo {
            name: &self.behaviour.name,
            protocol: match parts.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            tls: connection.tls,
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
            host,
            headers,
            body,
            port: connection.local.port(),
            peer: connection.peer.to_string(),
        };
        let mut json = serde_json::to_vec_pretty(&echo).expect("strings and numbers are JSON");
        json.push(b'\n');
        json
    }

    /// `GET` tells, `POST /healthz?healthy=false` (or `true`) changes what is told.
    pub(super) fn answer_health(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.method() == Method::POST || request.method() == Method::PUT {
            match request.uri().query() {
                Some("healthy=true") => self.healthy.store(true, Ordering::Relaxed),
                Some("healthy=false") => self.healthy.store(false, Ordering::Relaxed),
                _ => {
                    let help = "write POST /healthz?healthy=true or POST /healthz?healthy=false\n";
                    return text(StatusCode::BAD_REQUEST, help.to_owned());
                }
            }
        }
        let mut response = if self.healthy.load(Ordering::Relaxed) {
            text(StatusCode::OK, "healthy\n".to_owned())
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "unhealthy\n".to_owned())
        };
        response
            .headers_mut()
            .insert("x-upstream-name", self.name_header.clone());
        response
    }
}

fn read_overrides(
    overrides: &mut Overrides,
    request: &Request<Incoming>,
) -> Result<(), overrides::OverrideError> {
    if let Some(query) = request.uri().query() {
        overrides.read(query)?;
    }
    match request.headers().get(overrides::HEADER) {
        Some(value) => overrides.read(&String::from_utf8_lossy(value.as_bytes())),
        None => Ok(()),
    }
}

fn text(status: StatusCode, message: String) -> Response<Body> {
    let mut response = Response::new(body::full(message));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// Counts a body, keeping its text while that is short.
async fn read(mut body: Incoming) -> Result<EchoBody, Aborted> {
    let mut echo = EchoBody::default();
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        // The client went away in the middle: nobody is left to be answered.
        let frame = frame.map_err(|_| Aborted)?;
        if let Some(data) = frame.data_ref() {
            echo.bytes += data.len() as u64;
            if echo.bytes <= TEXT_LIMIT_BYTES as u64 {
                kept.extend_from_slice(data);
            }
        } else if let Ok(trailers) = frame.into_trailers() {
            for (name, value) in &trailers {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                echo.trailers
                    .entry(name.to_string())
                    .or_default()
                    .push(value);
            }
        }
    }
    if echo.bytes <= TEXT_LIMIT_BYTES as u64 {
        echo.text = String::from_utf8(kept).ok();
    }
    Ok(echo)
}

async fn drain(mut body: Incoming) -> Result<(), Aborted> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| Aborted)?;
    }
    Ok(())
}
