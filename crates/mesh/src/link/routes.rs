//! The rules of a VirtualService as routes of one listener.

use std::sync::Arc;

use super::NOT_FOUND;
use super::clusters::{Clusters, Unresolved};
use crate::decode::{Context, Finding, Located, did_you_mean};
use crate::documents::Object;
use crate::documents::virtual_service::{Destination, MESH, Rule, RuleAction, VirtualService};
use crate::hosts::fully_qualified;
use crate::model::{Action, ClusterId, NoCluster, Route, WeightedDestination};
use crate::route::RequestMatch;

/// Where routes are for: some rules and match entries are only for some gateways or ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'s> {
    /// `mesh` or `namespace/name`.
    pub(super) gateway: &'s str,
    /// The listener's port; on the mesh listener the service's.
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

/// The name of a gateway as a document of `namespace` writes it, in full.
pub(super) fn gateway_name(written: &str, namespace: &str) -> String {
    match written.split_once('/') {
        Some((".", name)) => format!("{namespace}/{name}"),
        Some(_) => written.to_owned(),
        None if written == MESH => MESH.to_owned(),
        None => format!("{namespace}/{written}"),
    }
}

/// The routes that a VirtualService has in a scope.
pub(super) fn build(
    object: &Object<VirtualService>,
    scope: Scope<'_>,
    clusters: &mut Clusters<'_>,
) -> Vec<Arc<Route>> {
    let rules = object.spec.http.iter().enumerate();
    rules
        .filter_map(|(position, rule)| route(object, position, rule, scope, clusters).map(Arc::new))
        .collect()
}

fn route(
    object: &Object<VirtualService>,
    position: usize,
    rule: &Rule,
    scope: Scope<'_>,
    clusters: &mut Clusters<'_>,
) -> Option<Route> {
    let meta = &object.meta;
    let context = object.context(clusters.input.files, clusters.input.report);
    let matches: Vec<RequestMatch> = rule
        .matches
        .iter()
        .filter_map(|entry| {
            let at_gateway = entry.gateways.is_empty()
                || entry
                    .gateways
                    .iter()
                    .any(|gateway| gateway_name(gateway, &meta.namespace) == scope.gateway);
            let at_port = entry.port.is_none_or(|port| port == scope.port);
            (at_gateway && at_port && entry.can_match).then(|| entry.request.clone())
        })
        .collect();
    if matches.is_empty() && !rule.matches.is_empty() {
        return None;
    }
    let action = match &rule.action {
        RuleAction::Forward(destinations) => {
            let has_authority = rule
                .rewrite
                .as_ref()
                .is_some_and(|rewrite| rewrite.authority.is_some());
            Action::Forward(weighted(
                destinations,
                has_authority,
                &meta.namespace,
                scope,
                context,
                clusters,
            ))
        }
        RuleAction::Redirect(redirect) => Action::Redirect(redirect.on(scope.port, scope.is_tls)),
        RuleAction::DirectResponse(status, body) => Action::DirectResponse {
            status: *status,
            body: Arc::clone(body),
        },
        RuleAction::Delegate => return None,
    };
    Some(Route {
        name: rule
            .name
            .clone()
            .unwrap_or_else(|| format!("{}/{}#{position}", meta.namespace, meta.name)),
        matches,
        action,
        headers: rule.headers.clone(),
        timeout: rule.timeout,
        retries: rule.retries.clone(),
        rewrite: rule.rewrite.clone(),
        fault: None,
        mirrors: Vec::new(),
        cors: None,
        source: context.source(rule.place),
    })
}

