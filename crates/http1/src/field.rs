//! Field names that framing must know, told apart by length first: most names of a head are none of
//! them, and this runs for every name of every head.

/// A field that this crate acts on, or `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Connection,
    ContentLength,
    Expect,
    Host,
    /// Hop-by-hop, and of no further interest: `Keep-Alive`, `Proxy-Connection`, `HTTP2-Settings`.
    Hop,
    Te,
    TransferEncoding,
    Upgrade,
    Other,
}

impl Known {
    #[inline]
    pub(crate) fn of(name: &str) -> Self {
        let name = name.as_bytes();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::Hop,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::Hop,
            16 if is("proxy-connection") => Self::Hop,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }

    /// Whether the field concerns this connection only, or is framing that we write anew.
    #[inline]
    pub(crate) fn stays_here(self) -> bool {
        !matches!(self, Self::Other | Self::Host | Self::Expect)
    }
}

/// Fields that a `Connection` header may not strip: routing, framing, credentials, and what proxies
/// add about a client. A front proxy that passes a client's `Connection` on would otherwise let it
/// remove, say, `X-Forwarded-For` on its way to us ("hop-by-hop header abuse"). Envoy refuses such
/// requests too.
const PROTECTED: [&str; 16] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "expect",
    "authorization",
    "cookie",
    "set-cookie",
    "origin",
    "cache-control",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "traceparent",
    "tracestate",
    "trailer",
];

/// Families of [`PROTECTED`] fields.
const PROTECTED_PREFIXES: [&str; 2] = ["x-forwarded-", "x-envoy-"];

pub(crate) fn is_protected(name: &[u8]) -> bool {
    PROTECTED
        .iter()
        .any(|protected| name.eq_ignore_ascii_case(protected.as_bytes()))
        || PROTECTED_PREFIXES
            .iter()
            .any(|prefix| starts_with(name, prefix))
}

/// Fields that may not come as trailers, because they frame, route, authenticate or modify the
/// message whose head has already been acted on (RFC 9110 §6.5.1). A trailer with such a name is
/// dropped.
const FORBIDDEN_TRAILERS: [&str; 36] = [
    "accept-encoding",
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
    "x-real-ip",
    "x-request-id",
    "traceparent",
];

const FORBIDDEN_TRAILER_PREFIXES: [&str; 3] = ["if-", "x-forwarded-", "x-envoy-"];

pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    FORBIDDEN_TRAILERS
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
        || FORBIDDEN_TRAILER_PREFIXES
            .iter()
            .any(|prefix| starts_with(name, prefix))
}

fn starts_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// `tchar` of RFC 9110 §5.6.2.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// What a field value or a chunk extension may hold: tab, space, visible ASCII and obs-text (RFC
/// 9110 §5.5).
#[inline]
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `value` without optional whitespace around it (RFC 9110 §5.6.3).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
