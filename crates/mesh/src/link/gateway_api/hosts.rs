//! Which listener of a port a host name belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::gateway_api::Listener;

use super::super::clusters::Clusters;
use super::routes::Routes;
use crate::hosts::{HostTable, is_subset};
use crate::model::{Action, HeaderEdits, Route, VirtualHost};

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

    /// Names of other listeners of the port, which a connection with this one's certificate must not ask for.
    pub(super) fn misdirect(&mut self, own: &Listener, others: &[&Listener]) {
        for other in others {
            let name = pattern(other);
            if name == pattern(own)
                || self
                    .0
                    .get(name)
                    .is_some_and(|(_, routes)| !routes.is_empty())
            {
                continue;
            }
            let route = Route {
                name: "misdirected".to_owned(),
                matches: Vec::new(),
                action: Action::DirectResponse {
                    status: 421,
                    body: Arc::from(*b"this name has another certificate; connect anew\n"),
                },
                headers: HeaderEdits::default(),
                timeout: None,
                retries: super::routes::none(),
                rewrite: None,
                fault: None,
                mirrors: Vec::new(),
                cors: None,
                source: other.source.clone(),
            };
            let entry = self.0.entry(name.to_owned()).or_default();
            entry.1.push(Arc::new(route));
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
