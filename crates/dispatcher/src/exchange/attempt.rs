//! One try: a pick, a connection, the request sent and the answer begun.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use alba::{Completion, Outcome, Pick};
use http1::RequestKind;
use smallvec::SmallVec;

use super::acquire::{self, AcquireError};
use super::alongside::{Stop, Upload, Watch};
use super::flags::Flags;
use super::prepare::{Forward, UpstreamHead};
use super::retry::{Failure, FailureKind, is_retriable_answer};
use super::{End, ResponseSink, retry_budget};
use crate::clock;
use crate::cluster::Permit;
use crate::http::body::{BodyError, BodySink, BodySource, RequestBody, TransferError, transfer};
use crate::http::h1_client::H1Connection;
use crate::http::h2_body::H2Sink;
use crate::http::upstream::{HeadError, ResponseSource};
use crate::http::view::{HeadVisitor, ResponseView};
use crate::pool::EndpointPool;
use crate::snapshot::LocalCluster;
use crate::telemetry::record::Record;
use crate::timer::Timer;
use crate::transport::connect::Target;
use crate::worker::Worker;

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

/// A pick that is completed exactly once, at the latest when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    cluster: Rc<LocalCluster>,
    pick: Option<Pick>,
    first_byte: Option<alba::Time>,
    outcome: Outcome,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(pick) = self.pick.take() {
            let mut completion = Completion::new(self.outcome, clock::now());
            if let Some(first_byte) = self.first_byte {
                completion = completion.with_first_byte(first_byte);
            }
            self.cluster.shared.complete(pick, completion);
        }
    }
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

