//! Bodies on their way from one side to the other.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use http::HeaderMap;

use crate::exchange::mirror::Feeders;

/// What may follow a body. Boxed: it is rare, and a map would make every wait larger.
pub(crate) type Trailers = Option<Box<HeaderMap>>;

/// Why a body stopped before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection under it failed or was closed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It was not framed as its head said.
    #[error("{0}")]
    Framing(#[from] http1::BodyError),
    /// The HTTP/2 stream or connection failed.
    #[error("{0}")]
    H2(#[from] h2::Error),
}

/// What comes next of a body.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// Some bytes, never empty.
    Data(&'a [u8]),
    /// The end, with trailers if there were any.
    End(Trailers),
}

/// Where a body comes from.
pub(crate) trait BodySource {
    /// The next part, in order; not called again after [`Part::End`].
    fn next(&mut self) -> impl Future<Output = Result<Part<'_>, BodyError>>;

    /// Ready when the peer has left, as far as that can be seen here. Not to be called between two parts.
    fn left(&mut self) -> impl Future<Output = Left> {
        std::future::pending()
    }
}

/// How a peer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It ended its own direction: it may be gone, or still read.
    MaybeReads,
    /// The connection broke.
    Gone,
}

/// Where a body goes.
pub(crate) trait BodySink {
    /// Takes bytes; waits while the peer is slower. They may be kept back until [`Self::flush`].
    fn data(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), BodyError>>;

    /// Sends what was kept back: called before every wait for the source.
    fn flush(&mut self) -> impl Future<Output = Result<(), BodyError>>;

    /// Ends the body and sends everything.
    fn finish(&mut self, trailers: Trailers) -> impl Future<Output = Result<(), BodyError>>;
}

/// Which side a body broke on.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The side it came from.
    Source(BodyError),
    /// The side it went to.
    Sink,
}

/// What a completed transfer moved.
#[derive(Debug, Default)]
pub(crate) struct Transferred {
    /// Trailers at its end.
    pub(crate) trailers: Trailers,
}

/// Moves a whole body. `progress` is told of every part, so that an idle timeout can see movement.
pub(crate) async fn transfer(
    source: &mut impl BodySource,
    sink: &mut impl BodySink,
    mut progress: impl FnMut(usize),
) -> Result<Transferred, TransferError> {
    loop {
        let mut next = pin!(source.next());
        let ready = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        let part = match ready {
            Poll::Ready(part) => part,
            Poll::Pending => {
                sink.flush().await.map_err(|_| TransferError::Sink)?;
                next.await
            }
        };
        match part.map_err(TransferError::Source)? {
            Part::Data(bytes) => {
                progress(bytes.len());
                sink.data(bytes).await.map_err(|_| TransferError::Sink)?;
            }
            Part::End(trailers) => {
                sink.finish(trailers.clone())
                    .await
                    .map_err(|_| TransferError::Sink)?;
                return Ok(Transferred { trailers });
            }
        }
    }
}

/// How much of a request body is kept so that another try can send it again. Larger bodies are streamed
/// and the request is then not tried again once any of it has left.
const REPLAY_BYTES: usize = 64 * 1024;

/// A request's body, which further tries may need from its beginning.
#[derive(Debug)]
pub(crate) struct RequestBody<'a, B> {
    source: &'a mut B,
    /// What has been read so far, while that is little enough to send again.
    read: Vec<u8>,
    replayable: &'a Cell<bool>,
    /// Copies of the request, which get each part once however often it is sent.
    copies: Feeders,
    /// The end, once seen.
    end: Option<Trailers>,
}

impl<'a, B: BodySource> RequestBody<'a, B> {
    /// `empty`: the head says that there is no body. `replayable` says at any time whether another try could
    /// send all of it; the caller sets it when further tries may come.
    pub(crate) fn new(
        source: &'a mut B,
        empty: bool,
        replayable: &'a Cell<bool>,
        copies: Feeders,
    ) -> Self {
        Self {
            source,
            read: Vec::new(),
            replayable,
            copies,
            end: empty.then_some(None),
        }
    }

    /// Whether all of it has been read from the client.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.is_some()
    }

    /// Ready when the client has left; for after [`Self::send`].
    pub(crate) async fn left(&mut self) -> Left {
        self.source.left().await
    }

    /// Sends it all to one try's endpoint.
    pub(crate) async fn send(
        &mut self,
        sink: &mut impl BodySink,
        progress: impl FnMut(usize),
    ) -> Result<(), TransferError> {
        if !self.read.is_empty() {
            sink.data(&self.read)
                .await
                .map_err(|_| TransferError::Sink)?;
        }
        if let Some(trailers) = &self.end {
            return sink
                .finish(trailers.clone())
                .await
                .map_err(|_| TransferError::Sink);
        }
        let mut recorder = Recorder {
            source: self.source,
            read: &mut self.read,
            replayable: self.replayable,
            copies: &mut self.copies,
        };
        let transferred = transfer(&mut recorder, sink, progress).await?;
        self.end = Some(transferred.trailers);
        Ok(())
    }
}

/// Keeps a copy of what passes, up to [`REPLAY_BYTES`].
struct Recorder<'a, B> {
    source: &'a mut B,
    read: &'a mut Vec<u8>,
    replayable: &'a Cell<bool>,
    copies: &'a mut Feeders,
}

impl<B: BodySource> BodySource for Recorder<'_, B> {
    async fn next(&mut self) -> Result<Part<'_>, BodyError> {
        let part = self.source.next().await?;
        if let (Part::Data(bytes), true) = (&part, self.replayable.get()) {
            if self.read.len() + bytes.len() > REPLAY_BYTES {
                self.replayable.set(false);
                *self.read = Vec::new();
            } else {
                self.read.extend_from_slice(bytes);
            }
        }
        if !self.copies.is_empty() {
            match &part {
                Part::Data(bytes) => self.copies.push(bytes).await,
                Part::End(trailers) => self.copies.finish(trailers),
            }
        }
        Ok(part)
    }
}
