//! `host[:port]`, as `Host` and absolute targets carry it.

use std::net::Ipv6Addr;

/// Longest authority: a DNS name has at most 253 bytes, a port 5.
const MAX_BYTES: usize = 259;

/// Checks an authority and returns it as text.
///
/// Stricter than RFC 3986: a name is made of letters, digits, `-`, `.`, `_` and `~` only.
/// Percent-encoding and sub-delimiters occur in neither DNS names nor addresses, and `a%2eb` or
/// `a,b` would be read differently by others. An empty host, an empty port and a user name are
/// refused.
#[must_use]
pub fn parse_authority(bytes: &[u8]) -> Option<&str> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let rest = match bytes {
        [b'[', literal @ ..] => {
            let end = memchr::memchr(b']', literal)?;
            std::str::from_utf8(&literal[..end])
                .ok()?
                .parse::<Ipv6Addr>()
                .ok()?;
            &literal[end + 1..]
        }
        _ => {
            let end = bytes
                .iter()
                .position(|&byte| !is_name_byte(byte))
                .unwrap_or(bytes.len());
            if end == 0 {
                return None;
            }
            &bytes[end..]
        }
    };
    match rest {
        [] => {}
        [b':', port @ ..] if is_port(port) => {}
        _ => return None,
    }
    std::str::from_utf8(bytes).ok()
}

#[inline]
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_port(digits: &[u8]) -> bool {
    (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .fold(0, |port, digit| port * 10 + u32::from(digit - b'0'))
            <= 65535
}

#[cfg(test)]
mod tests {
    use super::parse_authority;

    #[test]
    fn accepts_names_and_addresses() {
        for authority in [
            "a",
            "shop.example",
            "shop.example:8080",
            "my_svc.ns.svc.cluster.local:80",
            "10.0.0.1:65535",
            "[::1]",
            "[::1]:443",
            "a:0",
        ] {
            assert_eq!(parse_authority(authority.as_bytes()), Some(authority));
        }
        assert!(parse_authority("a".repeat(259).as_bytes()).is_some());
    }

    #[test]
    fn refuses_the_rest() {
        for authority in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:65536",
            "a:123456",
            "a:80:80",
            "user@a",
            "user:pw@a",
            "a/b",
            "a b",
            "a,b",
            "a%2eb",
            "a\u{e9}",
            "[::1",
            "[::1]x",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "::1",
            "a\tb",
            "a?b",
            "a#b",
            "a\\b",
            "[v1.x]",
            "a:+80",
            "a;b",
            "a=b",
        ] {
            assert_eq!(parse_authority(authority.as_bytes()), None, "{authority}");
        }
        assert!(parse_authority("a".repeat(260).as_bytes()).is_none());
    }
}
