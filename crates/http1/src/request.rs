//! Request heads (RFC 9112 §3).

use httparse::Status;

use crate::authority::parse_authority;
use crate::body::{Body, FramingError};
use crate::error::{Fault, RequestError};
use crate::fields::{Fields, Slots};
use crate::limits::Limits;

/// Empty lines that are skipped before a request line. RFC 9112 §2.2 asks for at least one, for
/// clients that send a CRLF too many after a body; no known client sends more than two.
const MAX_EMPTY_LINES: usize = 4;

/// The versions of HTTP that are framed this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    pub(crate) fn from_minor(minor: Option<u8>) -> Self {
        if minor == Some(1) {
            Self::Http11
        } else {
            Self::Http10
        }
    }
}

/// The form of a request target (RFC 9112 §3.2). There is no authority-form: `CONNECT` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`.
    Origin,
    /// `http://host/path?query`, as clients send to proxies.
    Absolute,
    /// `OPTIONS *`.
    Asterisk,
}

/// The head of a request, borrowed from the buffer it came in.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b, 's> {
    len: usize,
    method: &'b str,
    target: Target<'b>,
    authority: &'b str,
    version: Version,
    body: Body,
    fields: Fields<'b, 's>,
}

#[derive(Clone, Copy, Debug)]
struct Target<'b> {
    form: TargetForm,
    scheme: Option<&'static str>,
    authority: Option<&'b str>,
    path_and_query: &'b str,
}

impl<'b, 's> RequestHead<'b, 's> {
    /// Reads the head at the start of `buf`; `Ok(None)` means that more bytes are needed.
    ///
    /// `buf` may hold more than the head; what follows starts at [`len`](Self::len). Call again
    /// with the same bytes and more: nothing is kept between calls, and the outcome doesn't depend
    /// on how the bytes were split.
    ///
    /// A peer that trickles bytes makes each call read them all again. Only a LF completes a head,
    /// so a caller that waits for one among the new bytes (or for [`Limits::head_bytes`]) pays for
    /// at most one call a line, and merely learns of some faults later.
    ///
    /// # Errors
    ///
    /// When the head breaks the rules or [`Limits`]. The connection must then be closed, after an
    /// answer with [`RequestError::status`].
    pub fn parse(
        buf: &'b [u8],
        limits: &Limits,
        slots: &'s mut Slots<'b>,
    ) -> Result<Option<Self>, RequestError> {
        let window = &buf[..buf.len().min(limits.head_bytes)];
        let skipped = skip_empty_lines(window)?;
        let unskipped = &window[skipped..];

        let mut request = httparse::Request::new(&mut []);
        let len = match request.parse_with_uninit_headers(unskipped, slots.first(limits.headers)) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => {
                return incomplete(unskipped, window.len(), limits).map(|()| None);
            }
            Err(error) => return Err(refusal(error, unskipped, limits)),
        };
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(Fault::StartLine.into());
        };
        let version = Version::from_minor(request.version);
        let lines = request.headers;

        let line_end = method.len() + " ".len() + target.len() + " HTTP/1.1".len();
        if unskipped.get(line_end..line_end + 2) != Some(b"\r\n") {
            return Err(Fault::LineEnd.into());
        }
        let mut fields = Fields::read(&unskipped[..len], lines)?;
        if method == "CONNECT" {
            return Err(RequestError::ConnectRefused);
        }
        let target = Target::parse(method, target)?;
        let host = fields.host.ok_or(Fault::HostMissing)?;
        let host = parse_authority(host).ok_or(Fault::Authority)?;
        let http_1_0 = version == Version::Http10;
        let body = match fields.framing.body(http_1_0) {
            Ok(body) => body.unwrap_or(Body::Empty),
            Err(FramingError::Fault(fault)) => return Err(fault.into()),
            Err(FramingError::CodingNotImplemented) => {
                return Err(RequestError::CodingNotImplemented);
            }
        };
        fields.drops_expect = http_1_0;
        Ok(Some(Self {
            len: skipped + len,
            method,
            target,
            authority: target.authority.unwrap_or(host),
            version,
            body,
            fields,
        }))
    }

    /// Bytes of `buf` that the head took, with its empty line and any empty lines before it.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The method, as sent: methods are case-sensitive.
    #[must_use]
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// How the target was written.
    #[must_use]
    pub fn target_form(&self) -> TargetForm {
        self.target.form
    }

    /// What to send upstream as target: the path with its query, `/` for an absolute target without
    /// path, and `*` for `OPTIONS *` and for `OPTIONS` of an absolute target without path (RFC 9112
    /// §3.2.4).
    #[must_use]
    pub fn path_and_query(&self) -> &'b str {
        self.target.path_and_query
    }

    /// The `host[:port]` that the request is for: an absolute target's, else `Host`'s (RFC 9112
    /// §3.2.2). When the two differ, the `Host` sent upstream must be replaced.
    #[must_use]
    pub fn authority(&self) -> &'b str {
        self.authority
    }

    /// `http` or `https` for an absolute target.
    #[must_use]
    pub fn scheme(&self) -> Option<&'static str> {
        self.target.scheme
    }

    /// The client's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is delimited. Never [`Body::UntilClose`].
    #[must_use]
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the client will send another request on this connection (RFC 9112 §9.3).
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.fields.keep_alive(self.version == Version::Http10)
    }

    /// Whether the client waits for `100 Continue` before it sends its body (RFC 9110 §10.1.1).
    /// Ignored in HTTP/1.0 and without a body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.fields.expects_continue
            && self.version == Version::Http11
            && !matches!(self.body, Body::Empty | Body::Length(0))
    }

    /// Whether the client takes trailers in the response: `TE: trailers`. That header itself is
    /// hop-by-hop.
    #[must_use]
    pub fn accepts_trailers(&self) -> bool {
        self.fields.accepts_trailers
    }

    /// The protocol, such as `websocket`, that an HTTP/1.1 request without body asks to switch to.
    /// `None` for `h2c` and for lists: such a request is served as if it had not asked, which RFC
    /// 9110 §7.8 allows.
    #[must_use]
    pub fn upgrade(&self) -> Option<&'b [u8]> {
        let may =
            self.version == Version::Http11 && matches!(self.body, Body::Empty | Body::Length(0));
        self.fields.upgrade().filter(|_| may)
    }

    /// The end-to-end header fields in order, `Host` among them: what
    /// [`write_headers`](Self::write_headers) would copy. Values are trimmed.
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

    /// Appends the lines of all end-to-end fields that `keep` accepts by name.
    ///
    /// Left out are the fields of this connection (`Connection` and what it names, `Keep-Alive`,
    /// `Proxy-Connection`, `TE`, `Upgrade`, `HTTP2-Settings`), the framing ([`Body::write_header`]
    /// writes it anew), and `Expect` from HTTP/1.0. `Trailer` and `Proxy-Authorization` are passed
    /// on.
    pub fn write_headers(&self, out: &mut Vec<u8>, keep: impl FnMut(&str) -> bool) {
        self.fields.write(out, keep);
    }
}

