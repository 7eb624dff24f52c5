//! What anybody who can reach the server may read.

use std::fmt::Write;

use bytes::Bytes;
use dispatcher::{ClusterView, Inspector};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Response, StatusCode, Uri};
use http_body_util::Full;

use super::Answer;
use crate::api::Problem;

const INDEX: &str = "\
dalbi admin
  /ready            200 while serving, 503 while draining
  /live             200 while the process runs
  /metrics          Prometheus text format
  /clusters         endpoints and how they fare (?format=json)
  /listeners        what is listened on
  /config/status    what became of the configurations so far (JSON)
  /config_dump      the configuration in force, without secrets
  /generations      every configuration there was, and what is being tried (JSON)
";

/// The page at a path; `None` if it is not one of these.
pub(super) fn page(inspector: &Inspector, uri: &Uri) -> Option<Answer> {
    let wants_json = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair == "format=json");
    Some(match uri.path() {
        "/" | "/help" => text(StatusCode::OK, INDEX),
        "/live" => text(StatusCode::OK, "live\n"),
        "/ready" if inspector.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/ready" => text(StatusCode::OK, "ready\n"),
        "/metrics" => typed(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            inspector.metrics(),
        ),
        "/clusters" if wants_json => json(StatusCode::OK, &inspector.clusters()),
        "/clusters" => text(StatusCode::OK, clusters_text(&inspector.clusters())),
        "/listeners" => json(StatusCode::OK, &inspector.listeners()),
        "/config/status" => json(StatusCode::OK, &inspector.config_status()),
        "/config_dump" => text(StatusCode::OK, inspector.config_dump()),
        _ => return None,
    })
}

/// For a path that is not there, or not to be changed.
pub(super) fn nothing_here(path: &str, is_read: bool) -> Answer {
    if is_read {
        text(
            StatusCode::NOT_FOUND,
            format!("no such page: {path}\n\n{INDEX}"),
        )
    } else {
        text(
            StatusCode::METHOD_NOT_ALLOWED,
            "there is nothing to change here: use GET\n",
        )
    }
}

pub(super) fn problem(status: StatusCode, error: &str) -> Answer {
    let problem = Problem {
        error: error.to_owned(),
        findings: serde_json::Value::Null,
        current: None,
    };
    json(status, &problem)
}

pub(super) fn json(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    let mut body = serde_json::to_string_pretty(value).expect("answers have only string keys");
    body.push('\n');
    typed(status, "application/json", body)
}

fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body.into())
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let answer = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, kind)
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(Bytes::from(body)));
    answer.expect("these headers are valid")
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
