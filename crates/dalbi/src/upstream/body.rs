//! Response bodies.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};

/// What the test server sends.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One frame of filler; longer bodies repeat it.
const FILLER_BYTES: usize = 64 * 1024;

/// Printable filler in lines of 64 characters, so that a body shown in a terminal does no harm.
pub(crate) fn filler() -> Bytes {
    const LINE: &[u8; 64] = b"dalbi upstream filler: 0123456789 abcdefghijklmnopqrstuvwxyz ..\n";
    LINE.iter().copied().cycle().take(FILLER_BYTES).collect()
}

/// Bytes that are there already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// `bytes` bytes cut from `filler`, of which the connection breaks after `abort_after`.
pub(crate) fn filled(filler: Bytes, bytes: u64, abort_after: Option<u64>) -> Body {
    if abort_after.is_none() && bytes <= FILLER_BYTES as u64 {
        return full(filler.slice(..bytes as usize));
    }
    let sent_bytes = abort_after.map_or(bytes, |limit| limit.min(bytes));
    let frames = futures_util::stream::unfold(Some(sent_bytes), move |left| {
        let filler = filler.clone();
        async move {
            match left? {
                0 if abort_after.is_some() => {
                    // Being pending once lets the connection flush what it holds; an error would discard it.
                    tokio::task::yield_now().await;
                    Some((Err(io::Error::other("aborted on request")), None))
                }
                0 => None,
                left => {
                    let length = left.min(FILLER_BYTES as u64);
                    Some((
                        Ok(Frame::data(filler.slice(..length as usize))),
                        Some(left - length),
                    ))
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The request's own body, as it comes.
pub(crate) fn echoed(body: Incoming) -> Body {
    body.map_err(io::Error::other).boxed_unsync()
}