impl<'b> Target<'b> {
    fn parse(method: &str, target: &'b str) -> Result<Self, Fault> {
        // `httparse` has refused spaces and control bytes. No early exit, so that this becomes a
        // few vector operations.
        if target
            .bytes()
            .fold(false, |bad, byte| bad | (byte == b'#') | (byte >= 0x80))
        {
            return Err(Fault::Target);
        }
        if target.starts_with('/') {
            return Ok(Self {
                form: TargetForm::Origin,
                scheme: None,
                authority: None,
                path_and_query: target,
            });
        }
        if target == "*" {
            return if method == "OPTIONS" {
                Ok(Self {
                    form: TargetForm::Asterisk,
                    scheme: None,
                    authority: None,
                    path_and_query: target,
                })
            } else {
                Err(Fault::TargetForm)
            };
        }
        let (scheme, rest) = target.split_once("://").ok_or(Fault::TargetForm)?;
        let scheme = ["http", "https"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))
            .ok_or(Fault::TargetForm)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path_and_query = match path.as_bytes() {
            [] if method == "OPTIONS" => "*",
            [] => "/",
            // `http://host?query` would need a slash put in.
            [b'?', ..] => return Err(Fault::TargetForm),
            _ => path,
        };
        let authority = Some(parse_authority(authority.as_bytes()).ok_or(Fault::Authority)?);
        Ok(Self {
            form: TargetForm::Absolute,
            scheme: Some(scheme),
            authority,
            path_and_query,
        })
    }
}

fn skip_empty_lines(buf: &[u8]) -> Result<usize, Fault> {
    let mut at = 0;
    for _ in 0..=MAX_EMPTY_LINES {
        match buf[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\n', ..] => return Err(Fault::LineEnd),
            _ => return Ok(at),
        }
    }
    Err(Fault::EmptyLines)
}

/// Decides whether an incomplete head may still become a good one.
fn incomplete(head: &[u8], len: usize, limits: &Limits) -> Result<(), RequestError> {
    // Without this a client that ends its lines with LF alone would wait for an answer until it is
    // timed out.
    check_line_ends(head)?;
    if len < limits.head_bytes {
        Ok(())
    } else if memchr::memchr(b'\n', head).is_none() {
        Err(RequestError::UriTooLong {
            limit: limits.head_bytes,
        })
    } else {
        Err(RequestError::HeaderFieldsTooLarge {
            limit: limits.head_bytes,
        })
    }
}

pub(crate) fn check_line_ends(head: &[u8]) -> Result<(), Fault> {
    let bare = memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r');
    if bare { Err(Fault::LineEnd) } else { Ok(()) }
}

fn refusal(error: httparse::Error, head: &[u8], limits: &Limits) -> RequestError {
    match error {
        httparse::Error::TooManyHeaders => RequestError::TooManyHeaders {
            limit: limits.headers,
        },
        httparse::Error::Version if names_other_version(head) => RequestError::VersionNotSupported,
        error => RequestError::BadRequest(fault_of(error)),
    }
}

/// Whether the third word is `HTTP/` and a digit, so that the request is well-formed but of another
/// version.
fn names_other_version(head: &[u8]) -> bool {
    let version = head.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..])
}

pub(crate) fn fault_of(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::HeaderName => Fault::HeaderName,
        httparse::Error::HeaderValue => Fault::HeaderValue,
        httparse::Error::NewLine => Fault::LineEnd,
        _ => Fault::StartLine,
    }
}

#[cfg(test)]
mod tests;
