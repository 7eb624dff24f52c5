//! Which listener of a port a host name belongs to.

use std::collections::{BTreeMap, BTreeSet};
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

/// Host patterns with what each has.
#[derive(Default)]
pub(super) struct Patterns(BTreeMap<String, Own>);

#[derive(Clone, Default)]
struct Own {
    /// Of the routes' documents.
    names: BTreeSet<String>,
    routes: Vec<Arc<Route>>,
    /// Of wider patterns, each list shared by all that have it.
    wider: Vec<Arc<[Arc<Route>]>>,
}

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
        let made: BTreeMap<&str, Arc<[Arc<Route>]>> = listener
            .hosts
            .iter()
            .map(|host| {
                let made = routes.of(&host.entries, clusters);
                (host.pattern.as_str(), made.into())
            })
            .collect();
        for host in &listener.hosts {
            let belongs_elsewhere = others.iter().any(|other| {
                let other = pattern(other);
                other != own && is_subset(other, own) && is_subset(&host.pattern, other)
            });
            if belongs_elsewhere {
                continue;
            }
            let mine = patterns.0.entry(host.pattern.clone()).or_default();
            let names = host.entries.iter().map(|one| one.rule.route.to_string());
            mine.names.extend(names);
            let of = |pattern: &str| made.get(pattern).into_iter();
            let own = of(&host.pattern).flat_map(|routes| routes.iter());
            mine.routes.extend(own.cloned());
            let wider = host.wider.iter().flat_map(|pattern| of(pattern));
            mine.wider.extend(wider.cloned());
        }
        patterns
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for (pattern, other) in &other.0 {
            let mine = self.0.entry(pattern.clone()).or_default();
            mine.names.extend(other.names.iter().cloned());
            mine.routes.extend(other.routes.iter().cloned());
            mine.wider.extend(other.wider.iter().cloned());
        }
    }

    pub(super) fn table(self) -> HostTable {
        let mut table = HostTable::default();
        for (pattern, own) in self.0 {
            let names: Vec<String> = own.names.into_iter().collect();
            let name = if names.is_empty() {
                pattern.clone()
            } else {
                names.join(",")
            };
            let id = table.push(VirtualHost {
                name,
                routes: own.routes,
                wider: own.wider,
            });
            table.name(&pattern, None, id);
        }
        table
    }
}
