//! One try: a pick, a connection, the request sent and the answer begun.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use alba::{EndpointId, LoadReport, Outcome, PickRequest};
use http1::RequestKind;
use smallvec::SmallVec;

use super::acquire::{self, AcquireError};
use super::alongside::{Stop, Upload, Watch};
use super::encode::UpstreamHead;
use super::flags::Flags;
use super::in_flight::InFlight;
use super::prepare::Forward;
use super::retry::{Failure, FailureKind, is_retriable_answer};
use super::{End, ResponseSink, retry_budget};
use crate::admission::Admitted;
use crate::clock;
use crate::cluster::Permit;
use crate::http::body::{
    BodyError, BodySink, BodySource, Left, RequestBody, TransferError, transfer,
};
use crate::http::h1_client::H1Connection;
use crate::http::h2_body::H2Sink;
use crate::http::upstream::{HeadError, ResponseSource};
use crate::http::view::{HeadVisitor, ResponseView};
use crate::load_report;
use crate::pool::EndpointPool;
use crate::telemetry::record::Record;
use crate::timer::Timer;
use crate::transport::connect::Target;
use crate::worker::Worker;

/// Informational heads that may come before an answer. A handful of early hints is usual; an endpoint that
/// never comes to its answer has failed.
const MAX_INFORMATIONAL: usize = 32;

/// How long a client may wait for an answer after it has ended its own direction. Some do that and read on; one
/// that is gone looks the same, and its endpoint should not work for nobody for long.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(5);

/// What one try needs.
pub(crate) struct Attempt<'a, 'm> {
    pub(crate) worker: &'a Worker,
    pub(crate) forward: &'a Forward<'m>,
    pub(crate) watch: &'a Watch,
    /// The policy allows another try after this one.
    pub(crate) may_retry: bool,
    /// Whether another try could send the whole request.
    pub(crate) replayable: &'a Cell<bool>,
    /// This is the last of several tries.
    pub(crate) exhausted: bool,
    /// The request's place among those of its cluster, which the first byte of an answer gives back: a stream
    /// that is open for hours is no work waiting to be done.
    pub(crate) admitted: &'a Cell<Option<Admitted>>,
}

/// How a try went.
pub(crate) enum Attempted {
    /// An answer was begun, and this is how it ended.
    End(End),
    /// The client broke off.
    Client,
    /// The whole request's time was up before an answer.
    RouteTimeout,
    /// Nobody to ask.
    NoEndpoint,
    /// An answer came that the policy wants another try for; the permit counts it.
    RetryAnswer(Permit),
    /// No answer came.
    Failed(Failure),
}

/// A connection that has become a tunnel, with its pick still in flight.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) connection: H1Connection,
    pub(crate) pick: InFlight,
}

/// How talking to an endpoint ended, as far as the two versions share it.
enum Conversation {
    Complete,
    Aborted,
    Switched,
    Client,
    RouteTimeout,
    RetryAnswer(Permit),
    Failed(Failure),
}

/// The client's side of an exchange, and what is kept about it.
pub(crate) struct Sides<'x, 'b, B, S> {
    pub(crate) body: &'x mut RequestBody<'b, B>,
    pub(crate) sink: &'x mut S,
    pub(crate) timer: &'x mut Timer,
    pub(crate) record: &'x mut Record,
}

/// The endpoint's side of one try.
struct Picked {
    in_flight: InFlight,
    pool: Rc<EndpointPool>,
    target: Target,
    /// When the try's own time is up.
    deadline: Option<Instant>,
}

impl Attempt<'_, '_> {
    /// Makes the try. `tried` are the endpoints of earlier tries.
    pub(crate) async fn run<B: BodySource, S: ResponseSink>(
        &self,
        tried: &mut SmallVec<[EndpointId; 4]>,
        sides: &mut Sides<'_, '_, B, S>,
    ) -> Result<Attempted, BodyError> {
        let Some(mut picked) = self.pick(tried, sides.record) else {
            return Ok(Attempted::NoEndpoint);
        };
        match &self.forward.head {
            UpstreamHead::H1(head) => self.over_h1(head, picked, sides).await,
            UpstreamHead::H2(head) => self.over_h2(head, &mut picked, sides).await,
        }
    }

