//! Endpoints' reports of their load, with answers or when asked.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alba::{LoadReport, Probe};
use dalbi_load::{HEADER, HEADER_BIN};
use http::HeaderMap;
use http1::{Body, RequestKind};
use mesh::UpstreamProtocol;

use crate::clock;
use crate::cluster::Members;
use crate::exchange::acquire;
use crate::http::body::{BodySink, Part};
use crate::http::h1_client::H1Connection;
use crate::http::upstream::ResponseSource;
use crate::http::view::{HeadVisitor, ResponseView};
use crate::options::Limits;
use crate::pool::EndpointPool;
use crate::snapshot::LocalCluster;
use crate::transport::connect::Target;
use crate::worker::Worker;

/// How long an endpoint has to say its load. One that takes longer says by that enough.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a probe's answer that are read so that its connection can be used again; the report is in the head.
const PROBE_BODY_BYTES: usize = 16 * 1024;

/// Informational heads before a probe's answer.
const PROBE_INFORMATIONAL: usize = 8;

/// One worker's counts. Only it writes them, so counting costs a plain addition.
#[derive(Debug, Default)]
pub(crate) struct LoadCounters {
    pub(crate) read: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) probes_answered: AtomicU64,
    pub(crate) probes_failed: AtomicU64,
}

impl LoadCounters {
    fn count(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The report among the fields that `field` finds, if there is one that can be read. Like Envoy and gRPC, we
    /// leave it in the answer; `headers.response.remove` takes it out.
    fn read<'v>(&self, field: impl Fn(&'static str) -> Option<&'v [u8]>) -> Option<LoadReport> {
        let read = match field(HEADER) {
            Some(value) => dalbi_load::LoadReport::parse(value),
            None => dalbi_load::LoadReport::parse_bin(field(HEADER_BIN)?),
        };
        match read {
            Ok(report) => {
                Self::count(&self.read);
                Some(as_the_balancer_takes_it(&report))
            }
            Err(error) => {
                tracing::debug!(%error, "load report can't be read");
                Self::count(&self.malformed);
                None
            }
        }
    }

    /// The report in an answer's head.
    pub(crate) fn in_head(&self, head: &impl ResponseView) -> Option<LoadReport> {
        self.read(|name| head.field(name))
    }

    /// The report in an answer's trailers.
    pub(crate) fn in_trailers(&self, trailers: &HeaderMap) -> Option<LoadReport> {
        self.read(|name| trailers.get(name).map(http::HeaderValue::as_bytes))
    }
}

fn as_the_balancer_takes_it(report: &dalbi_load::LoadReport) -> LoadReport {
    // Six digits say more of a load than anybody measures.
    let short = |value: Option<f64>| value.map(|value| value as f32);
    LoadReport {
        in_flight: report.in_flight,
        latency: report.latency,
        utilization: short(report.utilization()),
        requests_per_s: short(report.rps_fractional),
        errors_per_s: short(report.eps),
        draining: report.draining,
    }
}

/// An endpoint that the balancer wants to ask.
pub(crate) struct Asked {
    /// The balancer that asks, which wants to be told what came of it.
    pub(crate) members: Arc<Members>,
    pub(crate) probe: Probe,
}

/// Asks in a task of its own, over this worker's connections. No request waits for it.
pub(crate) fn ask(worker: &Worker, cluster: &Rc<LocalCluster>, asked: Asked) {
    let Asked { members, probe } = asked;
    let target = members.targets[probe.index() as usize].clone();
    let question = Question {
        cluster: cluster.clone(),
        pool: cluster.pool.endpoint(probe.id()),
        target,
        http1: worker.http1.clone(),
        limits: worker.options.limits.clone(),
        counters: worker.loads.clone(),
    };
    tokio::task::spawn_local(async move {
        let answer = tokio::time::timeout(PROBE_TIMEOUT, question.put()).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}")));
        let counters = &question.counters;
        let report = match answer {
            Ok(report) => {
                LoadCounters::count(&counters.probes_answered);
                Some(report)
            }
            Err(error) => {
                tracing::debug!(endpoint = %question.target, error, "load probe failed");
                LoadCounters::count(&counters.probes_failed);
                None
            }
        };
        members
            .balancer
            .probed(probe, report.as_ref(), clock::now());
    });
}

/// A GET for an endpoint's load.
struct Question {
    cluster: Rc<LocalCluster>,
    pool: Rc<EndpointPool>,
    target: Target,
    http1: http1::Limits,
    limits: Limits,
    counters: Arc<LoadCounters>,
}

impl Question {
    async fn put(&self) -> Result<LoadReport, String> {
        let config = &self.cluster.shared.config;
        let path = config.probe_path.as_deref().unwrap_or_default();
        match config.protocol {
            UpstreamProtocol::Http1 => self.over_h1(path, &config.host).await,
            UpstreamProtocol::Http2 => self.over_h2(path, &config.host).await,
        }
    }

