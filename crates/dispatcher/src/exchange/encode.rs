//! A request's head, written for the version that its cluster speaks.

use alba::Rng;
use http::HeaderMap;
use http1::Body;
use mesh::UpstreamProtocol;

use super::fields::{Edits, Origin, write_request_fields};
use crate::buffer;
use crate::http::view::{RequestView, write_field};
use crate::snapshot::LocalCluster;

/// A request's head as its cluster takes it.
pub(crate) enum UpstreamHead {
    /// Encoded.
    H1(Vec<u8>),
    /// For the h2 crate; boxed, it is large.
    H2(Box<http::Request<()>>),
}

impl Drop for UpstreamHead {
    fn drop(&mut self) {
        if let Self::H1(bytes) = self {
            buffer::give(std::mem::take(bytes));
        }
    }
}

/// A request as it is to be sent.
pub(crate) struct Outgoing<'a, H> {
    pub(crate) origin: &'a Origin,
    pub(crate) head: &'a H,
    /// Path and query.
    pub(crate) path: &'a str,
    /// `None` keeps the request's.
    pub(crate) authority: Option<&'a str>,
    pub(crate) edits: Edits<'a>,
    pub(crate) body: Body,
    /// The endpoint is asked for `100 Continue`.
    pub(crate) passes_continue: bool,
    /// The endpoint is asked to switch protocols.
    pub(crate) upgrades: bool,
}

impl<H: RequestView> Outgoing<'_, H> {
    /// Writes the head for a cluster. `rng` gives the request its id, if it has none.
    ///
    /// # Errors
    /// If HTTP/2 can't carry it.
    pub(crate) fn encode(
        &self,
        cluster: &LocalCluster,
        rng: &mut Rng,
    ) -> Result<UpstreamHead, http::Error> {
        match cluster.shared.config.protocol {
            UpstreamProtocol::Http1 => Ok(UpstreamHead::H1(self.for_h1(rng))),
            UpstreamProtocol::Http2 => {
                let request = self.for_h2(cluster.shared.tls.is_some(), rng)?;
                Ok(UpstreamHead::H2(Box::new(request)))
            }
        }
    }

    fn for_h1(&self, rng: &mut Rng) -> Vec<u8> {
        let head = self.head;
        let mut out = buffer::take();
        out.extend_from_slice(head.method().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let keep_host = self.authority.is_none() && head.authority_is_host_field();
        if !keep_host {
            let authority = self.authority.unwrap_or_else(|| head.authority());
            write_field(&mut out, "host", authority.as_bytes());
        }
        write_request_fields(&mut out, head, self.origin, self.edits, keep_host, rng);
        if head.expects_continue() && self.passes_continue {
            write_field(&mut out, "expect", b"100-continue");
        }
        if let (true, Some(protocol)) = (self.upgrades, head.upgrade()) {
            out.extend_from_slice(b"connection: upgrade\r\n");
            write_field(&mut out, "upgrade", protocol);
        }
        self.body.write_header(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }

    fn for_h2(&self, tls: bool, rng: &mut Rng) -> Result<http::Request<()>, http::Error> {
        let head = self.head;
        let uri = http::Uri::builder()
            .scheme(if tls { "https" } else { "http" })
            .authority(self.authority.unwrap_or_else(|| head.authority()))
            .path_and_query(self.path)
            .build()?;
        let mut request = http::Request::builder()
            .method(head.method())
            .uri(uri)
            .version(http::Version::HTTP_2)
            .body(())?;
        let fields: &mut HeaderMap = request.headers_mut();
        write_request_fields(fields, head, self.origin, self.edits, false, rng);
        if let Body::Length(length) = self.body {
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        // The only value of `te` that HTTP/2 carries, and gRPC servers insist on it.
        fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        Ok(request)
    }
}