    fn pick(&self, tried: &mut SmallVec<[EndpointId; 4]>, record: &mut Record) -> Option<Picked> {
        let cluster = self.forward.cluster;
        // A try does not begin before the request has had its turn.
        let now = if record.attempts == 1 && self.forward.gate().is_none() {
            record.begun
        } else {
            Instant::now()
        };
        let affinity = &self.forward.affinity;
        let policy = &self.forward.route.retries;
        let request = PickRequest {
            tried: match policy.prefer_other_endpoints {
                true => tried,
                false => &[],
            },
            avoid_localities: policy.prefer_other_localities,
            hash: affinity.hash,
            origin: affinity.user.as_deref(),
        };
        let at = clock::at(now);
        let rng = &mut self.worker.rng.borrow_mut();
        let (pick, target) = cluster.shared.pick(rng, at, &request)?;
        if let Some(asked) = cluster.shared.probe(at) {
            load_report::ask(self.worker, cluster, asked);
        }
        tried.push(pick.id());
        if let Some(line) = &mut record.line {
            line.upstream = target.to_string();
        }
        let timeout = self.forward.route.retries.per_try_timeout;
        Some(Picked {
            pool: cluster.pool.endpoint(pick.id()),
            in_flight: InFlight::new(cluster.clone(), pick),
            target,
            deadline: timeout.map(|timeout| now + timeout),
        })
    }

    /// Lets the next in: an answer with `status` began at `answered`.
    fn give_place_back(&self, status: u16, answered: Instant) {
        if let Some(admitted) = self.admitted.take() {
            let outcome = match status {
                500.. => Outcome::ServerError,
                _ => Outcome::Success,
            };
            admitted.finish(outcome, answered);
        }
    }

    async fn over_h1<B: BodySource, S: ResponseSink>(
        &self,
        head: &[u8],
        mut picked: Picked,
        sides: &mut Sides<'_, '_, B, S>,
    ) -> Result<Attempted, BodyError> {
        // Most often an idle connection is there: no need to set up a wait.
        let (mut connection, reused) = match picked.pool.idle() {
            Some(connection) => (connection, true),
            None => {
                let pool = picked.pool.clone();
                let target = picked.target.clone();
                // Boxed: connecting takes much room and happens rarely.
                let connecting = Box::pin(acquire::h1(self.forward.cluster, &pool, &target));
                match self.acquired(&mut picked, sides.timer, connecting).await {
                    Ok(acquired) => acquired,
                    Err(attempted) => return Ok(attempted),
                }
            }
        };
        let kind = RequestKind {
            head: self.forward.facts.is_head,
            upgrade: self.forward.facts.upgrades,
        };
        let limits = &self.worker.http1;
        let (mut up, mut source) = connection.exchange(head, self.forward.body, kind, limits);
        let conversation = self
            .converse(&mut up, &mut source, reused, &mut picked, sides)
            .await?;
        let reusable = source.is_reusable();
        drop((up, source));
        if matches!(conversation, Conversation::Switched) {
            return Ok(Attempted::End(End::Switched(Box::new(Switched {
                connection,
                pick: picked.in_flight,
            }))));
        }
        let limit = self
            .forward
            .cluster
            .shared
            .config
            .connection_pool
            .max_requests_per_connection;
        let may_go_on = limit == 0 || connection.requests < limit;
        if matches!(conversation, Conversation::Complete)
            && reusable
            && may_go_on
            && sides.body.is_complete()
        {
            picked.pool.keep(connection, self.worker.coarse_now.get());
        }
        Ok(conversation.attempted(sides.body.is_complete()))
    }

