//! HTTP/1.1 bodies over a socket, the same towards clients and endpoints.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue};
use http1::{Body, Decoder, Event, Limits};

use super::body::{BodyError, BodySink, BodySource, Left, Part, Trailers};
use super::view::write_field;
use crate::buffer::{self, Buffer};
use crate::transport::{Io, write_all};

/// Pieces up to this size are copied together into one write; larger ones are passed on from where they
/// lie. Copying this much costs less than a system call.
const COPY_BYTES: usize = 16 * 1024;

/// Whether it is worth parsing `bytes` as a head, of which `parsed` were not enough the last time. A head ends
/// with a LF: trying again for each byte that a peer trickles would cost the square of the head's length.
pub(crate) fn may_complete_head(bytes: &[u8], parsed: usize, limits: &Limits) -> bool {
    parsed == 0 || bytes.len() >= limits.head_bytes || bytes[parsed..].contains(&b'\n')
}

/// Reads a body.
#[derive(Debug)]
pub(crate) struct H1Source<'c> {
    io: &'c RefCell<Io>,
    buffer: &'c mut Buffer,
    decoder: Decoder,
    /// What the last part handed out took up; consumed when the next is asked for.
    taken: usize,
}

impl<'c> H1Source<'c> {
    pub(crate) fn new(
        io: &'c RefCell<Io>,
        buffer: &'c mut Buffer,
        body: Body,
        limits: &Limits,
    ) -> Self {
        Self {
            io,
            buffer,
            decoder: Decoder::new(body, limits),
            taken: 0,
        }
    }

    /// Starts over with the body that a head announced.
    pub(crate) fn begin(&mut self, body: Body, limits: &Limits) {
        self.decoder = Decoder::new(body, limits);
    }

    /// What has been read and not been consumed.
    pub(crate) fn buffer(&mut self) -> &mut Buffer {
        self.buffer.consume(std::mem::take(&mut self.taken));
        self.buffer
    }

    /// Reads once more into the buffer; 0 at the end of the stream.
    pub(crate) async fn fill(&mut self) -> std::io::Result<usize> {
        let io = self.io;
        self.buffer().fill(io).await
    }

    /// Whether the body has been read to its end.
    pub(crate) fn is_ended(&self) -> bool {
        self.decoder.is_ended()
    }
}

impl Drop for H1Source<'_> {
    fn drop(&mut self) {
        self.buffer.consume(self.taken);
    }
}

impl BodySource for H1Source<'_> {
    async fn next(&mut self) -> Result<Part<'_>, BodyError> {
        loop {
            self.buffer.consume(std::mem::take(&mut self.taken));
            let step = self.decoder.decode(self.buffer.filled())?;
            match step.event {
                Event::Data(range) => {
                    self.taken = step.consumed;
                    return Ok(Part::Data(&self.buffer.filled()[range]));
                }
                Event::Trailers(range) => {
                    let trailers = trailer_map(&self.buffer.filled()[range]);
                    self.buffer.consume(step.consumed);
                    return Ok(Part::End(trailers));
                }
                Event::End => {
                    self.buffer.consume(step.consumed);
                    return Ok(Part::End(None));
                }
                Event::NeedMore => {
                    self.buffer.consume(step.consumed);
                    if self.buffer.fill(self.io).await? == 0 {
                        self.decoder.eof()?;
                        return Ok(Part::End(None));
                    }
                }
            }
        }
    }

    async fn left(&mut self) -> Left {
        // What comes instead belongs to the next request, and is a sign of life.
        if self.buffer().is_empty() {
            match self.fill().await {
                Ok(0) => return Left::MaybeReads,
                Ok(_) => {}
                Err(_) => return Left::Gone,
            }
        }
        std::future::pending().await
    }
}

fn trailer_map(block: &[u8]) -> Trailers {
    let mut map = HeaderMap::new();
    for (name, value) in http1::Trailers::new(block).iter() {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then(|| Box::new(map))
}

/// Writes a body, after whatever head stands in [`Self::pending`].
#[derive(Debug)]
pub(crate) struct H1Sink<'c> {
    io: &'c RefCell<Io>,
    body: Body,
    pending: Vec<u8>,
}

impl<'c> H1Sink<'c> {
    pub(crate) fn new(io: &'c RefCell<Io>, body: Body) -> Self {
        Self {
            io,
            body,
            pending: Vec::new(),
        }
    }

    /// Sets how the body is framed.
    pub(crate) fn begin(&mut self, body: Body) {
        self.body = body;
    }

    /// Whether the body's end has to be written too.
    pub(crate) fn is_chunked(&self) -> bool {
        self.body == Body::Chunked
    }

    /// What goes out before the next bytes of body: heads are written here.
    pub(crate) fn pending(&mut self) -> &mut Vec<u8> {
        if self.pending.capacity() == 0 {
            self.pending = buffer::take();
        }
        &mut self.pending
    }

    async fn write_pending(&mut self, then: &[u8]) -> Result<(), BodyError> {
        let written = write_all(self.io, &self.pending, then).await;
        self.pending.clear();
        Ok(written?)
    }
}

impl Drop for H1Sink<'_> {
    fn drop(&mut self) {
        if self.pending.capacity() > 0 {
            buffer::give(std::mem::take(&mut self.pending));
        }
    }
}

impl BodySink for H1Sink<'_> {
    async fn data(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let chunked = self.body == Body::Chunked;
        if chunked {
            http1::write_chunk_header(bytes.len(), self.pending());
        }
        if self.pending.len() + bytes.len() > COPY_BYTES {
            self.write_pending(bytes).await?;
        } else {
            self.pending().extend_from_slice(bytes);
        }
        if chunked {
            self.pending().extend_from_slice(http1::CHUNK_END);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write_pending(&[]).await
    }

    async fn finish(&mut self, trailers: Trailers) -> Result<(), BodyError> {
        if self.body == Body::Chunked {
            let pending = self.pending();
            pending.extend_from_slice(http1::LAST_CHUNK);
            for (name, value) in trailers.iter().flat_map(|trailers| trailers.iter()) {
                if http1::Trailers::allows(name.as_str()) {
                    write_field(pending, name.as_str(), value.as_bytes());
                }
            }
            pending.extend_from_slice(http1::CHUNK_END);
        }
        self.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickled_head_is_parsed_once_a_line() {
        let head = format!(
            "GET / HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n",
            "v".repeat(5_000)
        );
        let head = head.as_bytes();
        let tries = |limits: &Limits| {
            let lengths = 1..=head.len();
            lengths
                .filter(|length| may_complete_head(&head[..*length], length - 1, limits))
                .count()
        };
        // The first byte and the four line ends.
        assert_eq!(tries(&Limits::default()), 5);
        // A head that reaches the limit is judged at once, line end or not.
        let head_bytes = 4_000;
        let short = Limits {
            head_bytes,
            ..Limits::default()
        };
        assert!(may_complete_head(
            &head[..head_bytes],
            head_bytes - 1,
            &short
        ));
        assert!(!may_complete_head(
            &head[..head_bytes - 1],
            head_bytes - 2,
            &short
        ));
    }
}