    async fn over_h1(&self, path: &str, host: &str) -> Result<LoadReport, String> {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: dalbi-load-probe\r\n\r\n");
        let mut connection = match self.pool.idle() {
            Some(connection) => connection,
            None => {
                let place = self.pool.place(&self.cluster.shared).ok_or(NO_ROOM)?;
                let io = acquire::open(&self.cluster, &self.target)
                    .await
                    .map_err(text)?;
                H1Connection::new(io, place)
            }
        };
        let kind = RequestKind::default();
        let (mut up, mut source) =
            connection.exchange(head.as_bytes(), Body::Empty, kind, &self.http1);
        up.finish(None).await.map_err(text)?;
        let report = self.answer(&mut source).await?;
        let reusable = source.is_reusable();
        drop((up, source));
        let limit = self
            .cluster
            .shared
            .config
            .connection_pool
            .max_requests_per_connection;
        if reusable && (limit == 0 || connection.requests < limit) {
            self.pool.keep(connection, Instant::now());
        }
        Ok(report)
    }

    async fn over_h2(&self, path: &str, host: &str) -> Result<LoadReport, String> {
        let scheme = if self.cluster.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let request = http::Request::get(format!("{scheme}://{host}{path}"))
            .version(http::Version::HTTP_2)
            .header("user-agent", "dalbi-load-probe")
            .body(())
            .map_err(text)?;
        let connection = match self.pool.shared() {
            Some(connection) => connection,
            None => {
                // Where a request is opening one already, there will be an answer soon.
                let _opening = self.pool.opening.try_lock().map_err(text)?;
                let place = self.pool.place(&self.cluster.shared).ok_or(NO_ROOM)?;
                acquire::open_h2(&self.cluster, &self.pool, &self.target, place, &self.limits)
                    .await
                    .map_err(text)?
            }
        };
        let (stream, mut source) = connection.exchange(request, true).await.map_err(text)?;
        let answer = self.answer(&mut source).await;
        drop(stream);
        answer
    }

    /// Reads the answer to its end, unless that is far.
    async fn answer(&self, source: &mut impl ResponseSource) -> Result<LoadReport, String> {
        let mut head = Head {
            counters: &self.counters,
            report: None,
        };
        let mut informational = 0;
        while !source.head(&mut head).await.map_err(text)? {
            informational += 1;
            if informational > PROBE_INFORMATIONAL {
                return Err("informational responses without end".to_owned());
            }
        }
        let mut report = head.report;
        let mut bytes = 0;
        while bytes <= PROBE_BODY_BYTES {
            match source.next().await.map_err(text)? {
                Part::Data(data) => bytes += data.len(),
                Part::End(trailers) => {
                    let trailers = trailers.as_deref();
                    let said = trailers.and_then(|trailers| self.counters.in_trailers(trailers));
                    report = said.or(report);
                    break;
                }
            }
        }
        report.ok_or_else(|| format!("the answer has no `{HEADER}` that can be read"))
    }
}

const NO_ROOM: &str = "as many connections are open as may be";

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Looks for a report; true once the head is the final one.
struct Head<'c> {
    counters: &'c LoadCounters,
    report: Option<LoadReport>,
}

impl HeadVisitor for Head<'_> {
    type Output = bool;

    fn visit(&mut self, head: &impl ResponseView) -> bool {
        if head.status() < 200 {
            return false;
        }
        self.report = self.counters.in_head(head);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_str(value).unwrap())
        });
        fields.collect()
    }

    #[test]
    fn reports_are_read_in_every_spelling() {
        let counters = LoadCounters::default();
        let expected = LoadReport {
            in_flight: Some(3),
            utilization: Some(0.5),
            ..LoadReport::default()
        };
        let said = dalbi_load::LoadReport {
            in_flight: Some(3),
            application_utilization: Some(0.5),
            ..dalbi_load::LoadReport::default()
        };
        for format in [
            dalbi_load::Format::Text,
            dalbi_load::Format::Json,
            dalbi_load::Format::Bin,
        ] {
            let trailers = trailers(&[(HEADER, &said.to_header(format))]);
            assert_eq!(
                counters.in_trailers(&trailers),
                Some(expected),
                "{format:?}"
            );
        }
        let trailers = trailers(&[(HEADER_BIN, &said.to_header_bin())]);
        assert_eq!(counters.in_trailers(&trailers), Some(expected));
        assert_eq!(counters.read.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_what_is_not_there_is_not() {
        let counters = LoadCounters::default();
        assert_eq!(counters.in_trailers(&HeaderMap::new()), None);
        assert_eq!(counters.malformed.load(Ordering::Relaxed), 0);
        let trailers = trailers(&[(HEADER, "TEXT in_flight=lots")]);
        assert_eq!(counters.in_trailers(&trailers), None);
        assert_eq!(counters.malformed.load(Ordering::Relaxed), 1);
        assert_eq!(counters.read.load(Ordering::Relaxed), 0);
    }
}