    async fn over_h2<B: BodySource, S: ResponseSink>(
        &self,
        head: &http::Request<()>,
        picked: &mut Picked,
        sides: &mut Sides<'_, '_, B, S>,
    ) -> Result<Attempted, BodyError> {
        let (pool, target) = (picked.pool.clone(), picked.target.clone());
        let ends = self.forward.body == http1::Body::Empty;
        let beginning = async {
            let connection = match pool.shared() {
                Some(connection) => connection,
                None => {
                    let limits = &self.worker.options.limits;
                    Box::pin(acquire::h2(self.forward.cluster, &pool, &target, limits)).await?
                }
            };
            let begun = connection.exchange(head.clone(), ends).await;
            begun.map_err(|error| AcquireError::Gone(target.clone(), error))
        };
        let (stream, mut source) = match self.acquired(picked, sides.timer, beginning).await {
            Ok(exchange) => exchange,
            Err(attempted) => return Ok(attempted),
        };
        let stream = RefCell::new(Some(stream));
        let mut up = H2Sink::new(&stream, ends);
        let conversation = self
            .converse(&mut up, &mut source, false, picked, sides)
            .await?;
        Ok(conversation.attempted(sides.body.is_complete()))
    }

    /// Waits for a connection, within the request's and the try's time.
    async fn acquired<T>(
        &self,
        picked: &mut Picked,
        timer: &mut Timer,
        connecting: impl Future<Output = Result<T, AcquireError>>,
    ) -> Result<T, Attempted> {
        let deadline = [self.watch.deadline(), picked.deadline]
            .into_iter()
            .flatten()
            .min();
        let Ok(connected) = timer.until(deadline.map(Into::into), connecting).await else {
            picked.in_flight.outcome = Outcome::Timeout;
            return Err(if deadline == self.watch.deadline() {
                Attempted::RouteTimeout
            } else {
                Attempted::Failed(try_timeout())
            });
        };
        connected.map_err(|error| {
            let kind = match &error {
                AcquireError::Overflow => FailureKind::Overflow,
                // It has room for too few requests at a time.
                AcquireError::Gone(_, error)
                    if error.reason() == Some(h2::Reason::REFUSED_STREAM) =>
                {
                    FailureKind::Refused
                }
                AcquireError::Gone(..) => FailureKind::Leaving,
                _ => FailureKind::Connect,
            };
            picked.in_flight.outcome = kind.outcome();
            Attempted::Failed(Failure {
                kind,
                text: error.to_string(),
            })
        })
    }

