//! The admin server: read-only, on loopback unless told otherwise.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::Duration;

use http1::{Limits, RequestHead, Slots};
use tokio::net::TcpListener;

use crate::buffer::Buffer;
use crate::inspector::Inspector;
use crate::transport::{Io, shutdown, write_all};

/// A whole exchange with the admin server takes at most this.
const TIMEOUT: Duration = Duration::from_secs(10);

const INDEX: &str = "\
dalbi admin
  /ready           200 while serving, 503 while draining
  /live            200 while the process runs
  /metrics         Prometheus text format
  /clusters        endpoints and how they fare (?format=json)
  /listeners       what is listened on
  /config/status   what became of the configurations so far (JSON)
  /config_dump     the configuration in force, without secrets
";

/// Answers for ever.
pub(crate) async fn serve(inspector: Inspector, socket: std::net::TcpListener) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "admin socket can't be registered"),
    };
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let inspector = inspector.clone();
                tokio::task::spawn_local(async move {
                    let io = RefCell::new(Io::Tcp(stream));
                    // A client that is too slow or goes away is its own trouble.
                    drop(tokio::time::timeout(TIMEOUT, answer(&inspector, &io)).await);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(inspector: &Inspector, io: &RefCell<Io>) -> std::io::Result<()> {
    let mut buffer = Buffer::default();
    let response = loop {
        if buffer.fill(io).await? == 0 {
            return Ok(());
        }
        let mut slots = Slots::new();
        match RequestHead::parse(buffer.filled(), &Limits::default(), &mut slots) {
            Ok(None) => {}
            Ok(Some(head)) => break Response::to(inspector, head.method(), head.path_and_query()),
            Err(error) => break Response::text(error.status(), format!("{error}\n")),
        }
    };
    let mut head = String::new();
    write!(
        head,
        "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        http::StatusCode::from_u16(response.status).unwrap_or_default(),
        response.kind,
        response.body.len()
    )
    .expect("a string takes all");
    let body = if response.head_only {
        ""
    } else {
        &response.body
    };
    write_all(io, head.as_bytes(), body.as_bytes()).await?;
    shutdown(io).await
}

struct Response {
    status: u16,
    kind: &'static str,
    body: String,
    head_only: bool,
}

impl Response {
    fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.into(),
            head_only: false,
        }
    }

    fn json(value: &impl serde::Serialize) -> Self {
        let mut body = serde_json::to_string_pretty(value).expect("views have only string keys");
        body.push('\n');
        Self {
            kind: "application/json",
            ..Self::text(200, body)
        }
    }

    fn to(inspector: &Inspector, method: &str, target: &str) -> Self {
        if !matches!(method, "GET" | "HEAD") {
            return Self::text(405, "the admin server is read-only: use GET\n");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let wants_json = query.split('&').any(|pair| pair == "format=json");
        let mut response = match path {
            "/" | "/help" => Self::text(200, INDEX),
            "/live" => Self::text(200, "live\n"),
            "/ready" if inspector.is_draining() => Self::text(503, "draining\n"),
            "/ready" => Self::text(200, "ready\n"),
            "/metrics" => Self {
                kind: "text/plain; version=0.0.4; charset=utf-8",
                ..Self::text(200, inspector.metrics())
            },
            "/clusters" if wants_json => Self::json(&inspector.clusters()),
            "/clusters" => Self::text(200, inspector.clusters_text()),
            "/listeners" => Self::json(&inspector.listeners()),
            "/config/status" => Self::json(&inspector.config_status()),
            "/config_dump" => Self::text(200, inspector.config_dump()),
            _ => Self::text(404, format!("no such page: {path}\n\n{INDEX}")),
        };
        response.head_only = method == "HEAD";
        response
    }
}
