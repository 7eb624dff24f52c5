//! Host names: patterns, their intersection, and the table that finds a virtual host by name.
//!
//! A pattern is an exact name, `*` followed by a suffix (`*.example.com`, but Envoy and Istio take `*-a.b` too),
//! or `*`. `*` stands for at least one character and may span labels.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) use manifests::hosts::{intersection, is_subset, pattern_rank};

use crate::model::{VirtualHost, VirtualHostId};

/// Host name → virtual host: exact names by hash, then wildcards by longest suffix, then `*`.
///
/// Names are looked up as `host_of` takes them from an authority, as Istio's gateways do. On the mesh listener
/// one name has a virtual host per service port, chosen by the port in `Host` (80 when there is none, and
/// when it is the listener's own), else the name's default.
#[derive(Debug, Default)]
pub struct HostTable {
    names: PatternMap<HostEntry>,
    /// Indexed by [`VirtualHostId`].
    pub virtual_hosts: Vec<VirtualHost>,
}

/// Values by host pattern; a name finds that of the pattern that fits it best.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PatternMap<V> {
    exact: HostMap<V>,
    /// Key is what follows the `*`.
    suffix: HostMap<V>,
    /// Lengths of the keys of `suffix`, longest first: one look-up for each instead of a scan.
    suffix_lengths: Vec<usize>,
    any: Option<V>,
}

impl<V> Default for PatternMap<V> {
    fn default() -> Self {
        Self {
            exact: HostMap::default(),
            suffix: HostMap::default(),
            suffix_lengths: Vec::new(),
            any: None,
        }
    }
}

impl<V> PatternMap<V> {
    /// The value for a name in lower case: exact, longest suffix, `*`.
    pub(crate) fn find(&self, name: &str) -> Option<(&V, HostMatch)> {
        if let Some(value) = self.exact.get(name) {
            return Some((value, HostMatch::Exact));
        }
        for &length in &self.suffix_lengths {
            if length < name.len()
                && let Some(suffix) = name.get(name.len() - length..)
                && let Some(value) = self.suffix.get(suffix)
            {
                return Some((value, HostMatch::Suffix(length)));
            }
        }
        self.any.as_ref().map(|value| (value, HostMatch::Any))
    }

    /// The value of a pattern, which is put there if it was not.
    pub(crate) fn entry(&mut self, pattern: &str) -> &mut V
    where
        V: Default,
    {
        let mut buffer = [0; 256];
        let pattern = lower_case(pattern, &mut buffer);
        match pattern.strip_prefix('*') {
            Some("") => self.any.get_or_insert_default(),
            Some(suffix) => {
                if !self.suffix_lengths.contains(&suffix.len()) {
                    self.suffix_lengths.push(suffix.len());
                    self.suffix_lengths.sort_unstable_by(|a, b| b.cmp(a));
                }
                entry(&mut self.suffix, suffix)
            }
            None => entry(&mut self.exact, &pattern),
        }
    }
}

/// A map that is only ever looked up in, never iterated for behaviour, with a fixed and fast hash. Keys come
/// from the configuration, so a client can't choose colliding ones.
pub(crate) type HostMap<V> = HashMap<Box<str>, V, BuildHasherDefault<HostHasher>>;

/// The virtual hosts of one name.
#[derive(Debug, Default)]
struct HostEntry {
    by_port: Vec<(u16, VirtualHostId)>,
    default: Option<VirtualHostId>,
}

impl HostTable {
    /// The virtual host for a request's authority (`host`, `host:port`, `[v6]:port`), if any, with the pattern
    /// it was found by. `own_port` is the one that the listener really has: in the authority it says nothing.
    pub fn lookup(&self, authority: &str, own_port: u16) -> Option<(VirtualHostId, HostMatch)> {
        let mut buffer = [0; 256];
        let (host, port) = host_of(authority, &mut buffer);
        let port = port.filter(|port| *port != own_port);
        let (entry, kind) = self.names.find(&host)?;
        entry.select(port).map(|id| (id, kind))
    }

    /// The virtual host at a position that [`Self::lookup`] gave.
    pub fn virtual_host(&self, id: VirtualHostId) -> &VirtualHost {
        &self.virtual_hosts[id.0 as usize]
    }

