//! Copies of requests, sent elsewhere and forgotten.
//!
//! A copy is a task of its own with a pick and a connection of its own. The request never waits for it: what it
//! can't take in time is dropped, with the copy, and so is what comes of it.

mod feed;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alba::{LoadReport, Outcome, PickRequest, Rng};
use bytes::Bytes;
use http1::{Body, RequestKind};

use self::feed::{FeedSource, Feeder, feed};
use super::acquire::{self, AcquireError};
use super::affinity::Affinity;
use super::attempt::outcome;
use super::encode::UpstreamHead;
use super::in_flight::InFlight;
use crate::clock;
use crate::cluster::Permit;
use crate::http::body::{BodySink, Part, Trailers, TransferError, transfer};
use crate::http::h2_body::H2Sink;
use crate::http::upstream::ResponseSource;
use crate::http::view::{HeadVisitor, ResponseView};
use crate::load_report::LoadCounters;
use crate::options::Limits;
use crate::pool::EndpointPool;
use crate::snapshot::LocalCluster;
use crate::telemetry::traffic::TrafficCounters;
use crate::timer::Timer;
use crate::transport::connect::Target;
use crate::worker::Worker;

/// Copies of a worker on their way at a time; each may hold a connection and wait for an answer.
const COPIES: usize = 1024;

/// How long a copy may take once all of it is there, if its route has no timeout: Envoy's default for a route.
const PATIENCE: Duration = Duration::from_secs(15);

/// Informational heads before an answer.
const INFORMATIONAL: usize = 32;

/// What copies take up of a worker.
#[derive(Debug, Default)]
pub(crate) struct Mirroring {
    /// On their way.
    copies: Cell<usize>,
    /// Of bodies that wait.
    bytes: Cell<usize>,
}

/// A copy to be made of a request.
pub(crate) struct Copy {
    pub(crate) cluster: Rc<LocalCluster>,
    pub(crate) head: UpstreamHead,
    pub(crate) affinity: Affinity,
}

/// What all copies of a request share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common {
    pub(crate) body: Body,
    pub(crate) is_head: bool,
    /// The route's.
    pub(crate) timeout: Option<Duration>,
}

/// Why no copy was sent, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Too many are on their way.
    Busy,
    /// The body came faster than it was taken.
    Slow,
    /// A circuit breaker of its cluster is open.
    Overflow,
    /// No endpoint may be used.
    NoEndpoint,
    /// There is no cluster.
    NoCluster,
}

impl Dropped {
    /// All reasons, in order.
    pub(crate) const ALL: [Self; 5] = [
        Self::Busy,
        Self::Slow,
        Self::Overflow,
        Self::NoEndpoint,
        Self::NoCluster,
    ];

    /// As a metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Overflow => "overflow",
            Self::NoEndpoint => "no_endpoint",
            Self::NoCluster => "no_cluster",
        }
    }
}

/// How a copy ended.
enum Ended {
    /// It was answered.
    Answered,
    /// It was sent, or to be sent, and came to nothing.
    Failed(String),
    Dropped(Dropped),
}

/// Starts the copies of a request. Its body has to be fed to what this returns.
pub(crate) fn start(worker: &Worker, copies: Vec<Copy>, common: Common) -> Feeders {
    let mut feeders = Vec::new();
    for copy in copies {
        let mirroring = &worker.mirroring;
        if mirroring.copies.get() >= COPIES {
            worker.traffic.mirror_dropped(Dropped::Busy).add();
            continue;
        }
        let is_empty = common.body == Body::Empty;
        let (feeder, body) = feed(mirroring, is_empty);
        if !is_empty {
            feeders.push(feeder);
        }
        let mut sending = Sending {
            counted: Counted::new(mirroring),
            copy,
            common,
            body,
            rng: Rng::seeded(worker.rng.borrow_mut().u64()),
            http1: worker.http1.clone(),
            limits: worker.options.limits.clone(),
            loads: worker.loads.clone(),
            traffic: worker.traffic.clone(),
        };
        tokio::task::spawn_local(async move { sending.run().await });
    }
    Feeders(feeders)
}

/// A copy counted by its worker.
struct Counted(Rc<Mirroring>);

impl Counted {
    fn new(mirroring: &Rc<Mirroring>) -> Self {
        mirroring.copies.set(mirroring.copies.get() + 1);
        Self(mirroring.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get() - 1);
    }
}

/// A copy on its way.
struct Sending {
    copy: Copy,
    common: Common,
    body: FeedSource,
    rng: Rng,
    http1: http1::Limits,
    limits: Limits,
    loads: Arc<LoadCounters>,
    traffic: Arc<TrafficCounters>,
    #[expect(dead_code, reason = "it counts while it lives")]
    counted: Counted,
}

