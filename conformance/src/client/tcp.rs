//! A dialogue with the TCP echo.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{Stream, Tls, connect, in_time};

/// Where to have it.
#[derive(Debug, Clone)]
pub(crate) struct Dialogue {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
}

impl Dialogue {
    /// Only connects and shakes hands; an error if that is refused.
    pub(crate) async fn handshake(&self) -> Result<()> {
        let connecting = async { connect(self.address, self.tls.as_ref()).await.map(drop) };
        in_time("the handshake", connecting).await
    }

    /// What the echo says of itself and the connection.
    pub(crate) async fn ask(&self) -> Result<Value> {
        in_time("the dialogue", self.talk()).await
    }

    async fn talk(&self) -> Result<Value> {
        let mut stream = BufReader::new(connect(self.address, self.tls.as_ref()).await?);
        let welcome = line(&mut stream).await?;
        ensure!(
            welcome.starts_with("Gateway API Test TCP Server"),
            "another server said {welcome:?} first"
        );
        stream.write_all(b"PING\n").await?;
        let pong = line(&mut stream).await?;
        ensure!(pong == "PONG", "PING was answered with {pong:?}");
        stream.write_all(b"TEST\n").await?;
        let said = line(&mut stream).await?;
        serde_json::from_str(&said).with_context(|| format!("{said:?} is no JSON"))
    }
}

async fn line(stream: &mut BufReader<Box<dyn Stream>>) -> Result<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.context("read a line")?;
    ensure!(read > 0, "the connection was closed without a word");
    Ok(line.trim_end().to_owned())
}
