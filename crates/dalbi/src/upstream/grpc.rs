//! The gRPC side of the test server: every message comes back as it is, unary and streaming alike.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use super::body::{self, Body};

/// `INTERNAL`, for a request that ends in the middle of a message.
const INTERNAL: u32 = 13;
/// `UNAVAILABLE`, what an overloaded or failing server says.
pub(crate) const UNAVAILABLE: u32 = 14;

/// Whether this `content-type` is gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Messages back as they come, then the trailers.
pub(crate) fn echo(content_type: Option<HeaderValue>, request: Incoming) -> Response<Body> {
    let echo = Echo {
        request,
        framing: Framing::default(),
        ended: false,
    };
    let mut response = Response::new(echo.boxed_unsync());
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/grpc"));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, content_type);
    response
}

/// A trailers-only answer.
pub(crate) fn status(code: u32, message: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.extend(trailers(code, message));
    response
}

fn trailers(code: u32, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    if !message.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(message));
    }
    trailers
}

/// The request's data, then `grpc-status`. A message is echoed in the pieces it came in: length prefix
/// and payload are the same bytes both ways.
struct Echo {
    request: Incoming,
    framing: Framing,
    ended: bool,
}

impl hyper::body::Body for Echo {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match ready!(Pin::new(&mut self.request).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.framing.read(data);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    // Request trailers have no meaning in gRPC.
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                None => {
                    self.ended = true;
                    let trailers = if self.framing.between_messages() {
                        trailers(0, "")
                    } else {
                        trailers(INTERNAL, "request ended in the middle of a message")
                    };
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
    }
}

/// Follows length-prefixed messages: one flag byte, four bytes of length, payload.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; 5],
    prefix_bytes: usize,
    payload_left: usize,
}

impl Framing {
    fn read(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.payload_left > 0 {
                let taken = self.payload_left.min(data.len());
                self.payload_left -= taken;
                data = &data[taken..];
                continue;
            }
            self.prefix[self.prefix_bytes] = data[0];
            self.prefix_bytes += 1;
            data = &data[1..];
            if let ([_, length @ ..], 5) = (self.prefix, self.prefix_bytes) {
                self.payload_left = u32::from_be_bytes(length) as usize;
                self.prefix_bytes = 0;
            }
        }
    }

    fn between_messages(&self) -> bool {
        self.payload_left == 0 && self.prefix_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_the_same_for_every_split() {
        let whole = [
            &[0, 0, 0, 0, 3][..],
            b"abc",
            &[0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 1],
            b"x",
        ]
        .concat();
        for cut in 0..=whole.len() {
            let mut framing = Framing::default();
            framing.read(&whole[..cut]);
            assert_eq!(
                framing.between_messages(),
                [0, 8, 13, 19].contains(&cut),
                "cut at {cut}"
            );
            framing.read(&whole[cut..]);
            assert!(framing.between_messages(), "cut at {cut}");
        }
    }
}
