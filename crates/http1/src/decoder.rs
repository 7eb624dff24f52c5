//! Bodies as they come in: fixed, chunked (RFC 9112 §7.1) or until the connection closes.

use std::ops::Range;

use crate::body::Body;
use crate::error::BodyError;
use crate::field;
use crate::limits::Limits;
use crate::trailers;

/// Reads one body from the bytes that follow its head.
///
/// Call [`decode`](Self::decode) with what the buffer holds, drop [`Step::consumed`] bytes from its
/// front, handle the event, and call again until [`Event::NeedMore`] or [`Event::End`]. Bytes that
/// were not consumed must be passed again, with more behind them; the buffer must therefore be able
/// to grow to the larger of [`Limits::chunk_line_bytes`] and [`Limits::trailer_bytes`].
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    chunk_line_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fixed(u64),
    UntilClose,
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Ended,
}

/// What one call found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// Bytes to drop from the front of the buffer, after the event was handled. Framing counts too,
    /// so this may be over 0 with any event.
    pub consumed: usize,
    /// What they were.
    pub event: Event,
}

/// A part of a body. Ranges are within the buffer passed in and within [`Step::consumed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing more can be told from these bytes.
    NeedMore,
    /// Bytes of the content; never none.
    Data(Range<usize>),
    /// The trailer fields of a chunked body, for [`Trailers::new`](crate::Trailers::new). They are
    /// checked, and come at most once, right before the end.
    Trailers(Range<usize>),
    /// The body is complete; further bytes belong to the next message.
    End,
}

impl Decoder {
    /// A decoder for one body.
    #[must_use]
    pub fn new(body: Body, limits: &Limits) -> Self {
        let state = match body {
            Body::Empty | Body::Length(0) => State::Ended,
            Body::Length(length) => State::Fixed(length),
            Body::Chunked => State::ChunkLine,
            Body::UntilClose => State::UntilClose,
        };
        Self {
            state,
            chunk_line_bytes: limits.chunk_line_bytes,
            trailer_bytes: limits.trailer_bytes,
            trailer_fields: limits.headers,
        }
    }

    /// Reads the next part from the front of `buf`. Takes constant time for content, however much
    /// there is.
    ///
    /// # Errors
    ///
    /// When chunked framing or trailers break the rules or [`Limits`]. The connection must then be
    /// closed, and the message not be reported as complete.
    pub fn decode(&mut self, buf: &[u8]) -> Result<Step, BodyError> {
        let mut at = 0;
        loop {
            let rest = &buf[at..];
            match self.state {
                State::Ended => {
                    return Ok(Step {
                        consumed: at,
                        event: Event::End,
                    });
                }
                State::Fixed(_) | State::UntilClose | State::ChunkData(_) if rest.is_empty() => {
                    break;
                }
                State::UntilClose => {
                    return Ok(Step {
                        consumed: buf.len(),
                        event: Event::Data(at..buf.len()),
                    });
                }
                State::Fixed(left) => {
                    let (taken, left) = take(left, rest.len());
                    self.state = if left == 0 {
                        State::Ended
                    } else {
                        State::Fixed(left)
                    };
                    return Ok(Step {
                        consumed: taken,
                        event: Event::Data(0..taken),
                    });
                }
                State::ChunkLine => match chunk_line(rest, self.chunk_line_bytes)? {
                    None => break,
                    Some((size, len)) => {
                        at += len;
                        self.state = if size == 0 {
                            State::Trailers
                        } else {
                            State::ChunkData(size)
                        };
                    }
                },
                State::ChunkData(left) => {
                    let (taken, left) = take(left, rest.len());
                    let data = at..at + taken;
                    at += taken;
                    self.state = if left > 0 {
                        State::ChunkData(left)
                    } else if rest[taken..].starts_with(b"\r\n") {
                        at += 2;
                        State::ChunkLine
                    } else {
                        State::ChunkEnd
                    };
                    return Ok(Step {
                        consumed: at,
                        event: Event::Data(data),
                    });
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::ChunkLine;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(BodyError::ChunkEnd),
                },
                State::Trailers => {
                    match trailers::section(rest, self.trailer_bytes, self.trailer_fields)? {
                        None => break,
                        Some(len) => {
                            self.state = State::Ended;
                            let fields = at..at + len - 2;
                            at += len;
                            if !fields.is_empty() {
                                return Ok(Step {
                                    consumed: at,
                                    event: Event::Trailers(fields),
                                });
                            }
                        }
                    }
                }
            }
        }
        Ok(Step {
            consumed: at,
            event: Event::NeedMore,
        })
    }

    /// Tells that the peer has closed its side, once everything it sent has been decoded.
    ///
    /// # Errors
    ///
    /// [`BodyError::Truncated`] when the body isn't complete by that.
    pub fn eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::UntilClose | State::Ended => {
                self.state = State::Ended;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// Whether all bytes of the body have been consumed. True at once for an empty body, and as
    /// soon as its last byte was consumed, before [`Event::End`] is asked for.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }
}

/// How much of `left` there is in `available` bytes, and how much is left after that.
fn take(left: u64, available: usize) -> (usize, u64) {
    match usize::try_from(left) {
        Ok(left) if left <= available => (left, 0),
        _ => (available, left - available as u64),
    }
}

/// Reads `1*HEXDIG [ extensions ] CRLF`; returns the size and the line's length, or `None` when it
/// isn't all there.
///
/// At most 16 digits, which can't overflow. Extensions are skipped, but may hold no control bytes:
/// a bare LF or CR in one is how readers have been made to disagree about where the line ends.
fn chunk_line(buf: &[u8], limit: usize) -> Result<Option<(u64, usize)>, BodyError> {
    const MAX_DIGITS: usize = 16;
    let window = &buf[..buf.len().min(limit)];
    let incomplete = || {
        if window.len() < limit {
            Ok(None)
        } else {
            Err(BodyError::ChunkLineTooLong { limit })
        }
    };

    let mut size = 0u64;
    let mut at = 0;
    while let Some(digit) = window
        .get(at)
        .and_then(|&byte| char::from(byte).to_digit(16))
    {
        if at == MAX_DIGITS {
            return Err(BodyError::ChunkLine);
        }
        size = size << 4 | u64::from(digit);
        at += 1;
    }
    if at == 0 && !window.is_empty() {
        return Err(BodyError::ChunkLine);
    }
    if let Some(b';' | b' ' | b'\t') = window.get(at) {
        while let Some(b' ' | b'\t') = window.get(at) {
            at += 1;
        }
        if window.get(at).is_some_and(|&byte| byte != b';') {
            return Err(BodyError::ChunkLine);
        }
        at = window[at..]
            .iter()
            .position(|&byte| !field::is_value_byte(byte))
            .map_or(window.len(), |more| at + more);
    }
    match window[at..] {
        [b'\r', b'\n', ..] => Ok(Some((size, at + 2))),
        [] | [b'\r'] => incomplete(),
        _ => Err(BodyError::ChunkLine),
    }
}

#[cfg(test)]
mod tests;
