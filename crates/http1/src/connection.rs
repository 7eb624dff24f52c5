//! The `Connection` header: what happens to the connection, and which fields end here (RFC 9110
//! §7.6.1).

use crate::error::Fault;
use crate::field::{self, Known};

/// Fields that `Connection` may name besides the ones we know. Each costs a comparison per header,
/// so they are bounded; Envoy bounds them by 10 as well, and real clients name one or two.
const MAX_NOMINATED: usize = 10;

/// All `Connection` headers of a head, taken together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection<'b> {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    nominated: [&'b [u8]; MAX_NOMINATED],
    nominated_len: usize,
}

impl<'b> Connection<'b> {
    /// Takes in one more `Connection` header.
    pub(crate) fn add(&mut self, value: &'b [u8]) -> Result<(), Fault> {
        for option in value.split(|&byte| byte == b',').map(field::trim) {
            if option.is_empty() {
                // RFC 9110 §5.6.1.2: empty list elements are ignored.
                continue;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.nominate(option)?;
            }
        }
        Ok(())
    }

    fn nominate(&mut self, option: &'b [u8]) -> Result<(), Fault> {
        if !field::is_token(option) {
            return Err(Fault::ConnectionOption);
        }
        if field::is_protected(option) {
            return Err(Fault::ProtectedField);
        }
        let name = std::str::from_utf8(option).map_err(|_| Fault::ConnectionOption)?;
        if Known::of(name).stays_here() || self.nominates(name) {
            return Ok(());
        }
        let slot = self
            .nominated
            .get_mut(self.nominated_len)
            .ok_or(Fault::ConnectionOption)?;
        *slot = option;
        self.nominated_len += 1;
        Ok(())
    }

    /// Whether the sender said that the field `name` ends here.
    #[inline]
    pub(crate) fn nominates(&self, name: &str) -> bool {
        self.nominated[..self.nominated_len]
            .iter()
            .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}
