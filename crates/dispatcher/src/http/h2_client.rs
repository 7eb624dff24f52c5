//! HTTP/2 towards endpoints.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::Request;

use super::body::{BodyError, BodySource, Part};
use super::h2_body::H2Source;
use super::h2_gather::Gather;
use super::h2_guard::Credit;
use super::h2_transport::H2Transport;
use super::upstream::{HeadError, ResponseSource};
use super::view::{HeadVisitor, Http2Response};
use crate::options::Limits;
use crate::pool::Place;
use crate::transport::Io;

/// Bytes an endpoint may send ahead on one stream before we have passed any of them on.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A connection to an endpoint, shared by requests.
#[derive(Debug, Clone)]
pub(crate) struct H2Connection {
    sender: SendRequest<Bytes>,
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    streams: Cell<usize>,
    requests: Cell<u32>,
    max_requests: u32,
    max_headers: usize,
    /// How long a request waits for the endpoint to take another stream.
    patience: Duration,
    closed: Cell<bool>,
    idle_since: Cell<Instant>,
    credit: Rc<Credit>,
}

impl H2Connection {
    /// Shakes hands and keeps the connection going in a task of its own.
    /// `max_requests` is how many requests it carries before it is left to end; 0 is no limit. `patience`:
    /// see [`State`].
    pub(crate) async fn open(
        io: Io,
        place: Place,
        max_requests: u32,
        patience: Duration,
        limits: &Limits,
    ) -> Result<Self, h2::Error> {
        let credit = Rc::new(Credit::new(Instant::now()));
        let gather = Rc::new(Gather::new(io));
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .enable_push(false)
            .handshake(H2Transport::to_endpoint(gather.clone(), credit.clone()))
            .await?;
        gather.set_driven(true);
        let state = Rc::new(State {
            streams: Cell::new(0),
            requests: Cell::new(0),
            max_requests,
            max_headers: limits.max_headers,
            patience,
            closed: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            credit,
        });
        let task_state = state.clone();
        tokio::task::spawn_local(async move {
            let _place = place;
            let ended = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Pending if task_state.credit.is_spent() => {
                    Poll::Ready(Err(Reason::ENHANCE_YOUR_CALM.into()))
                }
                Poll::Pending => match gather.poll_send(cx) {
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "http/2 endpoint can't be written to");
                        Poll::Ready(Ok(()))
                    }
                    _ => Poll::Pending,
                },
                polled => polled,
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "http/2 connection to endpoint ended");
            }
            task_state.closed.set(true);
        });
        Ok(Self { sender, state })
    }

    /// Whether no request can be sent on it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// Whether the endpoint takes another concurrent stream.
    pub(crate) fn has_room(&self) -> bool {
        let state = &self.state;
        !state.closed.get()
            && state.streams.get() < self.sender.current_max_send_streams()
            && (state.max_requests == 0 || state.requests.get() < state.max_requests)
    }

    /// Since when no request uses it; `None` while one does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.state.streams.get() == 0).then(|| self.state.idle_since.get())
    }

    /// Sends a request's head. `ends`: there is no body.
    pub(crate) async fn exchange(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(SendStream<Bytes>, H2ResponseSource), h2::Error> {
        let guard = StreamGuard::new(self.state.clone());
        let mut sender = self.sender.clone();
        // There was room a moment ago; an endpoint that has taken it back may never give it again.
        let ready = poll_fn(|cx| sender.poll_ready(cx));
        tokio::time::timeout(self.state.patience, ready)
            .await
            .unwrap_or(Err(Reason::REFUSED_STREAM.into()))
            .inspect_err(|_| self.state.closed.set(true))?;
        let (response, stream) = sender.send_request(request, ends)?;
        let source = H2ResponseSource {
            response,
            body: None,
            guard,
        };
        Ok((stream, source))
    }
}

/// A stream counted against its connection.
#[derive(Debug)]
struct StreamGuard(Rc<State>);

impl StreamGuard {
    fn new(state: Rc<State>) -> Self {
        state.streams.set(state.streams.get() + 1);
        state.requests.set(state.requests.get().saturating_add(1));
        Self(state)
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.credit.request_done();
        self.0.idle_since.set(Instant::now());
    }
}

/// Receives a response.
#[derive(Debug)]
pub(crate) struct H2ResponseSource {
    response: ResponseFuture,
    body: Option<H2Source>,
    guard: StreamGuard,
}

impl ResponseSource for H2ResponseSource {
    async fn head<V: HeadVisitor>(&mut self, visitor: &mut V) -> Result<V::Output, HeadError> {
        let next = poll_fn(|cx| {
            if let Poll::Ready(Some(informational)) = self.response.poll_informational(cx) {
                return Poll::Ready(informational.map(|head| (head, None)));
            }
            Pin::new(&mut self.response).poll(cx).map(|response| {
                let (parts, body) = response?.into_parts();
                Ok((http::Response::from_parts(parts, ()), Some(body)))
            })
        });
        let (head, body) = next.await.map_err(HeadError::Reset)?;
        let (parts, ()) = head.into_parts();
        let limit = self.guard.0.max_headers;
        if parts.headers.len() > limit {
            return Err(http1::ResponseError::TooManyHeaders { limit }.into());
        }
        let ends = body.as_ref().is_none_or(h2::RecvStream::is_end_stream);
        self.body = body.map(H2Source::new);
        Ok(visitor.visit(&Http2Response {
            parts: &parts,
            ends,
        }))
    }
}

impl BodySource for H2ResponseSource {
    async fn next(&mut self) -> Result<Part<'_>, BodyError> {
        match &mut self.body {
            Some(body) => body.next().await,
            None => Ok(Part::End(None)),
        }
    }
}
