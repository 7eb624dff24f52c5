//! HTTP/2 towards clients.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};

use super::body::{BodyError, BodySink, Trailers};
use super::h2_body::{H2Sink, H2Source};
use super::h2_gather::Gather;
use super::h2_guard::Credit;
use super::h2_transport::H2Transport;
use super::view::{Http2Request, ResponseView};
use crate::client::Client;
use crate::exchange::fields::{Edits, FieldSink};
use crate::exchange::flags::Flags;
use crate::exchange::prepare::{NO_EDITS, Prepared, prepare};
use crate::exchange::reply::Reply;
use crate::exchange::{End, ResponseSink, forward, hold, reply};
use crate::telemetry::record::Record;
use crate::timer::Timer;
use crate::transport::Io;
use crate::worker::Worker;

/// Bytes a client may send ahead on one stream before we have passed any of them on.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of each answer that wait in the connection for a client that reads slowly. A client that opens every
/// window and reads nothing makes us hold that for all its streams: 256 KiB were 40 MiB a connection.
const SEND_BUFFER: usize = 64 * 1024;

/// How long a client that is cut off has to take the GOAWAY that says why.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a client's connection until either side closes it. `read` is what was read to tell the version.
pub(crate) async fn serve(worker: &Rc<Worker>, io: Io, read: Vec<u8>, client: Rc<Client>) {
    let limits = &worker.options.limits;
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    let credit = Rc::new(Credit::new(Instant::now()));
    let gather = Rc::new(Gather::new(io));
    let transport = H2Transport::from_client(gather.clone(), read, credit.clone());
    let handshake = builder.handshake(transport);
    let Ok(Ok(mut connection)) = tokio::time::timeout(limits.header_timeout, handshake).await
    else {
        return;
    };
    gather.set_driven(true);
    let activity = Rc::new(Activity {
        streams: Cell::new(0),
        last: Cell::new(Instant::now()),
    });
    let mut timer = Timer::default();
    let mut head_timer = Timer::default();
    let mut closing = false;
    let mut drain = pin!(worker.drained());
    let mut woken = false;
    loop {
        let idle_until = activity.last.get() + limits.idle_timeout;
        let accepted = poll_fn(|cx| {
            // Answers that are ready at about the same time leave in one write: when woken, the connection
            // first lets everything else run that the kernel already has news for.
            if std::mem::take(&mut woken) {
                return pin!(tokio::task::yield_now()).poll(cx).map(|()| None);
            }
            if !closing && (drain.as_mut().poll(cx).is_ready() || client.is_outdated()) {
                // Clients are told which streams were taken (RFC 9113 section 6.8) and finish those.
                connection.graceful_shutdown();
                closing = true;
            }
            let accepted = connection.poll_accept(cx);
            let late = credit.head_since().is_some_and(|since| {
                let until = since + limits.header_timeout;
                head_timer.poll_expired(until.into(), cx).is_ready()
            });
            if late || credit.is_spent() {
                return Poll::Ready(Some(Err(Reason::ENHANCE_YOUR_CALM.into())));
            }
            woken = accepted.is_pending();
            if woken && let Poll::Ready(Err(error)) = gather.poll_send(cx) {
                tracing::debug!(peer = %client.peer, %error, "http/2 client can't be written to");
                return Poll::Ready(None);
            }
            accepted
        });
        match timer.until(Some(idle_until.into()), accepted).await {
            Ok(Some(Ok((request, respond)))) => {
                let (worker, client) = (worker.clone(), client.clone());
                let credit = credit.clone();
                let counted = activity.begin();
                tokio::task::spawn_local(async move {
                    stream(&worker, &client, &credit, request, respond).await;
                    drop(counted);
                });
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(peer = %client.peer, %error, "http/2 client connection failed");
                gather.set_driven(false);
                // Does nothing more where h2 itself has ended it.
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let closed = poll_fn(|cx| connection.poll_closed(cx));
                let until = Instant::now() + LINGER;
                timer.until(Some(until.into()), closed).await.ok();
                return;
            }
            Ok(None) => return,
            Err(_) if activity.streams.get() > 0 => activity.last.set(Instant::now()),
            // The last stream ended while the timer ran.
            Err(_) if activity.last.get().elapsed() < limits.idle_timeout => {}
            Err(_) if closing => return,
            Err(_) => {
                connection.graceful_shutdown();
                closing = true;
                activity.last.set(Instant::now());
            }
        }
    }
}

