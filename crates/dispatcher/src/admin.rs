//! The admin server: read-only, on loopback unless told otherwise.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http1::{Limits, RequestHead, Slots};
use tokio::net::TcpListener;

use crate::buffer::Buffer;
use crate::control::Control;
use crate::transport::{Io, shutdown, write_all};
use crate::views::{ClusterView, ListenerView};

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
pub(crate) async fn serve(control: Arc<Control>, socket: std::net::TcpListener) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "admin socket can't be registered"),
    };
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let control = control.clone();
                tokio::task::spawn_local(async move {
                    let io = RefCell::new(Io::Tcp(stream));
                    // A client that is too slow or goes away is its own trouble.
                    drop(tokio::time::timeout(TIMEOUT, answer(&control, &io)).await);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(control: &Control, io: &RefCell<Io>) -> std::io::Result<()> {
    let mut buffer = Buffer::default();
    let response = loop {
        if buffer.fill(io).await? == 0 {
            return Ok(());
        }
        let mut slots = Slots::new();
        match RequestHead::parse(buffer.filled(), &Limits::default(), &mut slots) {
            Ok(None) => {}
            Ok(Some(head)) => break Response::to(control, head.method(), head.path_and_query()),
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

    fn to(control: &Control, method: &str, target: &str) -> Self {
        if !matches!(method, "GET" | "HEAD") {
            return Self::text(405, "the admin server is read-only: use GET\n");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let wants_json = query.split('&').any(|pair| pair == "format=json");
        let mut response = match path {
            "/" | "/help" => Self::text(200, INDEX),
            "/live" => Self::text(200, "live\n"),
            "/ready" if control.shared.draining.load(Ordering::Relaxed) => {
                Self::text(503, "draining\n")
            }
            "/ready" => Self::text(200, "ready\n"),
            "/metrics" => {
                let mut text = String::new();
                control.write_metrics(&mut text);
                Self {
                    kind: "text/plain; version=0.0.4; charset=utf-8",
                    ..Self::text(200, text)
                }
            }
            "/clusters" if wants_json => Self::json(&ClusterView::all(&control.snapshot())),
            "/clusters" => Self::text(200, clusters_text(&ClusterView::all(&control.snapshot()))),
            "/listeners" => Self::json(&ListenerView::all(&control.snapshot())),
            "/config/status" => Self::json(&control.status_json()),
            // Secrets redact themselves in `Debug`.
            "/config_dump" => Self::text(200, format!("{:#?}\n", control.snapshot().mesh)),
            _ => Self::text(404, format!("no such page: {path}\n\n{INDEX}")),
        };
        response.head_only = method == "HEAD";
        response
    }
}

fn clusters_text(clusters: &[ClusterView]) -> String {
    let mut text = String::new();
    for cluster in clusters {
        let admission = cluster.admission_limit.map_or_else(String::new, |limit| {
            let waiting = cluster.admission_waiting;
            format!("  admission_limit {limit} waiting {waiting}")
        });
        writeln!(
            text,
            "{}  connections {}{admission}",
            cluster.name, cluster.connections
        )
        .expect("a string takes all");
        for endpoint in &cluster.endpoints {
            let state = match (endpoint.healthy, endpoint.ejected) {
                (false, _) => "unhealthy",
                (true, true) => "ejected",
                (true, false) => "healthy",
            };
            let shown =
                |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
            let (latency, report_age) = (shown(endpoint.latency_ms), shown(endpoint.report_age_ms));
            writeln!(
                text,
                "  {:<24} {state:<9} weight {} in_flight {} requests {} successes {} failures {} latency_ms {latency} \
                 slowness {:.2} report_age_ms {report_age}",
                endpoint.address,
                endpoint.weight,
                endpoint.in_flight,
                endpoint.requests,
                endpoint.successes,
                endpoint.failures,
                endpoint.slowness,
            )
            .expect("a string takes all");
        }
    }
    text
}
