//! How long a body is: the one reading of `Content-Length` and `Transfer-Encoding` that we accept
//! (RFC 9112 §6).

use crate::error::Fault;
use crate::field;

/// How a message's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body, and no framing header to say so.
    Empty,
    /// `Content-Length`, also when it is 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// A response without either: the body ends when the connection does.
    UntilClose,
}

impl Body {
    /// Appends the header line that announces this body: `Content-Length`, `Transfer-Encoding`, or
    /// nothing.
    pub fn write_header(self, out: &mut Vec<u8>) {
        match self {
            Self::Length(length) => crate::encode::write_content_length(length, out),
            Self::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Self::Empty | Self::UntilClose => {}
        }
    }
}

/// What the framing headers of one head say, before the method or status has its say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing<'b> {
    content_length: Option<u64>,
    transfer_encoding: Option<&'b [u8]>,
}

/// A refused `Transfer-Encoding` may be well-formed; requests answer that with 501 instead of 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    Fault(Fault),
    CodingNotImplemented,
}

impl From<Fault> for FramingError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<'b> Framing<'b> {
    pub(crate) fn add_content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let length = parse_length(value).ok_or(Fault::ContentLength)?;
        match self.content_length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Fault::ContentLengthRepeated),
        }
    }

    pub(crate) fn add_transfer_encoding(&mut self, value: &'b [u8]) -> Result<(), Fault> {
        match self.transfer_encoding.replace(value) {
            None => Ok(()),
            Some(_) => Err(Fault::TransferEncoding),
        }
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The announced body; `None` when neither header came.
    pub(crate) fn body(&self, http_1_0: bool) -> Result<Option<Body>, FramingError> {
        match (self.content_length, self.transfer_encoding) {
            (None, None) => Ok(None),
            (Some(length), None) => Ok(Some(Body::Length(length))),
            (Some(_), Some(_)) => Err(Fault::LengthAndCoding.into()),
            (None, Some(_)) if http_1_0 => Err(Fault::CodingInHttp10.into()),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Body::Chunked))
            }
            (None, Some(codings)) if is_known_then_chunked(codings) => {
                Err(FramingError::CodingNotImplemented)
            }
            (None, Some(_)) => Err(Fault::TransferEncoding.into()),
        }
    }
}

/// `1*DIGIT` and nothing else: no sign, no list, no space, no overflow (RFC 9110 §8.6).
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        length.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Registered codings followed by one final `chunked`: legal, but more than we implement (RFC 9112
/// §7).
fn is_known_then_chunked(codings: &[u8]) -> bool {
    const KNOWN: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let mut codings = codings.rsplit(|&byte| byte == b',').map(field::trim);
    codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        && codings.all(|coding| KNOWN.iter().any(|known| coding.eq_ignore_ascii_case(known)))
}
