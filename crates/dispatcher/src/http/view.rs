//! Heads as an exchange sees them, whichever version they came in.
//!
//! A view is read once, synchronously, and written straight into what the other side sends; nothing
//! borrowed from a connection's buffer lives across a wait.

use std::borrow::Cow;

use http1::{Body, RequestHead, ResponseHead};

use crate::client::{Client, Standing};

/// The fields of either kind of head, without those that belong to one connection or frame the body.
pub(crate) trait Fields {
    /// Calls `each` for every field; `host` is one where the version has it.
    fn fields(&self, each: impl FnMut(&str, &[u8]));

    /// Appends the fields that `keep` wants as HTTP/1.1 field lines.
    fn write_fields(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool);
}

/// A request's head.
pub(crate) trait RequestView: mesh::RequestHead + Fields {
    /// How long its body is, as an HTTP/1.1 message would say it.
    fn body(&self) -> Body;

    /// The protocol to switch to, if the client asked (`websocket`).
    fn upgrade(&self) -> Option<&[u8]>;

    /// Whether it came over HTTP/1.1.
    fn is_http1(&self) -> bool;

    /// Whether the client waits for `100 Continue` before it sends the body.
    fn expects_continue(&self) -> bool;

    /// Whether its path must not be served, however it is meant (see [`mesh::normalize`]).
    fn has_bad_path(&self) -> bool;

    /// Whether the authority stands in a `host` field that [`Self::write_fields`] copies.
    fn authority_is_host_field(&self) -> bool;
}

/// A response's head.
pub(crate) trait ResponseView: Fields {
    /// 100 to 599.
    fn status(&self) -> u16;

    /// How long its body is, as an HTTP/1.1 message would say it.
    fn body(&self) -> Body;

    /// `Content-Length` as it stands, which on an answer to HEAD and on a 304 is not the body's.
    fn content_length(&self) -> Option<u64>;

    /// The first field of that name (lower case).
    fn field(&self, name: &str) -> Option<&[u8]>;

    /// What the endpoint calls the status, where the version has words for it.
    fn reason(&self) -> Option<&str> {
        None
    }

    /// The protocol that a 101 switches to.
    fn upgrade(&self) -> Option<&[u8]> {
        None
    }
}

/// Looks at a response head while it is there.
pub(crate) trait HeadVisitor {
    /// What it makes of it.
    type Output;

    /// Called once per head, informational ones included.
    fn visit(&mut self, head: &impl ResponseView) -> Self::Output;
}

/// A request that came over HTTP/1.1.
pub(crate) struct Http1Request<'a, 'b, 's> {
    head: &'a RequestHead<'b, 's>,
    client: &'a Client,
    standing: Standing,
    path: Path<'b>,
}

impl<'a, 'b, 's> Http1Request<'a, 'b, 's> {
    pub(crate) fn new(
        head: &'a RequestHead<'b, 's>,
        client: &'a Client,
        standing: Standing,
    ) -> Self {
        Self {
            head,
            client,
            standing,
            path: Path::new(head.path_and_query()),
        }
    }
}

/// A path and query as it is matched and forwarded.
struct Path<'a> {
    normal: Cow<'a, str>,
    is_bad: bool,
}

impl<'a> Path<'a> {
    fn new(sent: &'a str) -> Self {
        let normal = mesh::normalize(sent);
        Self {
            is_bad: normal.is_none(),
            normal: normal.unwrap_or(Cow::Borrowed(sent)),
        }
    }
}

impl mesh::RequestHead for Http1Request<'_, '_, '_> {
    fn method(&self) -> &str {
        self.head.method()
    }

    fn scheme(&self) -> &str {
        self.client.origin.scheme
    }

    fn authority(&self) -> &str {
        self.head.authority()
    }

    fn path_and_query(&self) -> &str {
        &self.path.normal
    }

    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
        joined(
            self.head
                .headers()
                .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value),
        )
    }

    fn tls_server(&self) -> Option<usize> {
        self.standing.tls_server()
    }

    fn local_port(&self) -> Option<u16> {
        Some(self.client.address.port())
    }
}

impl RequestView for Http1Request<'_, '_, '_> {
    fn body(&self) -> Body {
        self.head.body()
    }

    fn upgrade(&self) -> Option<&[u8]> {
        self.head.upgrade()
    }

    fn is_http1(&self) -> bool {
        true
    }

    fn expects_continue(&self) -> bool {
        self.head.expects_continue()
    }

    fn has_bad_path(&self) -> bool {
        self.path.is_bad
    }

    fn authority_is_host_field(&self) -> bool {
        self.head.target_form() != http1::TargetForm::Absolute
    }
}

impl Fields for Http1Request<'_, '_, '_> {
    fn fields(&self, mut each: impl FnMut(&str, &[u8])) {
        for (name, value) in self.head.headers() {
            each(name, value);
        }
    }

    fn write_fields(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool) {
        self.head.write_headers(out, keep);
    }
}

/// Several field lines of one name read as one, joined by commas (RFC 9110 section 5.3).
fn joined<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let first = values.next()?;
    let Some(second) = values.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut all = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        all.push(b',');
        all.extend_from_slice(value);
    }
    Some(Cow::Owned(all))
}

impl ResponseView for ResponseHead<'_, '_> {
    fn status(&self) -> u16 {
        ResponseHead::status(self)
    }

