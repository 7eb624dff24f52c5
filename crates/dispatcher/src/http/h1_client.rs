//! HTTP/1.1 towards endpoints.

use std::cell::RefCell;
use std::io;

use http1::{Body, Limits, RequestKind, ResponseHead, Slots};

use super::body::{BodyError, BodySink, BodySource, Part, Trailers};
use super::h1_body::{H1Sink, H1Source, may_complete_head};
use super::upstream::{HeadError, ResponseSource};
use super::view::HeadVisitor;
use crate::buffer::Buffer;
use crate::pool::Place;
use crate::transport::{Io, write_all};

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct H1Connection {
    pub(crate) io: RefCell<Io>,
    pub(crate) buffer: Buffer,
    /// Requests sent on it so far.
    pub(crate) requests: u32,
    _place: Place,
}

impl H1Connection {
    pub(crate) fn new(io: Io, place: Place) -> Self {
        Self {
            io: RefCell::new(io),
            buffer: Buffer::default(),
            requests: 0,
            _place: place,
        }
    }

    /// Whether the endpoint has neither closed it nor sent anything unasked.
    pub(crate) fn is_reusable(&mut self) -> bool {
        self.buffer.is_empty() && self.io.get_mut().is_quiet()
    }

    /// The two directions of one exchange. `head` is the encoded request head.
    pub(crate) fn exchange<'c>(
        &'c mut self,
        head: &'c [u8],
        body: Body,
        kind: RequestKind,
        limits: &'c Limits,
    ) -> (H1RequestSink<'c>, H1ResponseSource<'c>) {
        self.requests += 1;
        let sink = H1RequestSink {
            io: &self.io,
            head: Some(head),
            body: H1Sink::new(&self.io, body),
        };
        let source = H1ResponseSource {
            body: H1Source::new(&self.io, &mut self.buffer, Body::Empty, limits),
            kind,
            limits,
            keep_alive: false,
        };
        (sink, source)
    }
}

/// Sends a request: its head together with the first of its body.
#[derive(Debug)]
pub(crate) struct H1RequestSink<'c> {
    io: &'c RefCell<Io>,
    head: Option<&'c [u8]>,
    body: H1Sink<'c>,
}

impl H1RequestSink<'_> {
    fn start(&mut self) {
        if let Some(head) = self.head.take() {
            self.body.pending().extend_from_slice(head);
        }
    }
}

impl BodySink for H1RequestSink<'_> {
    async fn data(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        self.start();
        self.body.data(bytes).await
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        self.start();
        self.body.flush().await
    }

    async fn finish(&mut self, trailers: Trailers) -> Result<(), BodyError> {
        if !self.body.is_chunked()
            && let Some(head) = self.head.take()
        {
            return Ok(write_all(self.io, head, &[]).await?);
        }
        self.start();
        self.body.finish(trailers).await
    }
}

/// Receives a response.
#[derive(Debug)]
pub(crate) struct H1ResponseSource<'c> {
    body: H1Source<'c>,
    kind: RequestKind,
    limits: &'c Limits,
    keep_alive: bool,
}

impl H1ResponseSource<'_> {
    /// Whether the response has been read to its end and the connection can carry another request.
    pub(crate) fn is_reusable(&mut self) -> bool {
        self.keep_alive && self.body.is_ended() && self.body.buffer().is_empty()
    }
}

impl ResponseSource for H1ResponseSource<'_> {
    async fn head<V: HeadVisitor>(&mut self, visitor: &mut V) -> Result<V::Output, HeadError> {
        let mut parsed = 0;
        loop {
            let buffer = self.body.buffer();
            if !buffer.is_empty() && may_complete_head(buffer.filled(), parsed, self.limits) {
                let mut slots = Slots::new();
                let head =
                    ResponseHead::parse(buffer.filled(), self.kind, self.limits, &mut slots)?;
                if let Some(head) = head {
                    let output = visitor.visit(&head);
                    let (len, body) = (head.len(), head.body());
                    self.keep_alive = head.keep_alive() && body != Body::UntilClose;
                    buffer.consume(len);
                    self.body.begin(body, self.limits);
                    return Ok(output);
                }
            }
            let begun = !buffer.is_empty();
            parsed = buffer.filled().len();
            match self.body.fill().await {
                Ok(0) => return Err(HeadError::Closed { begun, error: None }),
                Ok(_) => {}
                Err(error) => {
                    return Err(HeadError::Closed {
                        begun,
                        error: Some(io::Error::to_string(&error)),
                    });
                }
            }
        }
    }
}

impl BodySource for H1ResponseSource<'_> {
    async fn next(&mut self) -> Result<Part<'_>, BodyError> {
        self.body.next().await
    }
}
