//! HTTP/2 bodies over a stream, the same towards clients and endpoints.

use std::cell::RefCell;
use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};

use super::body::{BodyError, BodySink, BodySource, Part, Trailers};

/// Small pieces are gathered up to this size, the default size of a frame (RFC 9113 section 6.5.2).
const GATHER_BYTES: usize = 16 * 1024;

/// Reads a body. Window is given back to the peer only for what has been passed on, so a slow reader on the
/// other side slows the peer down.
#[derive(Debug)]
pub(crate) struct H2Source {
    stream: RecvStream,
    chunk: Bytes,
}

impl H2Source {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            chunk: Bytes::new(),
        }
    }

    fn release(&mut self) -> Result<(), h2::Error> {
        let passed = std::mem::take(&mut self.chunk).len();
        if passed > 0 {
            self.stream.flow_control().release_capacity(passed)?;
        }
        Ok(())
    }
}

impl BodySource for H2Source {
    async fn next(&mut self) -> Result<Part<'_>, BodyError> {
        self.release()?;
        loop {
            match poll_fn(|cx| self.stream.poll_data(cx)).await {
                Some(chunk) => {
                    let chunk = chunk?;
                    if !chunk.is_empty() {
                        self.chunk = chunk;
                        return Ok(Part::Data(&self.chunk));
                    }
                }
                None => {
                    let trailers = poll_fn(|cx| self.stream.poll_trailers(cx)).await?;
                    return Ok(Part::End(trailers.map(Box::new)));
                }
            }
        }
    }
}

/// Writes a body within the peer's window.
#[derive(Debug)]
pub(crate) struct H2Sink<'s> {
    /// Shared with whoever watches for the peer's reset; `None` until the head is sent.
    stream: &'s RefCell<Option<SendStream<Bytes>>>,
    held: BytesMut,
    ended: bool,
}

impl<'s> H2Sink<'s> {
    /// `ended`: the head has ended the stream already.
    pub(crate) fn new(stream: &'s RefCell<Option<SendStream<Bytes>>>, ended: bool) -> Self {
        Self {
            stream,
            held: BytesMut::new(),
            ended,
        }
    }

    /// The head has been sent, and ended the stream if `ended`.
    pub(crate) fn begin(&mut self, stream: SendStream<Bytes>, ended: bool) {
        *self.stream.borrow_mut() = Some(stream);
        self.ended = ended;
    }

    /// Runs `act` on the stream; a stream without a head can't carry a body.
    fn with<R>(
        &self,
        act: impl FnOnce(&mut SendStream<Bytes>) -> Result<R, h2::Error>,
    ) -> Result<R, h2::Error> {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => act(stream),
            None => Err(Reason::INTERNAL_ERROR.into()),
        }
    }

    /// Waits until the peer's window has room for at least one byte, and returns for how many.
    async fn capacity(&self, wanted: usize) -> Result<usize, h2::Error> {
        let ready = self.with(|stream| {
            stream.reserve_capacity(wanted);
            Ok(stream.capacity())
        })?;
        if ready > 0 {
            return Ok(ready);
        }
        poll_fn(|cx| {
            let mut stream = self.stream.borrow_mut();
            let stream = stream.as_mut().expect("checked above");
            stream
                .poll_capacity(cx)
                .map(|capacity| capacity.unwrap_or(Err(Reason::CANCEL.into())))
        })
        .await
    }

    async fn send(&mut self, end: bool) -> Result<(), BodyError> {
        while !self.held.is_empty() {
            let capacity = self.capacity(self.held.len()).await?;
            let piece = self.held.split_to(capacity.min(self.held.len())).freeze();
            let last = end && self.held.is_empty();
            self.with(|stream| stream.send_data(piece, last))?;
            if last {
                return Ok(());
            }
        }
        if end {
            self.with(|stream| stream.send_data(Bytes::new(), true))?;
        }
        Ok(())
    }
}

impl BodySink for H2Sink<'_> {
    async fn data(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        if self.held.len() + bytes.len() > GATHER_BYTES {
            self.send(false).await?;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        self.send(false).await
    }

    async fn finish(&mut self, trailers: Trailers) -> Result<(), BodyError> {
        if self.ended {
            return Ok(());
        }
        let Some(trailers) = trailers else {
            return self.send(true).await;
        };
        self.send(false).await?;
        Ok(self.with(|stream| stream.send_trailers(*trailers))?)
    }
}
