//! Which listener of a port a host name belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::gateway_api::Listener;

use super::super::clusters::Clusters;
use super::routes::Routes;
use crate::hosts::{HostTable, is_subset};
use crate::model::{Route, VirtualHost};

/// A listener's host name, or `*`.
pub(super) fn pattern(listener: &Listener) -> &str {
    listener.hostname.as_deref().unwrap_or("*")
}

/// Host patterns with their routes and the names of who has them.
#[derive(Default)]
pub(super) struct Patterns(BTreeMap<String, (Vec<String>, Vec<Arc<Route>>)>);

impl Patterns {
    /// What one listener serves. A request belongs to the listener with the most specific host name, so what lies
    /// within that of another listener is left to it; the listener's own name is there even without routes, so that
    /// no wider one answers for it.
    pub(super) fn of(
        listener: &Listener,
        others: &[&Listener],
        routes: &mut Routes<'_>,
        clusters: &mut Clusters<'_>,
    ) -> Self {
        let own = pattern(listener);
        let mut patterns = Self::default();
        patterns.0.entry(own.to_owned()).or_default();
        for host in &listener.hosts {
            let belongs_elsewhere = others.iter().any(|other| {
                let other = pattern(other);
                other != own && is_subset(other, own) && is_subset(&host.pattern, other)
            });
            if belongs_elsewhere {
                continue;
            }
            let made = routes.of(&host.entries, clusters);
            let entry = patterns.0.entry(host.pattern.clone()).or_default();
            for one in &host.entries {
                let name = one.rule.route.to_string();
                if !entry.0.contains(&name) {
                    entry.0.push(name);
                }
            }
            entry.1.extend(made);
        }
        patterns
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for (pattern, (names, routes)) in &other.0 {
            let mine = self.0.entry(pattern.clone()).or_default();
            mine.0.extend(names.iter().cloned());
            mine.1.extend(routes.iter().cloned());
        }
    }

    pub(super) fn table(self) -> HostTable {
        let mut table = HostTable::default();
        for (pattern, (names, routes)) in self.0 {
            let name = if names.is_empty() {
                pattern.clone()
            } else {
                names.join(",")
            };
            let id = table.push(VirtualHost { name, routes });
            table.name(&pattern, None, id);
        }
        table
    }
}