/// Destinations that can be chosen: among several, those with weight 0 can't.
fn weighted(
    destinations: &[Destination],
    has_authority: bool,
    namespace: &str,
    scope: Scope<'_>,
    context: Context<'_>,
    clusters: &mut Clusters<'_>,
) -> Vec<WeightedDestination> {
    let alone = destinations.len() == 1;
    let build = |destination: &Destination| {
        let mut headers = destination.headers.clone();
        // The rule's own authority goes before the destination's, as in Istio.
        if let Some(authority) = destination.authority.clone().filter(|_| !has_authority) {
            headers.request.set.push(("host".to_owned(), authority));
        }
        let cluster = resolve(destination, namespace, scope, context, clusters);
        let cluster = cluster.map_err(NoCluster::unavailable);
        (alone || destination.weight > 0).then_some(WeightedDestination {
            weight: destination.weight,
            cluster,
            headers,
            filters: None,
        })
    };
    destinations.iter().filter_map(build).collect()
}

/// The cluster of a destination; what is missing is reported and becomes the error of requests that go there.
fn resolve(
    destination: &Destination,
    namespace: &str,
    scope: Scope<'_>,
    context: Context<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<ClusterId, String> {
    let Destination {
        host, subset, port, ..
    } = destination;
    let full = fully_qualified(host, namespace, &clusters.input.options.cluster_domain);
    let registry = clusters.registry;
    let Some(position) = registry.find(&full) else {
        return Err(host_not_found(&full, host, context, clusters));
    };
    let service = &registry.services[position];
    let number = port.unwrap_or(match service.ports.as_slice() {
        [only] => only.number,
        _ => scope.port,
    });
    let Some(port) = service
        .ports
        .iter()
        .find(|candidate| candidate.number == number)
    else {
        let message = format!("{full} has no port {number}");
        let ports: Vec<_> = service
            .ports
            .iter()
            .map(|port| port.number.to_string())
            .collect();
        let help = match ports.as_slice() {
            [] => "it has no ports at all".to_owned(),
            ports => format!("set `port.number` to one of {}", ports.join(", ")),
        };
        context.report(
            destination.place,
            Finding::warning(message.clone()).code(NOT_FOUND).help(help),
        );
        return Err(message);
    };
    let subset_name = subset.as_ref().map_or("", |subset| subset.value.as_str());
    match clusters.cluster(position, port, subset_name) {
        Ok(id) => return Ok(id),
        // The rule that asks for it has been warned about.
        Err(Unresolved::Unsafe(why)) => return Err(why),
        Err(Unresolved::NoSubset) => {}
    }
    let message = format!("no DestinationRule for {full} has subset `{subset_name}`");
    let near = did_you_mean(subset_name, clusters.subset_names(position));
    let place = subset
        .as_ref()
        .map_or(destination.place, |subset| subset.place);
    context.report(
        place,
        Finding::warning(message.clone())
            .code(NOT_FOUND)
            .maybe_help(near),
    );
    Err(message)
}

/// Above this many hosts none is looked for that might have been meant: with many misses it would take long.
const MAX_HOSTS_TO_COMPARE: usize = 500;

fn host_not_found(
    full: &str,
    host: &Located<String>,
    context: Context<'_>,
    clusters: &Clusters<'_>,
) -> String {
    let message = format!("no Service or ServiceEntry has host {full}");
    let completed = format!("{full}.svc.{}", clusters.input.options.cluster_domain);
    let registry = clusters.registry;
    let help = if registry.find(&completed).is_some() {
        Some(format!(
            "a name with a dot is taken as it is; write `{completed}`"
        ))
    } else if registry.services.len() <= MAX_HOSTS_TO_COMPARE {
        did_you_mean(full, registry.hosts())
    } else {
        None
    };
    let finding = Finding::warning(message.clone()).code(NOT_FOUND);
    context.report(host.place, finding.maybe_help(help));
    message
}

/// Routes of several VirtualServices for one host, one after the other, but what matches everything last, as Istio
/// merges them.
pub(super) fn merge(parts: Vec<Vec<Arc<Route>>>) -> Vec<Arc<Route>> {
    if parts.len() < 2 {
        return parts.into_iter().flatten().collect();
    }
    let (catch_all, mut routes): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .flatten()
        .partition(|route| route.is_catch_all());
    routes.extend(catch_all);
    routes
}

impl Route {
    fn is_catch_all(&self) -> bool {
        self.matches.is_empty() || self.matches.iter().any(RequestMatch::is_catch_all)
    }
}
