//! Why a message was refused. After any of these the connection must be closed: where the next
//! message starts is no longer known.

use thiserror::Error;

/// What is wrong with a head or a trailer section, whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// A CR or LF that isn't part of a CRLF, where a line ends (RFC 9112 §2.2).
    #[error("a line ends in a bare CR or LF; end every line with CRLF")]
    LineEnd,
    /// More empty lines before the start line than RFC 9112 §2.2 can have meant.
    #[error("too many empty lines before the request line; at most 4 are skipped")]
    EmptyLines,
    /// The start line is not of the shape of RFC 9112 §3 or §4.
    #[error("malformed start line; expected `method target HTTP/1.1` or `HTTP/1.1 status reason`")]
    StartLine,
    /// The target has a byte outside visible ASCII, or a fragment (RFC 9112 §3.2).
    #[error("the request target has a fragment or a byte outside visible ASCII; percent-encode it")]
    Target,
    /// The target is none of the forms that the method may use (RFC 9112 §3.2).
    #[error(
        "the request target must be a path, an http or https URL with a path, or `*` with OPTIONS"
    )]
    TargetForm,
    /// `Host` or the authority of an absolute target is not `host[:port]` (RFC 9110 §4.2, §7.2).
    #[error("the authority must be host[:port], with a name or an address and without a user name")]
    Authority,
    /// No `Host` (RFC 9112 §3.2).
    #[error("no Host header; a request must say which host it is for")]
    HostMissing,
    /// More than one `Host` (RFC 9112 §3.2).
    #[error("more than one Host header; send exactly one")]
    HostRepeated,
    /// A field name is empty or no token, is followed by whitespace, or the line is folded (RFC
    /// 9112 §5.1, §5.2).
    #[error(
        "malformed header name; expected `name: value` without folding or a space before the colon"
    )]
    HeaderName,
    /// A field value has a bare CR, a NUL or another control byte (RFC 9110 §5.5).
    #[error(
        "a header value has a control byte; only tab, visible ASCII and bytes from 0x80 are allowed"
    )]
    HeaderValue,
    /// `Content-Length` is no decimal number below 2^64 (RFC 9110 §8.6).
    #[error("Content-Length must be one decimal number below 2^64")]
    ContentLength,
    /// `Content-Length` comes more than once; equal values are refused too, as RFC 9110 §8.6
    /// allows.
    #[error("more than one Content-Length header; send exactly one")]
    ContentLengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 §6.3).
    #[error("both Content-Length and Transfer-Encoding; send only one")]
    LengthAndCoding,
    /// `Transfer-Encoding` is not exactly one final `chunked` (RFC 9112 §6.1).
    #[error("Transfer-Encoding must be exactly `chunked`, once")]
    TransferEncoding,
    /// `Transfer-Encoding` in an HTTP/1.0 message (RFC 9112 §6.1).
    #[error("Transfer-Encoding in an HTTP/1.0 message; use HTTP/1.1")]
    CodingInHttp10,
    /// `Connection` is no list of tokens, or names more fields than anyone needs (RFC 9110 §7.6.1).
    #[error("Connection must be a list of tokens, and may name at most 10 fields")]
    ConnectionOption,
    /// `Connection` names a field that must not be stripped (RFC 9110 §7.6.1).
    #[error(
        "Connection names a field that must reach the recipient, such as Host or Content-Length"
    )]
    ProtectedField,
}

