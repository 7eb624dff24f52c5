//! Trailer sections: the fields after the last chunk (RFC 9112 §7.1.2, RFC 9110 §6.5).

use crate::error::{BodyError, Fault};
use crate::field;

/// The trailer fields of a body, borrowed from the buffer they came in.
///
/// Fields that frame, route, authenticate or modify the message are left out, as RFC 9110 §6.5.1
/// wants of whoever passes trailers on.
#[derive(Clone, Copy)]
pub struct Trailers<'b> {
    lines: &'b [u8],
}

impl<'b> Trailers<'b> {
    /// The fields in the range of an [`Event::Trailers`](crate::Event::Trailers), which the decoder
    /// has checked. From other bytes, lines that are not header lines are left out.
    #[must_use]
    pub fn new(lines: &'b [u8]) -> Self {
        Self { lines }
    }

    /// Whether a field of this name may be passed on as a trailer, for trailers that came by HTTP/2.
    #[must_use]
    pub fn allows(name: &str) -> bool {
        !field::is_forbidden_trailer(name.as_bytes())
    }

    /// The fields in order; values are trimmed.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\n', rest)?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line)
        })
        .filter_map(|line| parse_line(line.strip_suffix(b"\r")?).ok())
        .filter(|(name, _)| Self::allows(name))
    }

    /// Appends the fields as lines. The empty line that ends the section is up to the caller.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl std::fmt::Debug for Trailers<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Checks the section at the start of `buf` and returns its length with the empty line, or `None`
/// when that hasn't come.
pub(crate) fn section(
    buf: &[u8],
    max_bytes: usize,
    max_fields: usize,
) -> Result<Option<usize>, BodyError> {
    let window = &buf[..buf.len().min(max_bytes)];
    let too_large = BodyError::TrailersTooLarge {
        bytes: max_bytes,
        fields: max_fields,
    };
    let mut start = 0;
    for (fields, end) in memchr::memchr_iter(b'\n', window).enumerate() {
        let line = window[start..end]
            .strip_suffix(b"\r")
            .ok_or(BodyError::Trailers(Fault::LineEnd))?;
        start = end + 1;
        if line.is_empty() {
            return Ok(Some(start));
        }
        if fields == max_fields {
            return Err(too_large);
        }
        parse_line(line).map_err(BodyError::Trailers)?;
    }
    if window.len() < max_bytes {
        Ok(None)
    } else {
        Err(too_large)
    }
}

fn parse_line(line: &[u8]) -> Result<(&str, &[u8]), Fault> {
    let colon = memchr::memchr(b':', line).ok_or(Fault::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !field::is_token(name) {
        return Err(Fault::HeaderName);
    }
    if !value.iter().all(|&byte| field::is_value_byte(byte)) {
        return Err(Fault::HeaderValue);
    }
    let name = std::str::from_utf8(name).map_err(|_| Fault::HeaderName)?;
    Ok((name, field::trim(value)))
}
