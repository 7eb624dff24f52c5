//! One request from its head to the end of its answer, whatever versions the two sides speak.

pub(crate) mod acquire;
pub(crate) mod affinity;
pub(crate) mod alongside;
pub(crate) mod attempt;
pub(crate) mod cors;
pub(crate) mod encode;
pub(crate) mod faults;
pub(crate) mod fields;
pub(crate) mod flags;
pub(crate) mod in_flight;
pub(crate) mod mirror;
pub(crate) mod prepare;
pub(crate) mod reply;
pub(crate) mod retry;

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use alba::{EndpointId, Outcome};
use smallvec::SmallVec;

use self::alongside::Watch;
use self::attempt::{Attempt, Attempted, HALF_CLOSED, Sides, Switched};
use self::fields::Edits;
use self::flags::Flags;
use self::prepare::Forward;
use self::reply::Reply;
use crate::admission::Admitted;
use crate::cluster::Permit;
use crate::http::body::{BodyError, BodySink, BodySource, Left, RequestBody};
use crate::http::view::ResponseView;
use crate::telemetry::record::Record;
use crate::timer::Timer;
use crate::worker::Worker;

/// The client's side of an answer.
pub(crate) trait ResponseSink: BodySink {
    /// Encodes a final head. `flags`: what went wrong, for a client that may know.
    fn start(
        &mut self,
        head: &impl ResponseView,
        edits: Edits<'_>,
        flags: Flags,
    ) -> Result<(), BodyError>;

    /// Passes an informational head on; a version that can't may drop it.
    fn informational(&mut self, head: &impl ResponseView);