impl Sending {
    async fn run(&mut self) {
        let traffic = self.traffic.clone();
        match self.send().await {
            Ended::Answered => traffic.mirrors_answered.add(),
            Ended::Dropped(reason) => traffic.mirror_dropped(reason).add(),
            Ended::Failed(_) if self.body.is_dropped() => {
                traffic.mirror_dropped(Dropped::Slow).add();
            }
            Ended::Failed(error) => {
                let cluster = &self.copy.cluster.shared.config.name;
                tracing::debug!(cluster, error, "copy of a request failed");
                traffic.mirrors_failed.add();
            }
        }
    }

    async fn send(&mut self) -> Ended {
        let cluster = self.copy.cluster.clone();
        let patience = self.common.timeout.unwrap_or(PATIENCE);
        let gate = cluster.shared.gate.as_ref().zip(self.copy.affinity.tenant);
        let mut admitted = None;
        if let Some((gate, (tenant, class))) = gate {
            let deadline = Some(Instant::now() + patience);
            admitted = gate
                .enter(tenant, class, deadline, &mut Timer::default())
                .await;
            if admitted.is_none() {
                return Ended::Dropped(Dropped::Overflow);
            }
        }
        let usage = &cluster.shared.usage;
        let limit = cluster.shared.config.connection_pool.max_requests;
        let Some(_permit) = Permit::acquire(usage, |usage| &usage.requests, limit) else {
            return Ended::Dropped(Dropped::Overflow);
        };
        let request = PickRequest {
            hash: self.copy.affinity.hash,
            origin: self.copy.affinity.user.as_deref(),
            ..PickRequest::default()
        };
        let picked = cluster.shared.pick(&mut self.rng, clock::now(), &request);
        let Some((pick, target)) = picked else {
            return Ended::Dropped(Dropped::NoEndpoint);
        };
        let pool = cluster.pool.endpoint(pick.id());
        let mut tried = Tried {
            cluster: cluster.clone(),
            pool,
            target,
            in_flight: InFlight::new(cluster, pick),
        };
        let ended = self.converse(&mut tried, patience).await;
        if let Some(admitted) = admitted {
            admitted.finish(tried.in_flight.outcome, Instant::now());
        }
        ended
    }

    /// Sends and receives, for no longer than `patience` after the body has come, give or take as much.
    async fn converse(&mut self, tried: &mut Tried, patience: Duration) -> Ended {
        let state = self.body.state();
        let ended = {
            let mut conversation = pin!(tried.converse(self));
            loop {
                match tokio::time::timeout(patience, &mut conversation).await {
                    Ok(ended) => break Some(ended),
                    // What it waits for may be the rest of the body.
                    Err(_) if state.is_open() => {}
                    Err(_) => break None,
                }
            }
        };
        ended.unwrap_or_else(|| {
            tried.in_flight.outcome = Outcome::Timeout;
            Ended::Failed(format!("no answer within {patience:?}"))
        })
    }
}

/// The endpoint that a copy goes to.
struct Tried {
    cluster: Rc<LocalCluster>,
    pool: Rc<EndpointPool>,
    target: Target,
    in_flight: InFlight,
}

impl Tried {
    async fn converse(&mut self, sending: &mut Sending) -> Ended {
        let Sending {
            copy,
            common,
            body,
            http1,
            limits,
            loads,
            ..
        } = sending;
        let loads = self.cluster.shared.reads_reports.then_some(&**loads);
        let acquired = match &copy.head {
            UpstreamHead::H1(head) => self.over_h1(head, *common, http1, body, loads).await,
            UpstreamHead::H2(head) => self.over_h2(head, *common, limits, body, loads).await,
        };
        match acquired {
            Ok(Ok(())) => Ended::Answered,
            Ok(Err(error)) => Ended::Failed(error),
            Err(AcquireError::Overflow) => Ended::Dropped(Dropped::Overflow),
            Err(error) => {
                self.in_flight.outcome = match error {
                    AcquireError::Gone(..) => Outcome::Cancelled,
                    _ => Outcome::ConnectFailure,
                };
                Ended::Failed(error.to_string())
            }
        }
    }

    async fn over_h1(
        &mut self,
        head: &[u8],
        common: Common,
        http1: &http1::Limits,
        body: &mut FeedSource,
        loads: Option<&LoadCounters>,
    ) -> Result<Result<(), String>, AcquireError> {
        let (mut connection, _) = acquire::h1(&self.cluster, &self.pool, &self.target).await?;
        let kind = RequestKind {
            head: common.is_head,
            upgrade: false,
        };
        let (mut up, mut source) = connection.exchange(head, common.body, kind, http1);
        let exchanged = exchange(&mut up, &mut source, body, loads, &mut self.in_flight).await;
        let reusable = source.is_reusable();
        drop((up, source));
        let config = &self.cluster.shared.config.connection_pool;
        let limit = config.max_requests_per_connection;
        let may_go_on = limit == 0 || connection.requests < limit;
        if exchanged == Ok(Sent::Whole) && reusable && may_go_on {
            self.pool.keep(connection, Instant::now());
        }
        Ok(exchanged.map(drop))
    }