    /// Every name and pattern in order, with the port it is for and where it leads; `None` is any port that the
    /// name has no other entry for.
    pub fn patterns(&self) -> Vec<(String, Option<u16>, VirtualHostId)> {
        let names = &self.names;
        let exact = names.exact.iter();
        let exact = exact.map(|(name, entry)| (name.to_string(), entry));
        let suffix = names.suffix.iter();
        let suffix = suffix.map(|(end, entry)| (format!("*{end}"), entry));
        let any = names.any.iter().map(|entry| ("*".to_owned(), entry));
        let mut found = Vec::new();
        for (pattern, entry) in exact.chain(suffix).chain(any) {
            let by_port = entry.by_port.iter().map(|(port, id)| (Some(*port), *id));
            let default = entry.default.iter().map(|id| (None, *id));
            found.extend(
                by_port
                    .chain(default)
                    .map(|(port, id)| (pattern.clone(), port, id)),
            );
        }
        found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        found
    }

    /// True when nothing can be found.
    pub fn is_empty(&self) -> bool {
        self.virtual_hosts.is_empty()
    }

    /// Adds a virtual host that [`Self::name`] can then give names to.
    pub(crate) fn push(&mut self, virtual_host: VirtualHost) -> VirtualHostId {
        let id = VirtualHostId(
            u32::try_from(self.virtual_hosts.len()).expect("fewer than 2^32 virtual hosts"),
        );
        self.virtual_hosts.push(virtual_host);
        id
    }

    /// Makes `pattern` lead to `id`: for one port, or by default. The first to take a name keeps it; returns
    /// whether this call took it.
    pub(crate) fn name(&mut self, pattern: &str, port: Option<u16>, id: VirtualHostId) -> bool {
        let entry = self.names.entry(pattern);
        match port {
            None if entry.default.is_some() => return false,
            None => entry.default = Some(id),
            Some(port) if entry.by_port.iter().any(|(taken, _)| *taken == port) => return false,
            Some(port) => entry.by_port.push((port, id)),
        }
        true
    }
}

/// The entry of a name, which most often is there already: each name has one for every port.
fn entry<'t, V: Default>(table: &'t mut HostMap<V>, name: &str) -> &'t mut V {
    if !table.contains_key(name) {
        table.insert(name.into(), V::default());
    }
    table.get_mut(name).expect("it is there now")
}

impl HostEntry {
    fn select(&self, port: Option<u16>) -> Option<VirtualHostId> {
        if self.by_port.is_empty() {
            return self.default;
        }
        let at = |port: u16| {
            self.by_port
                .iter()
                .find(|(number, _)| *number == port)
                .map(|(_, id)| *id)
        };
        match port {
            Some(port) => at(port),
            None => at(80).or(self.default),
        }
    }
}

/// Which kind of pattern a host name was found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostMatch {
    /// The name itself.
    Exact,
    /// A wildcard with a suffix of this many bytes.
    Suffix(usize),
    /// `*`.
    Any,
}

/// Splits `host:port`. What follows the last colon is a port only if it is a number; IPv6 addresses keep their
/// brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) if port.is_empty() => (host, None),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

/// The host that an authority or a server name means, with the port beside it: in lower case and without the root's
/// dot, so that one host has one spelling wherever something depends on it.
pub(crate) fn host_of<'a>(
    authority: &'a str,
    buffer: &'a mut [u8; 256],
) -> (Cow<'a, str>, Option<u16>) {
    let (host, port) = split_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    (lower_case(host, buffer), port)
}

/// Lower case without an allocation, unless the name is longer than a host name may be.
fn lower_case<'a>(host: &'a str, buffer: &'a mut [u8; 256]) -> Cow<'a, str> {
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(host);
    }
    let Some(target) = buffer.get_mut(..host.len()) else {
        return Cow::Owned(host.to_ascii_lowercase());
    };
    target.copy_from_slice(host.as_bytes());
    target.make_ascii_lowercase();
    match std::str::from_utf8(target) {
        Ok(lower) => Cow::Borrowed(lower),
        Err(_) => Cow::Owned(host.to_ascii_lowercase()),
    }
}

/// Istio's rule for short names: without a dot, the name of a Kubernetes service in the document's namespace;
/// with one, the full name already (so `reviews.prod` is *not* completed).
pub(crate) fn fully_qualified(host: &str, namespace: &str, domain: &str) -> String {
    if host.contains('.') || host.starts_with('*') || host.contains(':') {
        return host.to_ascii_lowercase();
    }
    let mut full = [host, ".", namespace, ".svc.", domain].concat();
    full[..host.len()].make_ascii_lowercase();
    full
}