    fn body(&self) -> Body {
        ResponseHead::body(self)
    }

    fn content_length(&self) -> Option<u64> {
        ResponseHead::content_length(self)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.header(name)
    }

    fn reason(&self) -> Option<&str> {
        Some(ResponseHead::reason(self))
    }

    fn upgrade(&self) -> Option<&[u8]> {
        ResponseHead::upgrade(self)
    }
}

impl Fields for ResponseHead<'_, '_> {
    fn fields(&self, mut each: impl FnMut(&str, &[u8])) {
        for (name, value) in self.headers() {
            each(name, value);
        }
    }

    fn write_fields(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool) {
        self.write_headers(out, keep);
    }
}

/// A request that came over HTTP/2.
pub(crate) struct Http2Request<'a> {
    parts: &'a http::request::Parts,
    /// No DATA frame follows.
    ends: bool,
    client: &'a Client,
    standing: Standing,
    /// `:authority`, or `host` where a client sent that instead.
    authority: &'a str,
    path: Path<'a>,
}

impl<'a> Http2Request<'a> {
    pub(crate) fn new(
        parts: &'a http::request::Parts,
        ends: bool,
        client: &'a Client,
        standing: Standing,
        authority: &'a str,
    ) -> Self {
        let path = parts.uri.path_and_query();
        Self {
            parts,
            ends,
            client,
            standing,
            authority,
            path: Path::new(path.map_or("/", http::uri::PathAndQuery::as_str)),
        }
    }
}

impl mesh::RequestHead for Http2Request<'_> {
    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn scheme(&self) -> &str {
        self.client.origin.scheme
    }

    fn authority(&self) -> &str {
        self.authority
    }

    fn path_and_query(&self) -> &str {
        &self.path.normal
    }

    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
        joined(
            self.parts
                .headers
                .get_all(name)
                .iter()
                .map(http::HeaderValue::as_bytes),
        )
    }

    fn tls_server(&self) -> Option<usize> {
        self.standing.tls_server()
    }

    fn local_port(&self) -> Option<u16> {
        Some(self.client.address.port())
    }
}

impl RequestView for Http2Request<'_> {
    fn body(&self) -> Body {
        framed(&self.parts.headers, self.ends)
    }

    fn upgrade(&self) -> Option<&[u8]> {
        None
    }

    fn is_http1(&self) -> bool {
        false
    }

    fn expects_continue(&self) -> bool {
        self.parts
            .headers
            .get(http::header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }

    fn has_bad_path(&self) -> bool {
        self.path.is_bad
    }

    fn authority_is_host_field(&self) -> bool {
        false
    }
}

impl Fields for Http2Request<'_> {
    fn fields(&self, each: impl FnMut(&str, &[u8])) {
        end_to_end(&self.parts.headers, each);
    }

    fn write_fields(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool) {
        write_map(&self.parts.headers, out, keep);
    }
}

/// A response that came over HTTP/2.
pub(crate) struct Http2Response<'a> {
    pub(crate) parts: &'a http::response::Parts,
    /// No DATA frame follows.
    pub(crate) ends: bool,
}

impl ResponseView for Http2Response<'_> {
    fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    fn body(&self) -> Body {
        framed(&self.parts.headers, self.ends)
    }

    fn content_length(&self) -> Option<u64> {
        content_length(&self.parts.headers)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.parts
            .headers
            .get(name)
            .map(http::HeaderValue::as_bytes)
    }
}

impl Fields for Http2Response<'_> {
    fn fields(&self, each: impl FnMut(&str, &[u8])) {
        end_to_end(&self.parts.headers, each);
    }

    fn write_fields(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool) {
        write_map(&self.parts.headers, out, keep);
    }
}

fn framed(headers: &http::HeaderMap, ends: bool) -> Body {
    match content_length(headers) {
        _ if ends => Body::Empty,
        Some(length) => Body::Length(length),
        None => Body::Chunked,
    }
}

fn content_length(headers: &http::HeaderMap) -> Option<u64> {
    let value = headers.get(http::header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// Calls `each` for every field that another HTTP version may carry. HTTP/2 knows no connection-specific
/// fields (RFC 9113 section 8.2.2; the h2 crate refuses most), framing fields are written anew, and
/// `cookie` crumbs become one field (section 8.2.3).
fn end_to_end(headers: &http::HeaderMap, mut each: impl FnMut(&str, &[u8])) {
    let mut cookies = headers.get_all(http::header::COOKIE).iter();
    if let Some(first) = cookies.next() {
        let mut all = first.as_bytes().to_vec();
        for cookie in cookies {
            all.extend_from_slice(b"; ");
            all.extend_from_slice(cookie.as_bytes());
        }
        each("cookie", &all);
    }
    for (name, value) in headers {
        if !matches!(
            name.as_str(),
            "cookie"
                | "content-length"
                | "host"
                | "te"
                | "connection"
                | "keep-alive"
                | "proxy-connection"
                | "transfer-encoding"
                | "upgrade"
        ) {
            each(name.as_str(), value.as_bytes());
        }
    }
}

fn write_map(headers: &http::HeaderMap, out: &mut Vec<u8>, mut keep: impl FnMut(&str) -> bool) {
    end_to_end(headers, |name, value| {
        if keep(name) {
            write_field(out, name, value);
        }
    });
}

/// Appends one field line.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
