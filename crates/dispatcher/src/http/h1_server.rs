//! HTTP/1.1 towards clients.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::StatusCode;
use http1::{Body, RequestError, RequestHead, Slots, Version};

use super::body::{BodyError, BodySink, BodySource, Part, Trailers};
use super::h1_body::{H1Sink, H1Source, may_complete_head};
use super::tunnel::{TunnelEnd, join};
use super::view::{Http1Request, ResponseView, write_field};
use crate::buffer::Buffer;
use crate::client::Client;
use crate::exchange::alongside::Watch;
use crate::exchange::attempt::Switched;
use crate::exchange::fields::{Edits, FieldSink};
use crate::exchange::flags::Flags;
use crate::exchange::prepare::{NO_EDITS, Prepared, prepare};
use crate::exchange::reply::Reply;
use crate::exchange::{End, ResponseSink, forward, hold, reply};
use crate::snapshot::LocalSnapshot;
use crate::telemetry::record::Record;
use crate::timer::Timer;
use crate::transport::{Io, shutdown};
use crate::worker::{SWEEP_INTERVAL, Worker};

/// How much of an unwanted request body is read to keep a connection, and how much a closing connection
/// reads so that the client sees the answer instead of a reset.
const DISCARD_BYTES: u64 = 64 * 1024;

/// How long a closing connection waits for its client to stop sending.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a client's connection until either side closes it. `buffer` holds what was read to tell the version.
pub(crate) async fn serve(worker: &Worker, io: Io, mut buffer: Buffer, client: &Client) {
    let io = RefCell::new(io);
    let mut timer = Timer::default();
    let mut drain = pin!(worker.drained());
    let mut watches_drain = false;
    let close = loop {
        if buffer.is_empty() {
            // The clock may be late by its interval: a timeout must not come early, however short it is.
            let idle_until =
                worker.coarse_now.get() + SWEEP_INTERVAL + worker.options.limits.idle_timeout;
            let begun = poll_fn(|cx| {
                // Registered once: from then on, a drain wakes this task.
                if !watches_drain && !worker.draining.get() {
                    watches_drain = drain.as_mut().poll(cx).is_pending();
                }
                if let Poll::Ready(read) = buffer.poll_fill(&io, cx) {
                    return Poll::Ready(matches!(read, Ok(1..)));
                }
                let until = worker.drain_idle_until.get().unwrap_or(idle_until);
                timer.poll_expired(until.into(), cx).map(|_| false)
            });
            if !begun.await {
                break Close::Finish;
            }
        }
        match request(worker, &io, &mut buffer, client, &mut timer).await {
            None => {}
            Some(close) => break close,
        }
    };
    match close {
        Close::Linger => linger(&io, &mut buffer, &mut timer).await,
        // TLS tells an end from a connection that was cut (RFC 8446 section 6.1).
        Close::Finish if io.borrow().is_tls() => {
            let until = Instant::now() + LINGER;
            timer.until(Some(until.into()), shutdown(&io)).await.ok();
        }
        Close::Finish | Close::Now => {}
    }
}

/// How a connection is closed.
enum Close {
    /// Something broke: the client must not take it for an orderly end.
    Now,
    /// All is said and read.
    Finish,
    /// The client may still be sending: closing at once would reset the connection and lose the answer.
    Linger,
}

/// A request's head, read.
struct Head<'m> {
    len: usize,
    body: Body,
    keep_alive: bool,
    is_http10: bool,
    is_head: bool,
    /// The client sends its body only when asked to.
    withholds_body: bool,
    prepared: Prepared<'m>,
    record: Record,
}