/// What a connection's idle timeout goes by.
struct Activity {
    streams: Cell<usize>,
    /// When the last stream began or ended.
    last: Cell<Instant>,
}

impl Activity {
    fn begin(self: &Rc<Self>) -> Counted {
        self.streams.set(self.streams.get() + 1);
        self.last.set(Instant::now());
        Counted(self.clone())
    }
}

/// A stream counted by its connection.
struct Counted(Rc<Activity>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.last.set(Instant::now());
    }
}

/// Serves one request.
async fn stream(
    worker: &Worker,
    client: &Client,
    credit: &Credit,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let started = Instant::now();
    let snapshot = worker.snapshot_for(client);
    let (parts, body) = request.into_parts();
    let ends = body.is_end_stream();
    let mut record = Record::new(started, snapshot.unrouted.clone());
    let is_head = parts.method == http::Method::HEAD;
    let limit = worker.options.limits.max_headers;
    let prepared = match within(limit, &parts).and_then(|()| authority(&parts)) {
        Ok(authority) => {
            // First, since it may look at how the connection stands elsewhere.
            let confirmed = worker.confirmation().and_then(|expected| {
                let path = parts.uri.path_and_query();
                let path = path.map_or("/", http::uri::PathAndQuery::as_str);
                let view = |standing| Http2Request::new(&parts, ends, client, standing, authority);
                expected.answer(worker, client, path, view)
            });
            let standing = client.standing(&snapshot);
            let view = Http2Request::new(&parts, ends, client, standing, authority);
            record.line = worker.line(&snapshot, &view, client, "HTTP/2");
            match confirmed {
                Some(answer) => Prepared::Reply(answer, NO_EDITS),
                None => prepare(
                    worker,
                    &snapshot,
                    standing,
                    &client.origin,
                    &view,
                    &mut record,
                ),
            }
        }
        Err(refusal) => Prepared::Reply(refusal, NO_EDITS),
    };
    drop(parts);
    let respond = RefCell::new(respond);
    let stream = RefCell::new(None);
    let mut source = H2Source::new(body);
    let mut sink = H2ResponseSink {
        respond: &respond,
        body: H2Sink::new(&stream, false),
        worker,
        is_head,
    };
    let mut timer = Timer::default();
    let ended = {
        let exchange = pin!(async {
            if let Some(delay) = record.delay {
                // It leaves by a reset, which drops all of this.
                hold(delay, &mut source, &mut timer, &mut record).await;
            }
            match prepared {
                Prepared::Forward(prepared) => {
                    forward(
                        worker,
                        prepared,
                        &mut source,
                        &mut sink,
                        &mut timer,
                        &mut record,
                    )
                    .await
                }
                Prepared::Reply(answer, edits) => {
                    reply(worker, answer, edits, is_head, &mut record, &mut sink)
                        .await
                        .map(|()| End::Complete { request_done: true })
                }
            }
        });
        unless_reset(exchange, &respond, &stream).await
    };
    match ended {
        Some(Ok(End::Complete { .. })) => {
            if record.flags.contains(Flags::DOWNSTREAM_PROTOCOL_ERROR) {
                credit.request_refused(Instant::now());
            } else {
                credit.request_done();
            }
        }
        Some(Ok(End::Aborted | End::Switched(_))) => {
            reset(&respond, &stream, Reason::INTERNAL_ERROR);
        }
        Some(Err(error)) => {
            tracing::debug!(%error, "http/2 stream ended");
            record.flags |= Flags::DOWNSTREAM_TERMINATION;
        }
        None => record.flags |= Flags::DOWNSTREAM_TERMINATION,
    }
    if record.flags.contains(Flags::DOWNSTREAM_TERMINATION) {
        credit.request_cancelled(started, Instant::now());
    }
}

