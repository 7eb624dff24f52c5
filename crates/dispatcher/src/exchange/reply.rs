//! Answers that no endpoint gave.

use std::borrow::Cow;
use std::sync::Arc;

use http1::Body;

use super::flags::Flags;
use crate::http::view::{Fields, ResponseView, write_field};

/// An answer of the dispatcher's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) flags: Flags,
    /// What a gRPC client is told; `None` follows from the status.
    pub(crate) grpc_status: Option<u8>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: ReplyBody,
}

/// What a reply says.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// A sentence.
    Text(Cow<'static, str>),
    /// What a route's `directResponse` says.
    Route(Arc<[u8]>),
}

impl Reply {
    /// A sentence, as plain text.
    pub(crate) fn text(status: u16, flags: Flags, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            flags,
            grpc_status: None,
            headers: vec![("content-type", "text/plain".to_owned())],
            body: ReplyBody::Text(text.into()),
        }
    }

    /// A redirect.
    pub(crate) fn redirect(status: u16, location: String) -> Self {
        Self {
            status,
            flags: Flags::NONE,
            grpc_status: None,
            headers: vec![("location", location)],
            body: ReplyBody::Text(Cow::Borrowed("")),
        }
    }

    /// What a route's `directResponse` says.
    pub(crate) fn direct(status: u16, body: Arc<[u8]>) -> Self {
        let headers = if body.is_empty() {
            Vec::new()
        } else {
            vec![("content-type", "text/plain".to_owned())]
        };
        Self {
            status,
            flags: Flags::NONE,
            grpc_status: None,
            headers,
            body: ReplyBody::Route(body),
        }
    }

    /// The body's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.body {
            ReplyBody::Text(text) => text.as_bytes(),
            ReplyBody::Route(bytes) => bytes,
        }
    }

    /// The same for a gRPC client, which reads no HTTP errors: a 200 whose head is its trailers, as Envoy
    /// answers (gRPC over HTTP/2, "Trailers-Only").
    pub(crate) fn for_grpc(mut self) -> Self {
        let message = percent_encoded(&String::from_utf8_lossy(self.bytes()));
        let status = self.grpc_status.unwrap_or_else(|| grpc_status(self.status));
        self.headers.retain(|(name, _)| *name != "content-type");
        self.headers.extend([
            ("content-type", "application/grpc".to_owned()),
            ("grpc-status", status.to_string()),
            ("grpc-message", message),
        ]);
        Self {
            status: 200,
            body: ReplyBody::Text(Cow::Borrowed("")),
            ..self
        }
    }
}

/// The gRPC status for an HTTP status (gRPC's "HTTP to gRPC Status Code Mapping").
pub(crate) fn grpc_status(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// `grpc-message` in the encoding of the gRPC specification.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Fields for Reply {
    fn fields(&self, mut each: impl FnMut(&str, &[u8])) {
        for (name, value) in &self.headers {
            each(name, value.as_bytes());
        }
    }

    fn write_fields(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&str) -> bool) {
        self.fields(|name, value| {
            if keep(name) {
                write_field(out, name, value);
            }
        });
    }
}

impl ResponseView for Reply {
    fn status(&self) -> u16 {
        self.status
    }

    fn body(&self) -> Body {
        match self.status {
            100..=199 | 204 | 304 => Body::Empty,
            _ => Body::Length(self.bytes().len() as u64),
        }
    }

    fn content_length(&self) -> Option<u64> {
        match self.body() {
            Body::Length(length) => Some(length),
            _ => None,
        }
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(field, _)| *field == name);
        found.map(|(_, value)| value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_client_reads_its_error_in_the_head() {
        let reply =
            Reply::text(503, Flags::NO_HEALTHY_UPSTREAM, "no healthy upstream: 100%").for_grpc();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("grpc-status"), Some(&b"14"[..]));
        assert_eq!(
            reply.field("grpc-message"),
            Some(&b"no healthy upstream: 100%25"[..])
        );
        assert_eq!(reply.body(), Body::Length(0));
    }
}
