//! Which fields travel on, and what is added to them.

use std::net::IpAddr;

use alba::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh::{HeaderOperations, ListenerKind};

use super::cors::Granted;
use crate::http::view::{Fields, RequestView, write_field};

/// Where fields are written.
pub(crate) trait FieldSink {
    /// Copies the fields that `keep` wants.
    fn copy(&mut self, head: &impl Fields, keep: impl FnMut(&str) -> bool);

    /// Adds a field.
    fn put(&mut self, name: &str, value: &[u8]);
}

/// HTTP/1.1: field lines.
impl FieldSink for Vec<u8> {
    fn copy(&mut self, head: &impl Fields, keep: impl FnMut(&str) -> bool) {
        head.write_fields(self, keep);
    }

    fn put(&mut self, name: &str, value: &[u8]) {
        write_field(self, name, value);
    }
}

/// HTTP/2.
impl FieldSink for HeaderMap {
    fn copy(&mut self, head: &impl Fields, mut keep: impl FnMut(&str) -> bool) {
        head.fields(|name, value| {
            if keep(name) {
                self.put(name, value);
            }
        });
    }

    fn put(&mut self, name: &str, value: &[u8]) {
        // Both were checked when they were parsed; what HTTP/2 still can't carry is left out.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) {
            self.append(name, value);
        }
    }
}

/// A route's and its destination's changes to one message, in the order in which they apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edits<'m> {
    pub(crate) operations: [&'m HeaderOperations; 2],
    /// A `Set-Cookie` for the client, beside what the endpoint sets.
    pub(crate) cookie: Option<&'m str>,
    /// The origin that may read the answer; what it says of that overrides everybody else.
    pub(crate) grant: Option<&'m Granted<'m>>,
}

impl<'m> Edits<'m> {
    /// The changes of a route and its destination.
    pub(crate) const fn new(operations: [&'m HeaderOperations; 2]) -> Self {
        Self {
            operations,
            cookie: None,
            grant: None,
        }
    }

    /// Whether nothing is replaced or taken away.
    fn touch_nothing(&self) -> bool {
        self.operations
            .iter()
            .all(|edits| edits.remove.is_empty() && edits.set.is_empty())
    }

    /// Whether a field of that name is replaced or taken away.
    pub(crate) fn touch(&self, name: &str) -> bool {
        self.operations.iter().any(|edits| {
            edits
                .remove
                .iter()
                .any(|removed| removed.eq_ignore_ascii_case(name))
                || edits
                    .set
                    .iter()
                    .any(|(set, _)| set.eq_ignore_ascii_case(name))
        }) || self.is_granted(name)
    }

    fn is_granted(&self, name: &str) -> bool {
        self.grant.is_some_and(|grant| grant.writes(name))
    }

    /// The authority that replaces the request's.
    pub(crate) fn authority(&self) -> Option<&'m str> {
        let all = self
            .operations
            .iter()
            .rev()
            .flat_map(|edits| edits.set.iter().rev());
        all.into_iter()
            .find(|(name, _)| is_authority(name))
            .map(|(_, value)| value.as_str())
    }

    /// Writes what is set and added.
    pub(crate) fn write(&self, sink: &mut impl FieldSink) {
        for (position, edits) in self.operations.iter().enumerate() {
            for (name, value) in &edits.set {
                let replaced_later = self.operations[position + 1..].iter().any(|later| {
                    later
                        .set
                        .iter()
                        .any(|(set, _)| set.eq_ignore_ascii_case(name))
                });
                if !is_authority(name) && !replaced_later && !self.is_granted(name) {
                    sink.put(name, value.as_bytes());
                }
            }
            for (name, value) in &edits.add {
                if !self.is_granted(name) {
                    sink.put(name, value.as_bytes());
                }
            }
        }
        if let Some(grant) = self.grant {
            grant.write(sink);
        }
        if let Some(cookie) = self.cookie {
            sink.put("set-cookie", cookie.as_bytes());
        }
    }
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

/// What the connection that a request came on adds to it.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The client's address without port, as text.
    pub(crate) peer: String,
    /// The same.
    pub(crate) address: IpAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// A gateway's clients are outside: what they say of the hop before is replaced or appended to. The
    /// mesh listener's client is the local workload, which may itself be passing on what a gateway said.
    pub(crate) kind: ListenerKind,
}

