//! Response heads (RFC 9112 §4). A response is framed as strictly as a request: a confused upstream
//! must not be able to put words into another client's answer.

use httparse::Status;

use crate::body::{Body, FramingError};
use crate::error::{Fault, ResponseError};
use crate::fields::{Fields, Slots};
use crate::limits::Limits;
use crate::request::{Version, check_line_ends, fault_of};

/// What must be known of the request to read its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestKind {
    /// The method was `HEAD`: the response has no body, whatever its headers say.
    pub head: bool,
    /// An upgrade was asked for: only then may the answer be 101.
    pub upgrade: bool,
}

/// The head of a response, borrowed from the buffer it came in.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b, 's> {
    len: usize,
    status: u16,
    reason: &'b str,
    version: Version,
    body: Body,
    keep_alive: bool,
    fields: Fields<'b, 's>,
}

impl<'b, 's> ResponseHead<'b, 's> {
    /// Reads the head at the start of `buf`; `Ok(None)` means that more bytes are needed. See
    /// [`RequestHead::parse`](crate::RequestHead::parse).
    ///
    /// A response with a 1xx status other than 101 is followed by another head, for which `parse`
    /// is called again with the same `request`; bounding how often is up to the caller.
    ///
    /// # Errors
    ///
    /// When the head breaks the rules or [`Limits`]. The connection must then be closed.
    pub fn parse(
        buf: &'b [u8],
        request: RequestKind,
        limits: &Limits,
        slots: &'s mut Slots<'b>,
    ) -> Result<Option<Self>, ResponseError> {
        let window = &buf[..buf.len().min(limits.head_bytes)];
        // `httparse` skips empty lines, which RFC 9112 §2.2 allows before requests only: here they
        // are what is left of another body.
        if let [b'\r' | b'\n', ..] = window {
            return Err(Fault::StartLine.into());
        }
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            window,
            slots.first(limits.headers),
        );
        let len = match parsed {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => {
                check_line_ends(window)?;
                if window.len() < limits.head_bytes {
                    return Ok(None);
                }
                return Err(ResponseError::HeadTooLarge {
                    limit: limits.head_bytes,
                });
            }
            Err(httparse::Error::TooManyHeaders) => {
                return Err(ResponseError::TooManyHeaders {
                    limit: limits.headers,
                });
            }
            Err(httparse::Error::Version) if window.starts_with(b"HTTP/") => {
                return Err(ResponseError::VersionNotSupported);
            }
            Err(error) => return Err(fault_of(error).into()),
        };
        let status = response.code.ok_or(Fault::StartLine)?;
        let version = Version::from_minor(response.version);
        let line_end = memchr::memchr(b'\n', window).ok_or(Fault::StartLine)?;
        check_line_ends(&window[..=line_end])?;
        let fields = Fields::read(&window[..len], response.headers)?;
        let head = Self {
            len,
            status,
            reason: response.reason.unwrap_or_default(),
            version,
            body: Body::Empty,
            keep_alive: fields.keep_alive(version == Version::Http10),
            fields,
        };
        head.frame(request).map(Some)
    }

    /// Applies RFC 9112 §6.3 in its order.
    fn frame(mut self, request: RequestKind) -> Result<Self, ResponseError> {
        if !(100..=599).contains(&self.status) {
            return Err(ResponseError::Status(self.status));
        }
        let announced = match self.fields.framing.body(self.version == Version::Http10) {
            Ok(body) => body,
            Err(FramingError::Fault(fault)) => return Err(fault.into()),
            Err(FramingError::CodingNotImplemented) => return Err(Fault::TransferEncoding.into()),
        };
        let sends_body = !matches!(announced, None | Some(Body::Empty | Body::Length(0)));
        match self.status {
            101 if !request.upgrade || self.upgrade().is_none() => {
                return Err(ResponseError::UnexpectedUpgrade);
            }
            100..200 if sends_body => return Err(ResponseError::InformationalBody(self.status)),
            100..200 => {}
            // Some servers do send the body they announce here; it would be read as the next
            // response's head.
            204 if sends_body => self.keep_alive = false,
            204 | 304 => {}
            _ if request.head => {}
            _ => self.body = announced.unwrap_or(Body::UntilClose),
        }
        if self.body == Body::UntilClose {
            self.keep_alive = false;
        }
        Ok(self)
    }

    /// Bytes of `buf` that the head took, with its empty line.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The status code, from 100 to 599.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; empty when there is none or it isn't ASCII.
    #[must_use]
    pub fn reason(&self) -> &'b str {
        self.reason
    }

    /// The upstream's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body that follows is delimited: [`Body::Empty`] for `HEAD`, 1xx, 204 and 304.
    #[must_use]
    pub fn body(&self) -> Body {
        self.body
    }

    /// The `Content-Length` sent, for responses to `HEAD` and 304, where it tells of a body that
    /// doesn't follow. `None` for 1xx and 204, which must not have it (RFC 9110 §8.6).
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        if self.status < 200 || self.status == 204 {
            None
        } else {
            self.fields.framing.content_length()
        }
    }

    /// Whether the connection may be used again once the body is read to its end.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// A 1xx other than 101: the real response is still to come.
    #[must_use]
    pub fn is_informational(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// 101: what follows the head is in the protocol named by [`upgrade`](Self::upgrade).
    #[must_use]
    pub fn is_switching_protocols(&self) -> bool {
        self.status == 101
    }

    /// The protocol that a 101 switches to.
    #[must_use]
    pub fn upgrade(&self) -> Option<&'b [u8]> {
        self.fields
            .upgrade()
            .filter(|_| self.status == 101 && self.version == Version::Http11)
    }

    /// The end-to-end header fields in order: what [`write_headers`](Self::write_headers) would
    /// copy. Values are trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.fields.iter()
    }

    /// The first value of an end-to-end field; case of the name is ignored.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.all(name).next()
    }

    /// All values of an end-to-end field in order; case of the name is ignored.
    pub fn header_all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.fields.all(name)
    }

    /// Appends the lines of all end-to-end fields that `keep` accepts by name; see
    /// [`RequestHead::write_headers`](crate::RequestHead::write_headers).
    pub fn write_headers(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool) {
        self.fields.write(out, keep);
    }
}

#[cfg(test)]
mod tests;
