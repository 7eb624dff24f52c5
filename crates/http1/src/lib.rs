//! HTTP/1.1 message framing (RFC 9112, with the field rules of RFC 9110): bytes in, heads and body
//! events out, and back. No I/O, no clock, no allocation on the common path; the caller owns the
//! buffers and the sockets.
//!
//! A proxy is where request smuggling lives, so this crate **refuses rather than guesses**. It
//! accepts one reading of a message or none; after any error the connection must be closed, because
//! what follows on it can't be trusted. It refuses:
//!
//! - both `Content-Length` and `Transfer-Encoding`; a repeated, signed, listed or overflowing
//!   `Content-Length`; any `Transfer-Encoding` but a single `chunked`, and any at all in HTTP/1.0;
//! - a bare CR or LF, obs-fold, whitespace before a colon, NUL and other control bytes, an empty or
//!   odd field name;
//! - a `Host` that is missing, repeated or not `host[:port]`; user names in an authority; a
//!   fragment or a byte outside visible ASCII in the target; absolute targets that are not `http`
//!   or `https`; `CONNECT`;
//! - a `Connection` that asks to strip a field the upstream's answer or safety depends on, such as
//!   `Host`;
//! - chunk sizes that overflow, chunk lines and trailers over their limits, data not followed by
//!   CRLF;
//! - heads over [`Limits::head_bytes`] or [`Limits::headers`].
//!
//! It does not do what needs a connection or a policy: it keeps no timers, answers nothing,
//! rewrites no `Host`, adds no header, decodes no content coding, and never reports `Upgrade: h2c`
//! as an upgrade.
//!
//! ```
//! use http1::{Body, Decoder, Event, Limits, RequestHead, Slots};
//!
//! let limits = Limits::default();
//! let bytes = b"POST /cart?id=7 HTTP/1.1\r\nHost: shop.example\r\nConnection: x-hop\r\n\
//!     X-Hop: 1\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello";
//!
//! let mut slots = Slots::new();
//! let head = RequestHead::parse(bytes, &limits, &mut slots)?.expect("the head is complete");
//! assert_eq!((head.method(), head.path_and_query()), ("POST", "/cart?id=7"));
//! assert_eq!(head.authority(), "shop.example");
//! assert_eq!(head.body(), Body::Length(5));
//!
//! // What goes upstream: end-to-end fields as they came, without those that the caller rewrites,
//! // then our own framing.
//! let mut upstream = b"POST /cart?id=7 HTTP/1.1\r\nHost: cart.internal\r\n".to_vec();
//! head.write_headers(&mut upstream, |name| !name.eq_ignore_ascii_case("host"));
//! head.body().write_header(&mut upstream);
//! upstream.extend_from_slice(b"\r\n");
//! assert!(upstream.ends_with(b"Host: cart.internal\r\nAccept: */*\r\nContent-Length: 5\r\n\r\n"));
//!
//! let body = &bytes[head.len()..];
//! let mut decoder = Decoder::new(head.body(), &limits);
//! let step = decoder.decode(body)?;
//! assert_eq!(step.event, Event::Data(0..5));
//! assert_eq!(decoder.decode(&body[step.consumed..])?.event, Event::End);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authority;
mod body;
mod connection;
mod decoder;
mod encode;
mod error;
mod field;
mod fields;
mod limits;
mod request;
mod response;
mod trailers;

pub use authority::parse_authority;
pub use body::Body;
pub use decoder::{Decoder, Event, Step};
pub use encode::{CHUNK_END, LAST_CHUNK, write_chunk_header};
pub use error::{BodyError, Fault, RequestError, ResponseError};
pub use fields::Slots;
pub use limits::Limits;
pub use request::{RequestHead, TargetForm, Version};
pub use response::{RequestKind, ResponseHead};
pub use trailers::Trailers;
