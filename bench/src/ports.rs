//! Free ports that a flood of client connections cannot take first.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Hands out free loopback ports, each once.
///
/// They lie below the kernel's range for outgoing connections: a run opens many thousands of
/// those, and one of them could otherwise own the port by the time a proxy wants it.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
    end: u16,
}

impl Ports {
    /// Starts at a place of its own, so that two runs rarely meet.
    pub(crate) fn new() -> Self {
        let end = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|range| range.split_whitespace().next()?.parse().ok())
            .filter(|&low: &u16| low > 12_000)
            .unwrap_or(32_768);
        let spread = u32::from(end - 11_000);
        let offset = (std::process::id().wrapping_mul(97) % spread) as u16;
        Self {
            next: 10_000 + offset,
            end,
        }
    }

    /// The next port that nobody listens on.
    pub(crate) fn free(&mut self) -> Result<u16> {
        for _ in 10_000..self.end {
            let port = self.next;
            self.next = if port + 1 < self.end {
                port + 1
            } else {
                10_000
            };
            if is_free(port) {
                return Ok(port);
            }
        }
        bail!(
            "no free port between 10000 and {}; stop other servers on this machine",
            self.end
        )
    }

    /// An offset that, added to each of `bases`, gives ports that are free.
    pub(crate) fn free_offset(&mut self, bases: &[u16]) -> Result<u16> {
        let highest = bases.iter().copied().max().unwrap_or_default();
        let limit = self.end.saturating_sub(highest);
        let start = self.next % limit.max(1);
        for step in 0..limit {
            let offset = (start + step) % limit;
            if bases.iter().all(|base| is_free(base + offset)) {
                return Ok(offset);
            }
        }
        bail!("no offset below {limit} makes all of {bases:?} free; stop other servers")
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let mut ports = Ports::new();
        let (a, b) = (ports.free().unwrap(), ports.free().unwrap());
        assert_ne!(a, b);
        TcpListener::bind((Ipv4Addr::LOCALHOST, a)).unwrap();
    }

    #[test]
    fn offset_avoids_a_taken_port() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut ports = Ports {
            next: 0,
            end: 65_535,
        };
        let base = taken.local_addr().unwrap().port();
        let offset = ports.free_offset(&[base]).unwrap();
        assert_ne!(offset, 0, "offset 0 means port {base}, which is taken");
    }
}