/// Serves one request. `None`: the connection can carry another.
async fn request(
    worker: &Worker,
    io: &RefCell<Io>,
    buffer: &mut Buffer,
    client: &Client,
    timer: &mut Timer,
) -> Option<Close> {
    let started = Instant::now();
    let snapshot = worker.snapshot_for(client);
    let mut parsed = 0;
    let head = loop {
        if may_complete_head(buffer.filled(), parsed, &worker.http1) {
            match read_head(worker, &snapshot, client, buffer.filled(), started) {
                Ok(Some(head)) => break head,
                Ok(None) => {}
                Err(error) => return Some(refuse(worker, &snapshot, io, started, &error).await),
            }
        }
        parsed = buffer.filled().len();
        let until = started + worker.options.limits.header_timeout;
        match timer.until(Some(until.into()), buffer.fill(io)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return Some(Close::Now),
            Err(_) => {
                let text = "request head took longer than the header timeout\n";
                let late = Reply::text(408, Flags::DOWNSTREAM_PROTOCOL_ERROR, text);
                return Some(refuse_with(worker, &snapshot, io, started, late).await);
            }
        }
    };
    let Head {
        len,
        body,
        keep_alive,
        is_http10,
        is_head,
        withholds_body,
        prepared,
        mut record,
    } = head;
    buffer.consume(len);
    let mut source = H1Source::new(io, buffer, body, &worker.http1);
    let mut sink = H1ResponseSink {
        body: H1Sink::new(io, Body::Empty),
        keep_alive,
        is_http10,
        is_head,
        worker,
    };
    if let Some(delay) = record.delay
        && !hold(delay, &mut source, timer, &mut record).await
    {
        return Some(Close::Now);
    }
    let end = match prepared {
        Prepared::Forward(prepared) => {
            forward(worker, prepared, &mut source, &mut sink, timer, &mut record).await
        }
        Prepared::Reply(answer, edits) => {
            sink.keep_alive &= !withholds_body;
            match reply(worker, answer, edits, is_head, &mut record, &mut sink).await {
                Ok(()) if withholds_body => Ok(End::Complete {
                    request_done: false,
                }),
                Ok(()) => {
                    let until = started + worker.options.limits.header_timeout;
                    let discarded = timer.until(Some(until.into()), discard(&mut source)).await;
                    Ok(End::Complete {
                        request_done: discarded == Ok(true),
                    })
                }
                Err(error) => Err(error),
            }
        }
    };
    let keep_alive = sink.keep_alive;
    drop((source, sink));
    match end {
        Ok(End::Complete { request_done: true }) if keep_alive => None,
        // All that the client sent has been read: closing resets nothing.
        Ok(End::Complete { request_done: true }) if buffer.is_empty() => Some(Close::Finish),
        Ok(End::Complete { .. }) => Some(Close::Linger),
        Ok(End::Aborted) => Some(Close::Now),
        Ok(End::Switched(switched)) => {
            tunnel(worker, io, buffer, *switched, timer, &mut record).await;
            Some(Close::Now)
        }
        Err(error) => {
            tracing::debug!(%error, "client connection ended");
            record.flags |= Flags::DOWNSTREAM_TERMINATION;
            Some(Close::Now)
        }
    }
}

/// Parses a head and decides what becomes of it; `None` needs more bytes.
fn read_head<'m>(
    worker: &Worker,
    snapshot: &'m LocalSnapshot,
    client: &Client,
    bytes: &[u8],
    started: Instant,
) -> Result<Option<Head<'m>>, RequestError> {
    let mut slots = Slots::new();
    let Some(head) = RequestHead::parse(bytes, &worker.http1, &mut slots)? else {
        return Ok(None);
    };
    // First, since it may look at how the connection stands elsewhere.
    let confirmed = worker.confirmation().and_then(|expected| {
        let view = |standing| Http1Request::new(&head, client, standing);
        expected.answer(worker, client, head.path_and_query(), view)
    });
    let standing = client.standing(snapshot);
    let view = Http1Request::new(&head, client, standing);
    let is_http10 = head.version() == Version::Http10;
    let protocol = if is_http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut record = Record::new(started, snapshot.unrouted.clone());
    record.line = worker.line(snapshot, &view, client, protocol);
    let prepared = match confirmed {
        Some(answer) => Prepared::Reply(answer, NO_EDITS),
        None => prepare(
            worker,
            snapshot,
            standing,
            &client.origin,
            &view,
            &mut record,
        ),
    };
    Ok(Some(Head {
        len: head.len(),
        body: head.body(),
        keep_alive: head.keep_alive() && !client.is_outdated(),
        is_http10,
        is_head: head.method() == "HEAD",
        withholds_body: head.expects_continue() && head.body() != Body::Empty,
        prepared,
        record,
    }))
}

/// Answers a request that can't be read.
async fn refuse(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    io: &RefCell<Io>,
    started: Instant,
    error: &RequestError,
) -> Close {
    let text = format!("{error}\n");
    let answer = Reply::text(error.status(), Flags::DOWNSTREAM_PROTOCOL_ERROR, text);
    refuse_with(worker, snapshot, io, started, answer).await
}

async fn refuse_with(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    io: &RefCell<Io>,
    started: Instant,
    answer: Reply,
) -> Close {
    let mut record = Record::new(started, snapshot.unrouted.clone());
    let mut sink = H1ResponseSink {
        body: H1Sink::new(io, Body::Empty),
        keep_alive: false,
        is_http10: false,
        is_head: false,
        worker,
    };
    match reply(worker, answer, NO_EDITS, false, &mut record, &mut sink).await {
        Ok(()) => Close::Linger,
        Err(_) => Close::Now,
    }
}

/// Reads the rest of a body that nobody wants. False: it is too long, or broken.
async fn discard(source: &mut H1Source<'_>) -> bool {
    let mut discarded = 0;
    loop {
        match source.next().await {
            Ok(Part::Data(bytes)) => discarded += bytes.len() as u64,
            Ok(Part::End(_)) => return true,
            Err(_) => return false,
        }
        if discarded > DISCARD_BYTES {
            return false;
        }
    }
}