/// Why a request head was refused; [`status`](Self::status) says what to answer before closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request breaks the protocol: 400.
    #[error("bad request: {0}")]
    BadRequest(#[from] Fault),
    /// Not even the request line fits the head limit: 414.
    #[error(
        "the request line is longer than the limit of {limit} bytes for a head; shorten the URL"
    )]
    UriTooLong {
        /// [`Limits::head_bytes`](crate::Limits::head_bytes).
        limit: usize,
    },
    /// The head is over its limit: 431.
    #[error("the head is longer than the limit of {limit} bytes; send fewer or shorter headers")]
    HeaderFieldsTooLarge {
        /// [`Limits::head_bytes`](crate::Limits::head_bytes).
        limit: usize,
    },
    /// More header fields than the limit: 431.
    #[error("more than the limit of {limit} headers; send fewer")]
    TooManyHeaders {
        /// [`Limits::headers`](crate::Limits::headers).
        limit: usize,
    },
    /// Neither HTTP/1.0 nor HTTP/1.1: 505.
    #[error("HTTP version not supported; use HTTP/1.1")]
    VersionNotSupported,
    /// A transfer coding besides `chunked`: 501 (RFC 9112 §6.1).
    #[error("transfer codings other than `chunked` are not implemented")]
    CodingNotImplemented,
    /// `CONNECT`: this is a reverse proxy and opens no tunnels to where a client says: 501.
    #[error("CONNECT is not implemented; this proxy opens no tunnels")]
    ConnectRefused,
}

impl RequestError {
    /// The status code to answer with before the connection is closed.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::UriTooLong { .. } => 414,
            Self::HeaderFieldsTooLarge { .. } | Self::TooManyHeaders { .. } => 431,
            Self::CodingNotImplemented | Self::ConnectRefused => 501,
            Self::VersionNotSupported => 505,
        }
    }
}

/// Why a response head was refused: the upstream connection is closed and the client gets a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The response breaks the protocol.
    #[error("bad response: {0}")]
    BadResponse(#[from] Fault),
    /// The head is over its limit.
    #[error("the response head is longer than the limit of {limit} bytes")]
    HeadTooLarge {
        /// [`Limits::head_bytes`](crate::Limits::head_bytes).
        limit: usize,
    },
    /// More header fields than the limit.
    #[error("the response has more than the limit of {limit} headers")]
    TooManyHeaders {
        /// [`Limits::headers`](crate::Limits::headers).
        limit: usize,
    },
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the response's HTTP version is not 1.0 or 1.1")]
    VersionNotSupported,
    /// A status outside 100 to 599 (RFC 9110 §15).
    #[error("status {0} is outside 100 to 599")]
    Status(u16),
    /// A 1xx that announces a body (RFC 9110 §15.2).
    #[error("status {0} announces a body, which an informational response can't have")]
    InformationalBody(u16),
    /// A 101 that nobody asked for, or without `Upgrade` (RFC 9110 §15.2.2).
    #[error("101 Switching Protocols without a matching request to upgrade")]
    UnexpectedUpgrade,
}

/// Why a body was refused. Its message must not be reported as complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk-size line that is not hexadecimal digits, optional extensions and CRLF (RFC 9112
    /// §7.1).
    #[error("malformed chunk-size line; expected hexadecimal digits below 2^64, then CRLF")]
    ChunkLine,
    /// A chunk-size line over its limit.
    #[error("a chunk-size line is longer than the limit of {limit} bytes")]
    ChunkLineTooLong {
        /// [`Limits::chunk_line_bytes`](crate::Limits::chunk_line_bytes).
        limit: usize,
    },
    /// Chunk data that is not followed by CRLF (RFC 9112 §7.1).
    #[error("chunk data is not followed by CRLF")]
    ChunkEnd,
    /// A malformed trailer section (RFC 9112 §7.1.2).
    #[error("malformed trailer section: {0}")]
    Trailers(Fault),
    /// A trailer section over its limits.
    #[error("the trailer section is longer than the limit of {bytes} bytes or {fields} fields")]
    TrailersTooLarge {
        /// [`Limits::trailer_bytes`](crate::Limits::trailer_bytes).
        bytes: usize,
        /// [`Limits::headers`](crate::Limits::headers).
        fields: usize,
    },
    /// The peer closed before the body's end (RFC 9112 §8).
    #[error("the peer closed the connection before the end of the body")]
    Truncated,
}
