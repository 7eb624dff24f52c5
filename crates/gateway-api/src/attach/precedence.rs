//! Which of several rules that match a request gets it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

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
    /// only give precedence. They are named, not copied: as many routes may have a wide pattern as have narrow ones.
    pub(super) fn into_hosts(self) -> Vec<Host> {
        let wider = |pattern: &str| {
            let patterns = wider(pattern).map(|suffix| format!("*{suffix}"));
            patterns
                .filter(|wider| self.0.contains_key(wider))
                .collect()
        };
        let patterns: Vec<Vec<String>> = self.0.keys().map(|pattern| wider(pattern)).collect();
        let own = self.0.into_iter().zip(patterns);
        let mut hosts: Vec<Host> = own
            .map(|((pattern, mut entries), wider)| {
                sort(&mut entries);
                Host {
                    pattern,
                    entries,
                    wider,
                }
            })
            .collect();
        hosts.sort_by_key(|host| Reverse(specificity(&host.pattern)));
        hosts
    }
}

/// Host patterns, of which one can be found that shares a name with another without trying them all.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    pub(super) fn add(&mut self, pattern: &str) {
        self.0.insert(reversed(pattern));
    }

    /// Whether any name is one of the pattern's too. Backwards, what a wildcard takes in begins as it does itself.
    pub(super) fn overlaps(&self, pattern: &str) -> bool {
        let has = |pattern: &str| self.0.contains(&reversed(pattern));
        if has(pattern) || wider(pattern).any(|suffix| has(&format!("*{suffix}"))) {
            return true;
        }
        let Some(suffix) = pattern.strip_prefix('*') else {
            return false;
        };
        let begin = reversed(suffix);
        let first = self.0.range(begin.clone()..).next();
        first.is_some_and(|first| first.starts_with(&begin))
    }
}

fn reversed(pattern: &str) -> String {
    pattern.chars().rev().collect()
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

/// More is before less, first of the service that gRPC names. The specification leaves the place of regular
/// expressions open: they stand between exact paths and prefixes, since behind the prefix `/` nothing would ever reach
/// them.
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
    use manifests::hosts::intersection;

    #[test]
    fn patterns_overlap_where_they_intersect() {
        let patterns = [
            "*",
            "*.com",
            "*.a.com",
            "a.com",
            "b.a.com",
            "*.b.a.com",
            "ba.com",
            "*.b.com",
            "com",
        ];
        for taken in patterns {
            let mut names = Names::default();
            names.add(taken);
            for pattern in patterns {
                let expected = intersection(taken, pattern).is_some();
                assert_eq!(names.overlaps(pattern), expected, "{taken} {pattern}");
            }
        }
    }

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