/// Writes the fields of a request to an endpoint, without framing, and without `host` unless `keep_host`.
pub(crate) fn write_request_fields(
    sink: &mut impl FieldSink,
    head: &impl RequestView,
    origin: &Origin,
    edits: Edits<'_>,
    keep_host: bool,
    rng: &mut Rng,
) {
    let outside = origin.kind == ListenerKind::Gateway;
    let untouched = edits.touch_nothing();
    let (mut forwarded_for, mut forwarded_proto) = (false, false);
    let (mut request_id, mut traceparent) = (false, false);
    sink.copy(head, |name| {
        let kept = match name.len() {
            4 if name.eq_ignore_ascii_case("host") => keep_host,
            // Written anew where it is passed on.
            6 if name.eq_ignore_ascii_case("expect") => false,
            11 if name.eq_ignore_ascii_case("traceparent") => {
                traceparent = true;
                true
            }
            12 if name.eq_ignore_ascii_case("x-request-id") => {
                request_id = true;
                true
            }
            15 if name.eq_ignore_ascii_case("x-forwarded-for") => {
                forwarded_for = true;
                !outside
            }
            17 if name.eq_ignore_ascii_case("x-forwarded-proto") => {
                forwarded_proto = true;
                !outside
            }
            _ => true,
        };
        kept && (untouched || !edits.touch(name))
    });
    if outside && !edits.touch("x-forwarded-for") {
        match forwarded_for
            .then(|| mesh::RequestHead::header(head, "x-forwarded-for"))
            .flatten()
        {
            Some(before) => {
                let mut all = before.into_owned();
                all.extend_from_slice(b", ");
                all.extend_from_slice(origin.peer.as_bytes());
                sink.put("x-forwarded-for", &all);
            }
            None => sink.put("x-forwarded-for", origin.peer.as_bytes()),
        }
    }
    if (outside || !forwarded_proto) && !edits.touch("x-forwarded-proto") {
        sink.put("x-forwarded-proto", origin.scheme.as_bytes());
    }
    if !request_id && !edits.touch("x-request-id") {
        sink.put("x-request-id", &random_uuid(rng));
    }
    if !traceparent && !edits.touch("traceparent") {
        sink.put("traceparent", &new_trace(rng));
    }
    edits.write(sink);
}

/// A version 4 UUID (RFC 9562 section 5.4) in its text form.
fn random_uuid(rng: &mut Rng) -> [u8; 36] {
    let high = rng.u64() & !0xf000 | 0x4000;
    let low = rng.u64() & !(0b11 << 62) | 0b10 << 62;
    let mut text = [b'-'; 36];
    write_hex(high >> 32, &mut text[..8]);
    write_hex(high >> 16, &mut text[9..13]);
    write_hex(high, &mut text[14..18]);
    write_hex(low >> 48, &mut text[19..23]);
    write_hex(low, &mut text[24..]);
    text
}

/// A new trace (W3C Trace Context section 3.2), not sampled: whoever exports spans decides that.
fn new_trace(rng: &mut Rng) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(rng.u64(), &mut text[3..19]);
    // Zero ids are invalid; `| 1` costs one bit of randomness.
    write_hex(rng.u64() | 1, &mut text[19..35]);
    write_hex(rng.u64() | 1, &mut text[36..52]);
    text
}

/// Fills `text` with the last digits of `value`. By hand: `write!` took a twentieth of our time.
fn write_hex(mut value: u64, text: &mut [u8]) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_version_and_variant() {
        let text = String::from_utf8(random_uuid(&mut Rng::seeded(1)).to_vec()).unwrap();
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]));
    }

    #[test]
    fn a_trace_parent_is_well_formed_and_unsampled() {
        let text = String::from_utf8(new_trace(&mut Rng::seeded(1)).to_vec()).unwrap();
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [2, 32, 16, 2]);
        assert!(text.ends_with("-00"));
    }

    #[test]
    fn the_destinations_set_wins_over_the_routes() {
        let set = |value: &str| HeaderOperations {
            set: vec![("x-a".into(), value.into())],
            ..HeaderOperations::default()
        };
        let (route, destination) = (set("route"), set("destination"));
        let edits = Edits::new([&route, &destination]);
        let mut out = Vec::new();
        edits.write(&mut out);
        assert_eq!(out, b"x-a: destination\r\n");
        assert!(edits.touch("X-A"));
    }
}
