//! A message over a WebSocket and back.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::{connect, in_time};

/// Opens `path` as a WebSocket, sends `text` and returns what comes back.
pub(crate) async fn echo(address: SocketAddr, path: &str, text: &str) -> Result<String> {
    let exchange = async {
        let stream = connect(address, None).await?;
        let (mut socket, _) = client_async(format!("ws://{address}{path}"), stream)
            .await
            .context("the WebSocket's handshake")?;
        socket
            .send(Message::text(text))
            .await
            .context("send a message")?;
        match socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(text.as_str().to_owned()),
            other => bail!("a message of text was expected, got {other:?}"),
        }
    };
    in_time("the WebSocket", exchange).await
}