impl Attempt<'_, '_> {
    /// Makes the try. `tried` are the positions of earlier picks.
    pub(crate) async fn run<B: BodySource>(
        &self,
        tried: &mut SmallVec<[u32; 4]>,
        body: &mut RequestBody<'_, B>,
        sink: &mut impl ResponseSink,
        timer: &mut Timer,
        record: &mut Record,
    ) -> Result<Attempted, BodyError> {
        let cluster = self.forward.cluster;
        let now = if record.attempts == 1 {
            record.started
        } else {
            Instant::now()
        };
        let picked = cluster
            .shared
            .pick(&mut self.worker.rng.borrow_mut(), clock::at(now), tried);
        let Some((pick, target)) = picked else {
            return Ok(Attempted::NoEndpoint);
        };
        tried.push(pick.index());
        if let Some(line) = &mut record.line {
            line.upstream = target.to_string();
        }
        let pool = cluster.pool.endpoint(pick.id());
        let in_flight = InFlight {
            cluster: cluster.clone(),
            pick: Some(pick),
            first_byte: None,
            outcome: Outcome::Cancelled,
        };
        let try_deadline = self
            .forward
            .route
            .retries
            .per_try_timeout
            .map(|timeout| now + timeout);
        match &self.forward.head {
            UpstreamHead::H1(head) => {
                self.over_h1(
                    head,
                    in_flight,
                    &pool,
                    &target,
                    try_deadline,
                    body,
                    sink,
                    timer,
                    record,
                )
                .await
            }
            UpstreamHead::H2(head) => {
                self.over_h2(
                    head,
                    in_flight,
                    &pool,
                    &target,
                    try_deadline,
                    body,
                    sink,
                    timer,
                    record,
                )
                .await
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one try")]
    async fn over_h1<B: BodySource>(
        &self,
        head: &[u8],
        mut in_flight: InFlight,
        pool: &Rc<EndpointPool>,
        target: &Target,
        try_deadline: Option<Instant>,
        body: &mut RequestBody<'_, B>,
        sink: &mut impl ResponseSink,
        timer: &mut Timer,
        record: &mut Record,
    ) -> Result<Attempted, BodyError> {
        // Most often an idle connection is there: no need to set up a wait.
        let acquired = match pool.idle() {
            Some(connection) => Ok((connection, true)),
            None => {
                let connecting = acquire::h1(self.forward.cluster, pool, target);
                match self
                    .acquired(timer, try_deadline, &mut in_flight, connecting)
                    .await
                {
                    Ok(acquired) => Ok(acquired),
                    Err(attempted) => Err(attempted),
                }
            }
        };
        let (mut connection, reused) = match acquired {
            Ok(acquired) => acquired,
            Err(attempted) => return Ok(attempted),
        };
        let kind = RequestKind {
            head: self.forward.facts.is_head,
            upgrade: self.forward.facts.upgrades,
        };
        let limits = &self.worker.http1;
        let (mut up, mut source) = connection.exchange(head, self.forward.body, kind, limits);
        let conversation = self
            .converse(
                &mut up,
                &mut source,
                reused,
                &mut in_flight,
                try_deadline,
                body,
                sink,
                timer,
                record,
            )
            .await?;
        let reusable = source.is_reusable();
        drop((up, source));
        let limit = self
            .forward
            .cluster
            .shared
            .config
            .connection_pool
            .max_requests_per_connection;
        match conversation {
            Conversation::Complete if reusable && body.is_complete() => {
                if limit == 0 || connection.requests < limit {
                    pool.keep(connection, Instant::now());
                }
            }
            Conversation::Switched => {
                return Ok(Attempted::End(End::Switched(Box::new(Switched {
                    connection,
                    pick: in_flight,
                }))));
            }
            _ => {}
        }
        Ok(conversation.attempted(body.is_complete()))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one try")]
    async fn over_h2<B: BodySource>(
        &self,
        head: &http::Request<()>,
        mut in_flight: InFlight,
        pool: &Rc<EndpointPool>,
        target: &Target,
        try_deadline: Option<Instant>,
        body: &mut RequestBody<'_, B>,
        sink: &mut impl ResponseSink,
        timer: &mut Timer,
        record: &mut Record,
    ) -> Result<Attempted, BodyError> {
        let connecting = acquire::h2(self.forward.cluster, pool, target);
        let connection = match self
            .acquired(timer, try_deadline, &mut in_flight, connecting)
            .await
        {
            Ok(connection) => connection,
            Err(attempted) => return Ok(attempted),
        };
        let ends = self.forward.body == http1::Body::Empty;
        let (stream, mut source) = match connection.exchange(head.clone(), ends).await {
            Ok(exchange) => exchange,
            Err(error) => {
                // Nothing was sent: as good as a refused stream.
                in_flight.outcome = FailureKind::Refused.outcome();
                return Ok(Attempted::Failed(Failure {
                    kind: FailureKind::Refused,
                    text: format!("http/2 connection to {target} can't be used: {error}"),
                }));
            }
        };
        let stream = std::cell::RefCell::new(Some(stream));
        let mut up = H2Sink::new(&stream, ends);
        let conversation = self
            .converse(
                &mut up,
                &mut source,
                false,
                &mut in_flight,
                try_deadline,
                body,
                sink,
                timer,
                record,
            )
            .await?;
        Ok(conversation.attempted(body.is_complete()))
    }

    /// Waits for a connection, within the request's and the try's time.
    async fn acquired<T>(
        &self,
        timer: &mut Timer,
        try_deadline: Option<Instant>,
        in_flight: &mut InFlight,
        connecting: impl Future<Output = Result<T, AcquireError>>,
    ) -> Result<T, Attempted> {
        let deadlines = [self.watch.deadline(), try_deadline];
        let deadline = deadlines.into_iter().flatten().min();
        let Ok(connected) = timer.until(deadline.map(Into::into), connecting).await else {
            in_flight.outcome = Outcome::Timeout;
            return Err(if deadline == self.watch.deadline() {
                Attempted::RouteTimeout
            } else {
                try_timeout()
            });
        };
        connected.map_err(|error| {
            let kind = match error {
                AcquireError::Overflow => FailureKind::Overflow,
                _ => FailureKind::Connect,
            };
            in_flight.outcome = kind.outcome();
            Attempted::Failed(Failure {
                kind,
                text: error.to_string(),
            })
        })
    }

    /// Sends the request and receives the answer, both at once.
    #[expect(clippy::too_many_arguments, reason = "the parts of one try")]
    async fn converse<B: BodySource, S: ResponseSink>(
        &self,
        up: &mut impl BodySink,
        source: &mut impl ResponseSource,
        reused: bool,
        in_flight: &mut InFlight,
        try_deadline: Option<Instant>,
        body: &mut RequestBody<'_, B>,
        sink: &mut S,
        timer: &mut Timer,
        record: &mut Record,
    ) -> Result<Conversation, BodyError> {
        let received = Cell::new(0);
        let upload = pin!(body.send(up, |bytes| {
            self.watch.moved(bytes);
            received.set(received.get() + bytes as u64);
        }));
        let mut upload = Upload::new(upload);
        let mut judge = Judge {
            attempt: self,
            sink: &mut *sink,
            failed: None,
        };
        let verdict = loop {
            let head = source.head(&mut judge);
            match upload
                .alongside(self.watch, try_deadline, timer, head)
                .await
            {
                Ok(Ok(Verdict::Informational)) => judge.sink.flush().await?,
                Ok(Ok(verdict)) => break verdict,
                Ok(Err(error)) => return Ok(failed(error, reused, in_flight)),
                Err(stop) => return Ok(stopped(&stop, in_flight)),
            }
        };
        if let Some(error) = judge.failed {
            return Err(error);
        }
        in_flight.first_byte = Some(clock::now());
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
                in_flight.outcome = Outcome::Success;
                sink.flush().await?;
                return Ok(Conversation::Switched);
            }
            Verdict::Informational => unreachable!("the loop goes on after these"),
        };
        record.status = status;
        record.grpc = grpc;
        let mut sent = 0;
        let streaming = transfer(source, sink, |bytes| {
            self.watch.moved(bytes);
            sent += bytes as u64;
        });
        let streamed = upload.alongside(self.watch, None, timer, streaming).await;
        drop(upload);
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
                in_flight.outcome = outcome(status, record.grpc);
                return Ok(Conversation::Complete);
            }
            Ok(Err(TransferError::Source(error))) => {
                tracing::debug!(%error, "answer broke off");
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

fn try_timeout() -> Attempted {
    Attempted::Failed(Failure {
        kind: FailureKind::TryTimeout,
        text: "upstream request timeout (perTryTimeout)".to_owned(),
    })
}

fn stopped(stop: &Stop, in_flight: &mut InFlight) -> Conversation {
    in_flight.outcome = match stop {
        Stop::Client => Outcome::Cancelled,
        Stop::Route | Stop::Try | Stop::Idle => Outcome::Timeout,
    };
    match stop {
        Stop::Client => Conversation::Client,
        Stop::Route | Stop::Idle => Conversation::RouteTimeout,
        Stop::Try => Conversation::Failed(Failure {
            kind: FailureKind::TryTimeout,
            text: "upstream request timeout (perTryTimeout)".to_owned(),
        }),
    }
}

fn failed(error: HeadError, reused: bool, in_flight: &mut InFlight) -> Conversation {
    let kind = match &error {
        _ if error.is_refused() => FailureKind::Refused,
        HeadError::Malformed(_) => FailureKind::Malformed,
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
fn outcome(status: u16, grpc: Option<u8>) -> Outcome {
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
    failed: Option<BodyError>,
}

impl<S: ResponseSink> HeadVisitor for Judge<'_, '_, '_, S> {
    type Output = Verdict;

    fn visit(&mut self, head: &impl ResponseView) -> Verdict {
        let forward = self.attempt.forward;
        let status = head.status();
        if status == 101 {
            self.sink.switch(head, forward.response_edits);
            return Verdict::Switched;
        }
        if status < 200 {
            self.sink.informational(head);
            return Verdict::Informational;
        }
        let grpc = match forward.facts.is_grpc {
            true => head.field("grpc-status").and_then(parse_grpc_status),
            false => None,
        };
        let mut flags = Flags::NONE;
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
        if let Err(error) = self.sink.start(head, forward.response_edits, flags) {
            self.failed = Some(error);
        }
        Verdict::Accepted {
            status,
            grpc,
            flags,
        }
    }
}
