//! Which of several rules that match a request gets it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::attached::{Entry, Host, HttpMatch, PathMatch};

/// Entries by host pattern, in the order in which routes were attached: oldest first, and by name.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<String, Vec<Entry>>);

impl Hosts {
    pub(super) fn add(&mut self, pattern: &str, entries: &[Entry]) {
        let of_pattern = self.0.entry(pattern.to_owned()).or_default();
        of_pattern.extend_from_slice(entries);
    }

    /// Most specific first. Rules of wider patterns come after a pattern's own, since more characters in a host name
    /// only give precedence.
    pub(super) fn into_hosts(self) -> Vec<Host> {
        let mut own = self.0;
        own.values_mut().for_each(|entries| sort(entries));
        let mut hosts: Vec<Host> = own
            .iter()
            .map(|(pattern, entries)| {
                let wider = wider(pattern).filter_map(|suffix| own.get(&format!("*{suffix}")));
                let inherited = wider.flatten();
                Host {
                    pattern: pattern.clone(),
                    entries: entries.iter().chain(inherited).cloned().collect(),
                }
            })
            .collect();
        hosts.sort_by_key(|host| Reverse(specificity(&host.pattern)));
        hosts
    }
}

/// What follows the `*` in each wildcard that takes in a pattern, the narrowest first.
fn wider(pattern: &str) -> impl Iterator<Item = &str> {
    let suffixes = pattern.match_indices('.').map(|(at, _)| &pattern[at..]);
    let own = pattern.strip_prefix('*');
    let any = (pattern != "*").then_some("");
    suffixes
        .filter(move |suffix| Some(*suffix) != own)
        .chain(any)
}

/// Names before wildcards, longer before shorter.
fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.starts_with('*'), pattern.len())
}

/// By what their conditions ask; those that ask the same stay in the order they have, which is that of age and name
/// and, within a route, of the text.
pub(super) fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| Reverse(weight(&entry.when)));
}

/// More is before less, first of the service that gRPC names. The specification leaves the place of regular expressions open: they stand between exact
/// paths and prefixes, since behind the prefix `/` nothing would ever reach them.
fn weight(when: &HttpMatch) -> impl Ord + use<> {
    let path = match &when.path {
        PathMatch::Exact(path) => (when.service_length, 2, path.len()),
        PathMatch::Regex(path) => (when.service_length, 1, path.len()),
        PathMatch::Prefix(path) => (when.service_length, 0, path.len()),
    };
    (
        path,
        when.method.is_some(),
        when.headers.len(),
        when.query.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_patterns_are_looked_up_by_their_suffixes() {
        let of = |pattern| wider(pattern).collect::<Vec<_>>();
        assert_eq!(of("a.b.c"), [".b.c", ".c", ""]);
        assert_eq!(of("*.b.c"), [".c", ""]);
        assert_eq!(of("*.c"), [""]);
        assert_eq!(of("a"), [""]);
        assert_eq!(of("*"), [""; 0]);
    }
}