    /// Sends the request and receives the answer, both at once.
    async fn converse<B: BodySource, S: ResponseSink>(
        &self,
        up: &mut impl BodySink,
        source: &mut impl ResponseSource,
        reused: bool,
        picked: &mut Picked,
        sides: &mut Sides<'_, '_, B, S>,
    ) -> Result<Conversation, BodyError> {
        let Picked {
            in_flight,
            deadline,
            ..
        } = picked;
        let Sides {
            body,
            sink,
            timer,
            record,
        } = sides;
        let received = Cell::new(0);
        let answered = Cell::new(false);
        let upload = pin!(async {
            let moved = |bytes| {
                self.watch.moved(bytes);
                received.set(received.get() + bytes as u64);
            };
            body.send(up, moved).await?;
            client_left(body, &answered).await;
            Err(TransferError::Source(
                io::Error::from(io::ErrorKind::ConnectionAborted).into(),
            ))
        });
        let mut upload = Upload::new(upload);
        let mut judge = Judge {
            attempt: self,
            sink: &mut **sink,
            flags: record.flags,
            failed: None,
            report: None,
        };
        let mut informational = 0;
        let verdict = loop {
            let head = source.head(&mut judge);
            match upload.alongside(self.watch, *deadline, timer, head).await {
                Ok(Ok(Verdict::Informational)) => {
                    informational += 1;
                    if informational > MAX_INFORMATIONAL {
                        return Ok(failed(&HeadError::Endless, reused, in_flight));
                    }
                    let passed_on = judge.sink.flush();
                    match upload
                        .alongside(self.watch, *deadline, timer, passed_on)
                        .await
                    {
                        Ok(flushed) => flushed?,
                        Err(stop) => return Ok(stopped(&stop, in_flight)),
                    }
                }
                Ok(Ok(verdict)) => break verdict,
                Ok(Err(error)) => return Ok(failed(&error, reused, in_flight)),
                Err(stop) => return Ok(stopped(&stop, in_flight)),
            }
        };
        answered.set(true);
        in_flight.report = judge.report;
        if let Some(error) = judge.failed {
            return Err(error);
        }
        let now = Instant::now();
        in_flight.answered(clock::at(now));
        record.answered = Some(now);
        let (status, grpc) = match verdict {
            Verdict::Accepted {
                status,
                grpc,
                flags,
            } => {
                record.flags |= flags;
                (status, grpc)
            }
            Verdict::Retry {
                status,
                grpc,
                permit,
            } => {
                in_flight.outcome = outcome(status, grpc);
                return Ok(Conversation::RetryAnswer(permit));
            }
            Verdict::Switched => {
                record.status = 101;
                self.give_place_back(101, now);
                in_flight.outcome = Outcome::Success;
                sink.flush().await?;
                return Ok(Conversation::Switched);
            }
            Verdict::Informational => unreachable!("the loop goes on after these"),
        };
        record.status = status;
        record.grpc = grpc;
        self.give_place_back(status, now);
        let mut sent = 0;
        let streaming = transfer(source, *sink, |bytes| {
            self.watch.moved(bytes);
            sent += bytes as u64;
        });
        let streamed = upload.alongside(self.watch, None, timer, streaming).await;
        record.bytes_sent += sent;
        record.bytes_received += received.get();
        let (flags, outcome) = match streamed {
            Ok(Ok(transferred)) => {
                let trailer = transferred
                    .trailers
                    .as_ref()
                    .and_then(|all| all.get("grpc-status"));
                if let Some(trailer) = trailer.filter(|_| record.is_grpc) {
                    record.grpc = parse_grpc_status(trailer.as_bytes());
                }
                if let Some(trailers) = transferred.trailers.as_deref()
                    && self.forward.cluster.shared.reads_reports
                    && let Some(report) = self.worker.loads.in_trailers(trailers)
                {
                    in_flight.report = Some(report);
                }
                in_flight.outcome = outcome(status, record.grpc);
                return Ok(Conversation::Complete);
            }
            Ok(Err(TransferError::Source(error))) => {
                tracing::debug!(%error, "answer broke off");
                // What came is passed on: a connection that ends without a byte of an answer looks to a
                // client like one that had idled, and it may send even a POST again.
                let passed_on = sink.flush();
                drop(upload.alongside(self.watch, None, timer, passed_on).await);
                (Flags::UPSTREAM_TERMINATION, Outcome::Reset)
            }
            Ok(Err(TransferError::Sink)) | Err(Stop::Client) => {
                (Flags::DOWNSTREAM_TERMINATION, Outcome::Cancelled)
            }
            Err(Stop::Route | Stop::Try) => (Flags::UPSTREAM_TIMEOUT, Outcome::Timeout),
            Err(Stop::Idle) => (Flags::STREAM_IDLE_TIMEOUT, Outcome::Timeout),
        };
        record.flags |= flags;
        in_flight.outcome = outcome;
        Ok(Conversation::Aborted)
    }
}

/// Ready when the client has left while it waits for an answer. Once that has begun, writing it tells.
async fn client_left<B: BodySource>(body: &mut RequestBody<'_, B>, answered: &Cell<bool>) {
    if body.left().await == Left::MaybeReads {
        // Boxed: it is rare, and would make every exchange larger.
        Box::pin(tokio::time::sleep(HALF_CLOSED)).await;
        if answered.get() {
            std::future::pending::<()>().await;
        }
    }
}

impl Conversation {
    fn attempted(self, request_done: bool) -> Attempted {
        match self {
            Self::Complete => Attempted::End(End::Complete { request_done }),
            Self::Aborted | Self::Switched => Attempted::End(End::Aborted),
            Self::Client => Attempted::Client,
            Self::RouteTimeout => Attempted::RouteTimeout,
            Self::RetryAnswer(permit) => Attempted::RetryAnswer(permit),
            Self::Failed(failure) => Attempted::Failed(failure),
        }
    }
}

fn try_timeout() -> Failure {
    Failure {
        kind: FailureKind::TryTimeout,
        text: "upstream request timeout (perTryTimeout)".to_owned(),
    }
}