    /// Encodes a 101, after which the connection is a tunnel.
    fn switch(&mut self, head: &impl ResponseView, edits: Edits<'_>);
}

/// How an exchange left the client's connection.
#[derive(Debug)]
pub(crate) enum End {
    /// The answer is whole. `request_done`: so was the request, and the connection can carry another.
    Complete {
        /// See above.
        request_done: bool,
    },
    /// The answer broke off: the client must see that.
    Aborted,
    /// The endpoint agreed to switch protocols.
    Switched(Box<Switched>),
}

/// Answers without an endpoint. A client that does not take the answer for the stream idle timeout loses it.
pub(crate) async fn reply(
    worker: &Worker,
    reply: Reply,
    edits: Edits<'_>,
    is_head: bool,
    record: &mut Record,
    sink: &mut impl ResponseSink,
) -> Result<(), BodyError> {
    let reply = if record.is_grpc {
        reply.for_grpc()
    } else {
        reply
    };
    record.flags |= reply.flags;
    record.status = reply.status;
    record.answered = Some(Instant::now());
    if record.is_grpc {
        record.grpc = reply
            .field("grpc-status")
            .and_then(attempt::parse_grpc_status);
    }
    sink.start(&reply, edits, record.flags)?;
    let body = reply.bytes();
    let sending = async {
        if !body.is_empty() && !is_head && !matches!(reply.status, 204 | 304) {
            record.bytes_sent += body.len() as u64;
            sink.data(body).await?;
        }
        sink.finish(None).await
    };
    match tokio::time::timeout(worker.options.limits.stream_idle_timeout, sending).await {
        Ok(sent) => sent,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// Holds a request up for as long as a fault says. Its time has not begun until then. False: its client left.
pub(crate) async fn hold(
    delay: Duration,
    source: &mut impl BodySource,
    timer: &mut Timer,
    record: &mut Record,
) -> bool {
    let until = record.started + delay;
    let left = timer.until(Some(until.into()), source.left()).await;
    let goes_on = match left {
        Ok(Left::Gone) => false,
        Ok(Left::MaybeReads) => {
            let gone = Instant::now() + HALF_CLOSED;
            let first = until.min(gone);
            let waiting = std::future::pending::<()>();
            timer.until(Some(first.into()), waiting).await.ok();
            until <= gone
        }
        Err(_) => true,
    };
    record.begun = Instant::now();
    goes_on
}

/// Tries beyond the policy's after connections that were just ending. Each uses up such a connection, so one
/// or two are the rule; with hundreds of requests on connections that end after a hundred, it may be more.
const FREE_TRIES: u32 = 8;

/// Forwards a request, trying again where the route's policy wants it.
pub(crate) async fn forward(
    worker: &Worker,
    mut forward: Forward<'_>,
    source: &mut impl BodySource,
    sink: &mut impl ResponseSink,
    timer: &mut Timer,
    record: &mut Record,
) -> Result<End, BodyError> {
    let policy = &forward.route.retries;
    let started = record.begun;
    let is_empty = forward.body == http1::Body::Empty;
    let replayable = Cell::new(is_empty || policy.attempts > 0);
    let watch = Watch::new(
        started,
        forward.route.timeout.map(|timeout| started + timeout),
        worker.options.limits.stream_idle_timeout,
    );
    let admission = match enter(&forward, &watch, timer).await {
        Ok(admission) => admission,
        Err(refusal) => {
            let is_head = forward.facts.is_head;
            reply(
                worker,
                refusal,
                forward.reply_edits(),
                is_head,
                record,
                sink,
            )
            .await?;
            return Ok(End::Complete {
                request_done: is_empty,
            });
        }
    };
    let admitted = Cell::new(admission.turn);
    let _in_flight = admission.permit;
    if forward.facts.owes_continue {
        sink.informational(&Reply::text(100, Flags::NONE, ""));
        sink.flush().await?;
    }
    let copies = forward.start_copies(worker);
    let mut body = RequestBody::new(source, is_empty, &replayable, copies);
    let mut tried = SmallVec::<[EndpointId; 4]>::new();
    let mut retries = 0;
    let mut free_tries = FREE_TRIES;
    let mut retry_permit = None;
    let refusal = loop {
        record.attempts += 1;
        let attempt = Attempt {
            worker,
            forward: &forward,
            watch: &watch,
            may_retry: retries < policy.attempts,
            replayable: &replayable,
            admitted: &admitted,
            exhausted: policy.attempts > 0 && retries == policy.attempts,
        };
        let mut sides = Sides {
            body: &mut body,
            sink: &mut *sink,
            timer: &mut *timer,
            record: &mut *record,
        };
        let attempted = attempt.run(&mut tried, &mut sides).await?;
        drop(retry_permit.take());
        match attempted {
            Attempted::End(end) => return Ok(end),
            Attempted::Client => {
                record.flags |= Flags::DOWNSTREAM_TERMINATION;
                return Ok(End::Aborted);
            }
            Attempted::RouteTimeout => {
                break Reply::text(504, Flags::UPSTREAM_TIMEOUT, "upstream request timeout\n");
            }
            Attempted::NoEndpoint => {
                break Reply::text(503, Flags::NO_HEALTHY_UPSTREAM, "no healthy upstream\n");
            }
            Attempted::RetryAnswer(permit) => retry_permit = Some(permit),
            Attempted::Failed(failure) => {
                if failure.kind.is_free(forward.facts) && free_tries > 0 && replayable.get() {
                    free_tries -= 1;
                    continue;
                }
                let (status, flags) = failure.kind.reply();
                if !failure.kind.is_retriable(policy, forward.facts) || !replayable.get() {
                    break failure.into_reply(status, flags, record);
                }
                if retries >= policy.attempts {
                    let exhausted = match policy.attempts {
                        0 => Flags::NONE,
                        _ => Flags::RETRY_LIMIT_EXCEEDED,
                    };
                    break failure.into_reply(status, flags | exhausted, record);
                }
                retry_permit = retry_budget(&forward);
                if retry_permit.is_none() {
                    break failure.into_reply(status, flags | Flags::UPSTREAM_OVERFLOW, record);
                }
            }
        }
        retries += 1;
        let pause = retry::backoff(policy, retries, &mut worker.rng.borrow_mut());
        let until = Instant::now() + pause;
        let until = watch
            .deadline()
            .map_or(until, |deadline| until.min(deadline));
        // Nothing else can happen meanwhile: the pause itself is the deadline.
        timer
            .until(Some(until.into()), std::future::pending::<()>())
            .await
            .ok();
    };
    if let Some(admitted) = admitted.take() {
        let outcome = match refusal.status {
            504 => Outcome::Timeout,
            _ => Outcome::Reset,
        };
        admitted.finish(outcome, Instant::now());
    }
    reply(
        worker,
        refusal,
        forward.reply_edits(),
        forward.facts.is_head,
        record,
        sink,
    )
    .await?;
    Ok(End::Complete {
        request_done: body.is_complete(),
    })
}

/// What lets a request on to its first try.
struct Admission {
    /// Its turn among tenants, where they have shares.
    turn: Option<Admitted>,
    /// Its place among the cluster's requests, where there is a limit.
    permit: Option<Permit>,
}

/// Waits until the request may go on to its cluster.
async fn enter(
    forward: &Forward<'_>,
    watch: &Watch,
    timer: &mut Timer,
) -> Result<Admission, Reply> {
    let refused = |text| Reply::text(503, Flags::UPSTREAM_OVERFLOW, text);
    // Before the cluster's limit: else who waits for a turn would use that up, for other tenants too.
    let turn = match forward.gate() {
        None => None,
        Some((gate, (tenant, class))) => {
            let turn = gate.enter(tenant, class, watch.deadline(), timer).await;
            let text = "too much to do: this request's turn did not come in time\n";
            Some(turn.ok_or_else(|| refused(text))?)
        }
    };
    let cluster = &forward.cluster.shared;
    let permit = match cluster.config.connection_pool.max_requests {
        u32::MAX => None,
        limit => {
            let permit = Permit::acquire(&cluster.usage, |usage| &usage.requests, limit);
            let text = "too many requests in flight to this service\n";
            Some(permit.ok_or_else(|| refused(text))?)
        }
    };
    Ok(Admission { turn, permit })
}

/// A place among the retries that the cluster allows at a time.
fn retry_budget(forward: &Forward<'_>) -> Option<Permit> {
    let cluster = &forward.cluster.shared;
    Permit::acquire(
        &cluster.usage,
        |usage| &usage.retries,
        cluster.config.connection_pool.max_retries,
    )
}
