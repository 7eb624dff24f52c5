//! The TCP echo: a line-based dialogue that says where a connection ended.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::Pod;
use super::http::Tls;

/// What it says first.
const WELCOME: &str = "Gateway API Test TCP Server\n";

/// Serves a connection until its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    pod: Arc<Pod>,
    stream: S,
    tls: Option<Tls>,
) {
    // However a connection ends, its client sees it.
    let _ended = talk(&pod, stream, tls.as_ref()).await;
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    pod: &Pod,
    stream: S,
    tls: Option<&Tls>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(WELCOME.as_bytes()).await?;
    stream.flush().await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim_end() {
            "TEST" => assertions(pod, tls),
            "IS_TLS" => tls.is_some().to_string(),
            "PING" => "PONG".to_owned(),
            _ => continue,
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        stream.flush().await?;
    }
}

fn assertions(pod: &Pod, tls: Option<&Tls>) -> String {
    let mut said = json!({
        "namespace": pod.namespace, "pod": pod.name, "isTLS": tls.is_some(),
    });
    if let Some(tls) = tls {
        said["tls"] = json!({"serverName": tls.server_name});
    }
    said.to_string()
}
