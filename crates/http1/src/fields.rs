//! The header lines of a head, borrowed from the caller's buffer, and the one pass that reads what
//! they mean.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::body::Framing;
use crate::connection::Connection;
use crate::error::Fault;
use crate::field::{self, Known};

const INLINE: usize = 100;

/// Room for the tokens of one head, made to live on the stack while the head is looked at.
///
/// Nothing is initialised until it is used, so making one costs nothing; it goes to the heap only
/// when [`Limits::headers`](crate::Limits::headers) is over 100.
pub struct Slots<'b> {
    inline: [MaybeUninit<Header<'b>>; INLINE],
    spilled: Vec<MaybeUninit<Header<'b>>>,
}

impl<'b> Slots<'b> {
    /// Empty slots.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self {
            inline: [MaybeUninit::uninit(); INLINE],
            spilled: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn first(&mut self, len: usize) -> &mut [MaybeUninit<Header<'b>>] {
        if len <= INLINE {
            return &mut self.inline[..len];
        }
        self.spilled.resize(len, MaybeUninit::uninit());
        &mut self.spilled
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Slots<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").finish_non_exhaustive()
    }
}

/// The header lines of one head with what they say about the message and the connection.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'b, 's> {
    lines: &'s [Header<'b>],
    /// The head, from its start line to its empty line.
    head: &'b [u8],
    pub(crate) connection: Connection<'b>,
    pub(crate) framing: Framing<'b>,
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) expects_continue: bool,
    /// An expectation in HTTP/1.0 is to be ignored, so it must not reach an upstream that would act
    /// on it.
    pub(crate) drops_expect: bool,
    pub(crate) accepts_trailers: bool,
    upgrade: Option<&'b [u8]>,
}

impl<'b, 's> Fields<'b, 's> {
    /// Reads the `lines` that `httparse` found in `head`, which starts at the start line and ends
    /// with the empty line.
    pub(crate) fn read(head: &'b [u8], lines: &'s [Header<'b>]) -> Result<Self, Fault> {
        if !head.ends_with(b"\r\n") {
            return Err(Fault::LineEnd);
        }
        let mut fields = Self {
            lines,
            head,
            connection: Connection::default(),
            framing: Framing::default(),
            host: None,
            expects_continue: false,
            drops_expect: false,
            accepts_trailers: false,
            upgrade: None,
        };
        let mut upgrades = 0;
        for line in lines {
            fields.check_line_end(line)?;
            let value = line.value;
            match Known::of(line.name) {
                Known::Other | Known::Hop => {}
                Known::Host if fields.host.replace(value).is_some() => {
                    return Err(Fault::HostRepeated);
                }
                Known::Host => {}
                Known::Connection => fields.connection.add(value)?,
                Known::ContentLength => fields.framing.add_content_length(value)?,
                Known::TransferEncoding => fields.framing.add_transfer_encoding(value)?,
                Known::Expect => {
                    fields.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
                }
                Known::Te => fields.accepts_trailers |= lists_trailers(value),
                Known::Upgrade => {
                    upgrades += 1;
                    fields.upgrade = (upgrades == 1 && is_one_protocol(value)).then_some(value);
                }
            }
        }
        Ok(fields)
    }

    /// `httparse` takes LF for CRLF, so look at what really ends the line. Nothing can hide between
    /// the lines: within them it refuses both bytes.
    #[inline]
    fn check_line_end(&self, line: &Header<'b>) -> Result<(), Fault> {
        let mut end = self.offset(line.value) + line.value.len();
        while let Some(b' ' | b'\t') = self.head.get(end) {
            end += 1;
        }
        match self.head.get(end..end + 2) {
            Some(b"\r\n") => Ok(()),
            _ => Err(Fault::LineEnd),
        }
    }

    /// Where a part of the head starts in it.
    #[inline]
    fn offset(&self, part: &[u8]) -> usize {
        (part.as_ptr() as usize).wrapping_sub(self.head.as_ptr() as usize)
    }

    #[inline]
    fn is_end_to_end(&self, name: &str) -> bool {
        match Known::of(name) {
            Known::Other => !self.connection.nominates(name),
            Known::Expect => !self.drops_expect,
            known => !known.stays_here(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.lines
            .iter()
            .filter(|line| self.is_end_to_end(line.name))
            .map(|line| (line.name, line.value))
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let wanted = if self.is_end_to_end(name) {
            self.lines
        } else {
            &[]
        };
        wanted
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(|line| line.value)
    }

    /// Copies what [`iter`](Self::iter) yields and `keep` accepts, a run of adjacent lines at a
    /// time.
    pub(crate) fn write(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&str) -> bool) {
        let mut run = None;
        for line in self.lines {
            let start = self.offset(line.name.as_bytes());
            if self.is_end_to_end(line.name) && keep(line.name) {
                run.get_or_insert(start);
            } else if let Some(run) = run.take() {
                out.extend_from_slice(&self.head[run..start]);
            }
        }
        if let Some(run) = run {
            // All but the empty line.
            out.extend_from_slice(&self.head[run..self.head.len() - 2]);
        }
    }

    /// The protocol to switch to, when exactly one is named and `Connection` says so.
    pub(crate) fn upgrade(&self) -> Option<&'b [u8]> {
        self.upgrade.filter(|_| self.connection.upgrade)
    }

    /// RFC 9112 §9.3.
    pub(crate) fn keep_alive(&self, http_1_0: bool) -> bool {
        !self.connection.close && (!http_1_0 || self.connection.keep_alive)
    }
}

impl std::fmt::Debug for Fields<'_, '_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.lines.iter().map(|line| line.name))
            .finish()
    }
}

/// `TE: trailers`, among whatever else it lists (RFC 9110 §10.1.4).
fn lists_trailers(value: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|coding| field::trim(coding).eq_ignore_ascii_case(b"trailers"))
}

/// One `name[/version]`, and not `h2c`: an upgrade to HTTP/2 in clear text would carry requests
/// past this parser, and RFC 9113 §3.1 has dropped it.
fn is_one_protocol(value: &[u8]) -> bool {
    !value.eq_ignore_ascii_case(b"h2c")
        && !value.is_empty()
        && value
            .iter()
            .all(|&byte| byte == b'/' || field::is_token_byte(byte))
}
