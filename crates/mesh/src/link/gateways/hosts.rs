//! The host names of a gateway's servers with the routes they collect.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Input;
use super::super::clusters::Clusters;
use super::super::routes::{self, Scope};
use super::{names, shared_host};
use crate::documents::Object;
use crate::documents::gateway::{Gateway, Server};
use crate::documents::virtual_service::VirtualService;
use crate::hosts::HostTable;
use crate::model::{Action, HeaderEdits, RetryOn, RetryPolicy, Route, VirtualHost};
use crate::route::{Redirect, RequestMatch, StringMatch};

/// Host patterns with the routes they collect.
#[derive(Default)]
pub(super) struct Hosts {
    patterns: BTreeMap<String, HostRoutes>,
}

#[derive(Default, Clone)]
struct HostRoutes {
    /// Comes before everything else.
    redirect: Option<Arc<Route>>,
    /// One per VirtualService, with its name.
    parts: Vec<(String, Vec<Arc<Route>>)>,
}

impl Hosts {
    /// All hosts of a server with `httpsRedirect` send plain-text requests to `https`.
    pub(super) fn redirect(
        &mut self,
        server: &Server,
        gateway: &Object<Gateway>,
        input: Input<'_>,
    ) {
        let context = gateway.context(input.files, input.report);
        let redirect = Redirect {
            status: 301,
            scheme: Some("https".to_owned()),
            ..Redirect::default()
        };
        let plain_text = RequestMatch {
            scheme: Some(StringMatch::Exact("http".into())),
            ..RequestMatch::default()
        };
        let route = Arc::new(Route {
            name: format!(
                "{}/{}#httpsRedirect",
                gateway.meta.namespace, gateway.meta.name
            ),
            matches: vec![plain_text],
            action: Action::Redirect(redirect),
            headers: HeaderEdits::default(),
            timeout: None,
            retries: no_retries(),
            rewrite: None,
            fault: None,
            mirrors: Vec::new(),
            cors: None,
            source: context.source(server.place),
        });
        for host in &server.hosts {
            self.patterns.entry(host.host.clone()).or_default().redirect = Some(Arc::clone(&route));
        }
    }

    pub(super) fn add<'d>(
        &mut self,
        service: &'d Object<VirtualService>,
        gateway: &Object<Gateway>,
        server: &Server,
        scope: Scope<'_>,
        clusters: &mut Clusters<'d>,
    ) {
        let hosts = service.spec.hosts.iter();
        let names: Vec<_> = hosts
            .flat_map(|host| names(host, service, clusters.input))
            .collect();
        let shared: Vec<(&str, &str)> = names
            .iter()
            .flat_map(|name| server.hosts.iter().map(move |host| (name, host)))
            .filter_map(|(name, host)| {
                let pattern = shared_host(host, name, gateway, service)?;
                Some((pattern, host.host.as_str()))
            })
            .collect();
        // Most servers of a gateway with many have none of a VirtualService's hosts.
        if shared.is_empty() {
            return;
        }
        let routes = routes::build(service, scope, clusters);
        if routes.is_empty() {
            return;
        }
        let name = format!("{}/{}", service.meta.namespace, service.meta.name);
        for (pattern, server_host) in shared {
            let of_server = self
                .patterns
                .get(server_host)
                .and_then(|routes| routes.redirect.clone());
            let entry = self.patterns.entry(pattern.to_owned()).or_default();
            entry.redirect = entry.redirect.take().or(of_server);
            if !entry.parts.iter().any(|(taken, _)| *taken == name) {
                entry.parts.push((name.clone(), routes.clone()));
            }
        }
    }

    /// Takes in another server's hosts.
    pub(super) fn extend(&mut self, other: &Self) {
        for (pattern, routes) in &other.patterns {
            let mine = self.patterns.entry(pattern.clone()).or_default();
            mine.redirect = mine.redirect.take().or_else(|| routes.redirect.clone());
            for (name, part) in &routes.parts {
                if !mine.parts.iter().any(|(taken, _)| taken == name) {
                    mine.parts.push((name.clone(), part.clone()));
                }
            }
        }
    }

    pub(super) fn table(self) -> HostTable {
        let mut table = HostTable::default();
        for (pattern, HostRoutes { redirect, parts }) in self.patterns {
            let (names, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            let name = if names.is_empty() {
                pattern.clone()
            } else {
                names.join(",")
            };
            let routes = redirect.into_iter().chain(routes::merge(parts)).collect();
            let id = table.push(VirtualHost {
                name,
                routes,
                ..VirtualHost::default()
            });
            table.name(&pattern, None, id);
        }
        table
    }
}

fn no_retries() -> RetryPolicy {
    let backoff = std::time::Duration::ZERO;
    RetryPolicy {
        attempts: 0,
        per_try_timeout: None,
        on: RetryOn::default(),
        statuses: Vec::new(),
        backoff,
        prefer_other_localities: false,
        prefer_other_endpoints: true,
    }
}