    async fn over_h2(
        &mut self,
        head: &http::Request<()>,
        common: Common,
        limits: &Limits,
        body: &mut FeedSource,
        loads: Option<&LoadCounters>,
    ) -> Result<Result<(), String>, AcquireError> {
        let connection = acquire::h2(&self.cluster, &self.pool, &self.target, limits).await?;
        let ends = common.body == Body::Empty;
        let begun = connection.exchange(head.clone(), ends).await;
        let (stream, mut source) =
            begun.map_err(|error| AcquireError::Gone(self.target.clone(), error))?;
        let stream = RefCell::new(Some(stream));
        let mut up = H2Sink::new(&stream, ends);
        let exchanged = exchange(&mut up, &mut source, body, loads, &mut self.in_flight).await;
        Ok(exchanged.map(drop))
    }
}

/// How much of a copy went out before its answer had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Whole,
    InPart,
}

/// Sends a copy and reads its answer to the end, both at once.
async fn exchange(
    up: &mut impl BodySink,
    source: &mut impl ResponseSource,
    body: &mut FeedSource,
    loads: Option<&LoadCounters>,
    in_flight: &mut InFlight,
) -> Result<Sent, String> {
    let mut upload = pin!(transfer(body, up, |_| {}));
    let mut answer = pin!(read(source, loads, in_flight));
    let mut sent = Sent::InPart;
    loop {
        tokio::select! {
            biased;
            uploaded = &mut upload, if sent == Sent::InPart => match uploaded {
                Err(TransferError::Source(error)) => return Err(error.to_string()),
                // When the endpoint stops reading, its answer still counts.
                Ok(_) | Err(TransferError::Sink) => sent = Sent::Whole,
            },
            answered = &mut answer => return answered.map(|()| sent),
        }
    }
}

/// Reads an answer to its end and keeps nothing but how the endpoint fared.
async fn read(
    source: &mut impl ResponseSource,
    loads: Option<&LoadCounters>,
    in_flight: &mut InFlight,
) -> Result<(), String> {
    let mut head = Head {
        loads,
        report: None,
    };
    let mut informational = 0;
    let status = loop {
        match source.head(&mut head).await {
            Ok(status @ 100..200) => {
                informational += 1;
                if informational > INFORMATIONAL {
                    in_flight.outcome = Outcome::Reset;
                    return Err(format!("informational responses ({status}) without end"));
                }
            }
            Ok(status) => break status,
            Err(error) => {
                in_flight.outcome = Outcome::Reset;
                return Err(error.to_string());
            }
        }
    };
    in_flight.report = head.report;
    in_flight.answered(clock::now());
    loop {
        match source.next().await {
            Ok(Part::Data(_)) => {}
            Ok(Part::End(_)) => {
                in_flight.outcome = outcome(status, None);
                return Ok(());
            }
            Err(error) => {
                in_flight.outcome = Outcome::Reset;
                return Err(error.to_string());
            }
        }
    }
}

/// Reads an answer's status and its endpoint's load.
struct Head<'l> {
    loads: Option<&'l LoadCounters>,
    report: Option<LoadReport>,
}

impl HeadVisitor for Head<'_> {
    type Output = u16;

    fn visit(&mut self, head: &impl ResponseView) -> u16 {
        if head.status() >= 200 {
            self.report = self.loads.and_then(|loads| loads.in_head(head));
        }
        head.status()
    }
}

/// A copy's authority: the host is marked, so that who reads its logs can tell it from a request, as Envoy does.
pub(crate) fn authority(of: &str) -> String {
    match of.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => format!("{host}-shadow:{port}"),
        _ => format!("{of}-shadow"),
    }
}

/// A request's body as its copies get it. Empty, and free, where there are none.
#[derive(Debug, Default)]
pub(crate) struct Feeders(Vec<Feeder>);

impl Feeders {
    /// Whether anybody is fed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Passes bytes on, which all copies share.
    pub(crate) async fn push(&mut self, bytes: &[u8]) {
        self.0.retain(Feeder::is_open);
        if self.0.is_empty() {
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        for feeder in &self.0 {
            feeder.push(&bytes);
        }
        if self.0.iter().any(Feeder::is_behind) {
            tokio::task::yield_now().await;
        }
    }

    /// That was all.
    pub(crate) fn finish(&mut self, trailers: &Trailers) {
        for feeder in self.0.drain(..) {
            feeder.finish(trailers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn the_host_is_marked_and_not_the_port() {
        assert_eq!(authority("app.example"), "app.example-shadow");
        assert_eq!(authority("app.example:8080"), "app.example-shadow:8080");
        assert_eq!(authority("[::1]"), "[::1]-shadow");
        assert_eq!(authority("[::1]:80"), "[::1]-shadow:80");
    }
}