/// A multiply-and-rotate hash over eight bytes at a time (the scheme of rustc's FxHash).
#[derive(Debug, Default)]
pub(crate) struct HostHasher(u64);

impl HostHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for HostHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The table takes its bits from both ends of the word.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::BuildHasher;

    use super::*;

    fn table(names: &[(&str, Option<u16>)]) -> HostTable {
        let mut table = HostTable::default();
        for (name, port) in names {
            let id = table.push(VirtualHost {
                name: format!("{name} {port:?}"),
                ..VirtualHost::default()
            });
            table.name(name, *port, id);
        }
        table
    }

    fn found(table: &HostTable, authority: &str) -> String {
        let id = table.lookup(authority, 15001).map(|(id, _)| id);
        id.map_or_else(
            || "nothing".to_owned(),
            |id| table.virtual_host(id).name.clone(),
        )
    }

    #[test]
    fn exact_before_longest_suffix_before_any() {
        let table = table(&[
            ("*", None),
            ("*.com", None),
            ("*.example.com", None),
            ("www.example.com", None),
            ("*-x.org", None),
        ]);
        for (authority, name) in [
            ("www.example.com", "www.example.com None"),
            ("WWW.Example.COM:8080", "www.example.com None"),
            ("www.example.com.", "www.example.com None"),
            ("a.b.example.com", "*.example.com None"),
            ("example.com", "*.com None"),
            (".example.com", "*.com None"),
            ("a-x.org", "*-x.org None"),
            ("-x.org", "* None"),
            ("[::1]:80", "* None"),
            ("", "* None"),
        ] {
            assert_eq!(found(&table, authority), name, "{authority}");
        }
    }

    /// The most keys that share a slot in a table of this many slots, which is what a look-up may have to compare.
    fn fullest_slot(keys: impl Iterator<Item = Box<str>>, slots: u64) -> usize {
        let mut counts = BTreeMap::new();
        for key in keys {
            let slot = BuildHasherDefault::<HostHasher>::default().hash_one(&*key) % slots;
            *counts.entry(slot).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }

    #[test]
    fn more_hosts_take_no_more_work_to_look_up() {
        for hosts in [10_u64, 10_000] {
            let names = (0..hosts).flat_map(|number| {
                [
                    format!("s{number}.default.svc.cluster.local"),
                    format!("*.t{number:05}.example.com"),
                ]
            });
            let names: Vec<_> = names.collect();
            let names: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
            let table = table(&names);
            // A look-up is one in `exact` and one in `suffix` for each length: count them all.
            let PatternMap {
                exact,
                suffix,
                suffix_lengths,
                ..
            } = &table.names;
            assert_eq!(*suffix_lengths, [".t00000.example.com".len()]);
            assert_eq!(exact.len() + suffix.len(), names.len());
            for map in [exact, suffix] {
                let fullest = fullest_slot(map.keys().cloned(), hosts.next_power_of_two());
                assert!(fullest <= 10, "{fullest} of {hosts} hosts share a slot");
            }
            let last = hosts - 1;
            let wanted = format!("a.t{last:05}.example.com");
            let expected = format!("*.t{last:05}.example.com None");
            assert_eq!(found(&table, &wanted), expected);
        }
    }

    #[test]
    fn the_port_chooses_among_the_services_ports() {
        let table = table(&[
            ("reviews", Some(9080)),
            ("reviews", Some(80)),
            ("reviews", None),
            ("details", Some(9080)),
            ("details", None),
        ]);
        for (authority, name) in [
            ("reviews", "reviews Some(80)"),
            ("reviews:9080", "reviews Some(9080)"),
            ("reviews:15001", "reviews Some(80)"),
            ("reviews:1234", "nothing"),
            ("details", "details None"),
            ("ratings", "nothing"),
        ] {
            assert_eq!(found(&table, authority), name, "{authority}");
        }
    }

    #[test]
    fn ports_are_split_off_only_when_they_are_ports() {
        assert_eq!(split_port("a:80"), ("a", Some(80)));
        assert_eq!(split_port("a:"), ("a", None));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
        assert_eq!(split_port("[::1]:8080"), ("[::1]", Some(8080)));
        assert_eq!(split_port("::1"), ("::1", None));
        assert_eq!(split_port("a:b"), ("a:b", None));
        assert_eq!(split_port("a:99999"), ("a:99999", None));
    }
}