fn stopped(stop: &Stop, in_flight: &mut InFlight) -> Conversation {
    in_flight.outcome = match stop {
        Stop::Client => Outcome::Cancelled,
        Stop::Route | Stop::Try | Stop::Idle => Outcome::Timeout,
    };
    match stop {
        Stop::Client => Conversation::Client,
        Stop::Route | Stop::Idle => Conversation::RouteTimeout,
        Stop::Try => Conversation::Failed(try_timeout()),
    }
}

fn failed(error: &HeadError, reused: bool, in_flight: &mut InFlight) -> Conversation {
    let kind = match error {
        _ if error.is_refused() => FailureKind::Refused,
        _ if error.is_leaving() => FailureKind::Leaving,
        HeadError::Malformed(_) | HeadError::Endless => FailureKind::Malformed,
        HeadError::Closed { begun, .. } => FailureKind::Reset {
            stale: reused && !begun,
        },
        HeadError::Reset(_) => FailureKind::Reset { stale: false },
    };
    // An idle connection that was closed just then says nothing about the endpoint.
    in_flight.outcome = match kind {
        FailureKind::Reset { stale: true } => Outcome::Cancelled,
        kind => kind.outcome(),
    };
    Conversation::Failed(Failure {
        kind,
        text: format!("upstream disconnect or reset before the response's head: {error}"),
    })
}

/// What the balancer is told of an answer.
pub(crate) fn outcome(status: u16, grpc: Option<u8>) -> Outcome {
    match (status, grpc) {
        (502..=504, _) | (_, Some(14)) => Outcome::GatewayError,
        (500.., _) | (_, Some(2 | 13 | 15)) => Outcome::ServerError,
        (_, Some(4)) => Outcome::Timeout,
        _ => Outcome::Success,
    }
}

/// `grpc-status` as a number.
pub(crate) fn parse_grpc_status(value: &[u8]) -> Option<u8> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What becomes of an answer, decided on its head.
enum Verdict {
    Informational,
    Switched,
    Accepted {
        status: u16,
        grpc: Option<u8>,
        flags: Flags,
    },
    Retry {
        status: u16,
        grpc: Option<u8>,
        permit: Permit,
    },
}

/// Reads an answer's head once: passes it on to the client, or asks for another try.
struct Judge<'j, 'a, 'm, S> {
    attempt: &'j Attempt<'a, 'm>,
    sink: &'j mut S,
    /// What is known so far.
    flags: Flags,
    failed: Option<BodyError>,
    report: Option<LoadReport>,
}

impl<S: ResponseSink> HeadVisitor for Judge<'_, '_, '_, S> {
    type Output = Verdict;

    fn visit(&mut self, head: &impl ResponseView) -> Verdict {
        let forward = self.attempt.forward;
        let status = head.status();
        if status == 101 {
            self.sink.switch(head, forward.answer_edits());
            return Verdict::Switched;
        }
        if status < 200 {
            self.sink.informational(head);
            return Verdict::Informational;
        }
        if forward.cluster.shared.reads_reports {
            self.report = self.attempt.worker.loads.in_head(head);
        }
        let grpc = match forward.facts.is_grpc {
            true => head.field("grpc-status").and_then(parse_grpc_status),
            false => None,
        };
        let mut flags = self.flags;
        if is_retriable_answer(&forward.route.retries, forward.facts, status, grpc) {
            if self.attempt.may_retry && self.attempt.replayable.get() {
                match retry_budget(forward) {
                    Some(permit) => {
                        return Verdict::Retry {
                            status,
                            grpc,
                            permit,
                        };
                    }
                    None => flags |= Flags::UPSTREAM_OVERFLOW,
                }
            } else if self.attempt.exhausted {
                flags |= Flags::RETRY_LIMIT_EXCEEDED;
            }
        }
        if let Err(error) = self.sink.start(head, forward.answer_edits(), flags) {
            self.failed = Some(error);
        }
        Verdict::Accepted {
            status,
            grpc,
            flags,
        }
    }
}