/// Ends our direction and reads on for a moment, so that what was sent is not lost to a reset.
async fn linger(io: &RefCell<Io>, buffer: &mut Buffer, timer: &mut Timer) {
    if shutdown(io).await.is_err() {
        return;
    }
    let mut discarded = 0;
    let reading = async {
        while discarded < DISCARD_BYTES {
            buffer.consume(buffer.filled().len());
            match buffer.fill(io).await {
                Ok(count @ 1..) => discarded += count as u64,
                _ => break,
            }
        }
    };
    let until = Instant::now() + LINGER;
    timer.until(Some(until.into()), reading).await.ok();
}

async fn tunnel(
    worker: &Worker,
    io: &RefCell<Io>,
    buffer: &mut Buffer,
    switched: Switched,
    timer: &mut Timer,
    record: &mut Record,
) {
    let Switched {
        mut connection,
        pick,
    } = switched;
    let watch = Watch::new(
        Instant::now(),
        None,
        worker.options.limits.stream_idle_timeout,
    );
    let client = TunnelEnd { io, buffer };
    let endpoint = TunnelEnd {
        io: &connection.io,
        buffer: &mut connection.buffer,
    };
    let (received, sent) = (Cell::new(0), Cell::new(0));
    let moved = |up, down| {
        received.set(received.get() + up);
        sent.set(sent.get() + down);
    };
    join(client, endpoint, &watch, timer, moved).await;
    record.bytes_received += received.get();
    record.bytes_sent += sent.get();
    drop(pick);
}

/// Sends an answer.
struct H1ResponseSink<'c> {
    body: H1Sink<'c>,
    /// Whether the connection carries another request after this answer.
    keep_alive: bool,
    is_http10: bool,
    is_head: bool,
    worker: &'c Worker,
}

impl H1ResponseSink<'_> {
    fn write_status(&mut self, head: &impl ResponseView) {
        let status = head.status();
        let canonical = || StatusCode::from_u16(status).ok()?.canonical_reason();
        let out = self.body.pending();
        out.extend_from_slice(b"HTTP/1.1 ");
        let digits = [status / 100 % 10, status / 10 % 10, status % 10];
        out.extend(digits.map(|digit| b'0' + digit as u8));
        out.push(b' ');
        out.extend_from_slice(
            head.reason()
                .or_else(canonical)
                .unwrap_or_default()
                .as_bytes(),
        );
        out.extend_from_slice(b"\r\n");
    }

    /// How the answer's body reaches this client; an unknown length needs chunks, or the connection's end.
    fn framing(&self, head: &impl ResponseView) -> Body {
        if self.is_head || matches!(head.status(), 204 | 304) {
            return Body::Empty;
        }
        match head.body() {
            Body::Empty => Body::Length(0),
            Body::Length(length) => Body::Length(length),
            Body::Chunked | Body::UntilClose if self.is_http10 => Body::UntilClose,
            Body::Chunked | Body::UntilClose => Body::Chunked,
        }
    }
}

impl ResponseSink for H1ResponseSink<'_> {
    fn start(
        &mut self,
        head: &impl ResponseView,
        edits: Edits<'_>,
        flags: Flags,
    ) -> Result<(), BodyError> {
        let framing = self.framing(head);
        self.keep_alive &= !self.worker.draining.get() && framing != Body::UntilClose;
        self.write_status(head);
        let (keep_alive, is_http10, shows_flags) = (
            self.keep_alive,
            self.is_http10,
            self.worker.options.response_flags,
        );
        let out = self.body.pending();
        out.copy(head, |name| !edits.touch(name));
        edits.write(out);
        if shows_flags && !flags.is_empty() {
            write_field(out, "x-dalbi-response-flags", flags.to_string().as_bytes());
        }
        if !keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        } else if is_http10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        match head.content_length() {
            // HEAD and 304 say how long the body would be.
            Some(length) if framing == Body::Empty && head.status() != 204 => {
                Body::Length(length).write_header(out);
            }
            _ => framing.write_header(out),
        }
        out.extend_from_slice(b"\r\n");
        self.body.begin(framing);
        Ok(())
    }

    fn informational(&mut self, head: &impl ResponseView) {
        if self.is_http10 {
            return;
        }
        self.write_status(head);
        let out = self.body.pending();
        if head.status() != 100 {
            out.copy(head, |_| true);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn switch(&mut self, head: &impl ResponseView, edits: Edits<'_>) {
        self.write_status(head);
        let out = self.body.pending();
        out.copy(head, |name| !edits.touch(name));
        edits.write(out);
        out.extend_from_slice(b"connection: upgrade\r\n");
        write_field(out, "upgrade", head.upgrade().unwrap_or_default());
        out.extend_from_slice(b"\r\n");
        self.body.begin(Body::Empty);
    }
}

impl BodySink for H1ResponseSink<'_> {
    async fn data(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        self.body.data(bytes).await
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        self.body.flush().await
    }

    async fn finish(&mut self, trailers: Trailers) -> Result<(), BodyError> {
        self.body.finish(trailers).await
    }
}