/// Runs an exchange unless the client resets its stream, which drops it: the try in flight is cancelled.
async fn unless_reset<T>(
    mut exchange: Pin<&mut impl Future<Output = T>>,
    respond: &RefCell<SendResponse<Bytes>>,
    stream: &RefCell<Option<SendStream<Bytes>>>,
) -> Option<T> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = exchange.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let reset = match stream.borrow_mut().as_mut() {
            Some(stream) => stream.poll_reset(cx),
            None => respond.borrow_mut().poll_reset(cx),
        };
        reset.map(|_| None)
    })
    .await
}

fn reset(
    respond: &RefCell<SendResponse<Bytes>>,
    stream: &RefCell<Option<SendStream<Bytes>>>,
    reason: Reason,
) {
    match stream.borrow_mut().as_mut() {
        Some(stream) => stream.send_reset(reason),
        None => respond.borrow_mut().send_reset(reason),
    }
}

/// Refuses a request with more than `limit` fields; h2 has seen to their size.
fn within(limit: usize, parts: &http::request::Parts) -> Result<(), Reply> {
    if parts.headers.len() <= limit {
        return Ok(());
    }
    let error = http1::RequestError::TooManyHeaders { limit };
    let text = format!("{error}\n");
    Err(Reply::text(
        error.status(),
        Flags::DOWNSTREAM_PROTOCOL_ERROR,
        text,
    ))
}

/// `:authority`, or the one `host` (RFC 9113 section 8.3.1).
fn authority(parts: &http::request::Parts) -> Result<&str, Reply> {
    let bad = |text| Reply::text(400, Flags::DOWNSTREAM_PROTOCOL_ERROR, text);
    if parts.method == http::Method::CONNECT {
        return Err(Reply::text(
            501,
            Flags::DOWNSTREAM_PROTOCOL_ERROR,
            "CONNECT is not implemented; this proxy opens no tunnels\n",
        ));
    }
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("more than one host field\n"));
    }
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), Some(host))
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(bad("host differs from :authority\n"));
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| bad("malformed host\n"))?,
        (None, None) => return Err(bad("neither :authority nor host\n")),
    };
    http1::parse_authority(authority.as_bytes())
        .ok_or_else(|| bad("malformed authority; expected host[:port]\n"))
}

/// Sends an answer.
struct H2ResponseSink<'s> {
    respond: &'s RefCell<SendResponse<Bytes>>,
    body: H2Sink<'s>,
    worker: &'s Worker,
    is_head: bool,
}

impl H2ResponseSink<'_> {
    fn head(&self, head: &impl ResponseView, edits: Edits<'_>, flags: Flags) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        let fields = response.headers_mut();
        fields.copy(head, |name| !edits.touch(name));
        edits.write(fields);
        if self.worker.options.response_flags && !flags.is_empty() {
            fields.put("x-dalbi-response-flags", flags.to_string().as_bytes());
        }
        if let Some(length) = head.content_length() {
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        response
    }
}

impl ResponseSink for H2ResponseSink<'_> {
    fn start(
        &mut self,
        head: &impl ResponseView,
        edits: Edits<'_>,
        flags: Flags,
    ) -> Result<(), BodyError> {
        let ends = self.is_head
            || matches!(head.status(), 204 | 304)
            || matches!(head.body(), http1::Body::Empty | http1::Body::Length(0));
        let response = self.head(head, edits, flags);
        let stream = self.respond.borrow_mut().send_response(response, ends)?;
        self.body.begin(stream, ends);
        Ok(())
    }

    fn informational(&mut self, head: &impl ResponseView) {
        let response = self.head(head, NO_EDITS, Flags::NONE);
        if let Err(error) = self.respond.borrow_mut().send_informational(response) {
            tracing::debug!(%error, "informational response not passed on");
        }
    }

    fn switch(&mut self, _: &impl ResponseView, _: Edits<'_>) {
        unreachable!("HTTP/2 requests ask for no upgrade");
    }
}

impl BodySink for H2ResponseSink<'_> {
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
