//! Which of several rules that match a request gets it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::attached::{Entry, Host, HttpMatch, PathMatch};
use crate::documents::names::covers;

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
        let mut hosts: Vec<Host> = self
            .0
            .into_iter()
            .map(|(pattern, mut entries)| {
                sort(&mut entries);
                Host { pattern, entries }
            })
            .collect();
        hosts.sort_by_key(|host| Reverse(specificity(&host.pattern)));
        let own: Vec<usize> = hosts.iter().map(|host| host.entries.len()).collect();
        for narrow in 0..hosts.len() {
            for wide in narrow + 1..hosts.len() {
                if covers(&hosts[wide].pattern, &hosts[narrow].pattern) {
                    let inherited = hosts[wide].entries[..own[wide]].to_vec();
                    hosts[narrow].entries.extend(inherited);
                }
            }
        }
        hosts
    }
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
