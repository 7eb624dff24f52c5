//! The WebSocket side of the test server: text and binary messages come back as they are.

use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::body::{self, Body};

/// Whether the client asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Switches protocols and echoes in the background (RFC 6455 section 4.2.2).
pub(crate) fn accept(request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let version_13 = request
        .headers()
        .get(SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version == "13");
    let (Some(key), true) = (key, version_13) else {
        let mut response = Response::new(body::full(
            "a WebSocket handshake needs sec-websocket-key and version 13\n",
        ));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value");
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(upgraded) => echo(upgraded).await,
            Err(error) => tracing::debug!(%error, "websocket upgrade failed"),
        }
    });
    let mut response = Response::new(body::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn echo(upgraded: Upgraded) {
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(message) = socket.next().await {
        // Pings and closes are answered by the crate as they are read.
        let answered = match message {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "websocket closed");
            return;
        }
    }
}
