//! The rules of a VirtualService as routes of one listener.

use std::sync::Arc;

use super::clusters::{Clusters, Unresolved};
use super::delegates::{self, Effective};
use super::view::is_exported;
use super::{Input, NOT_FOUND};
use crate::decode::{Context, Finding, Located, did_you_mean};
use crate::documents::Object;
use crate::documents::virtual_service::{
    Destination, MESH, MatchEntry, Rule, RuleAction, Target, VirtualService,
};
use crate::documents::workload::selects;
use crate::hosts::fully_qualified;
use crate::model::{
    Action, ClusterId, DestinationName, Fault, Fraction, HeaderEdits, Mirror, NoCluster, Route,
    WeightedDestination,
};
use crate::route::RequestMatch;

/// Where routes are for: some rules and match entries are only for some gateways or ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'s> {
    /// `mesh` or `namespace/name`.
    pub(super) gateway: &'s str,
    /// The listener's port; on the mesh listener the service's.
    pub(super) port: u16,
    pub(super) is_tls: bool,
    /// The namespace that clients are taken to be in.
    pub(super) client: &'s str,
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
pub(super) fn build<'d>(
    object: &'d Object<VirtualService>,
    scope: Scope<'_>,
    clusters: &mut Clusters<'d>,
) -> Vec<Arc<Route>> {
    let rules = delegates::rules(object, clusters.input);
    rules
        .filter_map(|rule| route(&rule, scope, clusters).map(Arc::new))
        .collect()
}

fn route(rule: &Effective<'_>, scope: Scope<'_>, clusters: &mut Clusters<'_>) -> Option<Route> {
    let meta = &rule.object.meta;
    let context = rule
        .object
        .context(clusters.input.files, clusters.input.report);
    let entries = rule.matches.iter();
    let matches: Vec<RequestMatch> = entries
        .filter(|entry| holds(entry, scope, rule.object, clusters.input))
        .map(|entry| entry.request.clone())
        .collect();
    if matches.is_empty() && !rule.matches.is_empty() {
        return None;
    }
    let headers = rule.part(|rule| rule.headers.as_ref());
    let mut rewrite = rule.part(|rule| rule.rewrite.as_ref()).cloned();
    if let Some(authority) = headers.and_then(|headers| headers.authority.as_ref()) {
        let rewrite = rewrite.get_or_insert_default();
        rewrite.authority.get_or_insert_with(|| authority.clone());
    }
    let action = match &rule.rule.action {
        RuleAction::Forward(destinations) => {
            let has_authority = rewrite
                .as_ref()
                .is_some_and(|rewrite| rewrite.authority.is_some());
            let namespace = &meta.namespace;
            let build = weighted(
                destinations,
                has_authority,
                namespace,
                scope,
                context,
                clusters,
            );
            Action::Forward(build)
        }
        RuleAction::Redirect(redirect) => Action::Redirect(redirect.on(scope.port, scope.is_tls)),
        RuleAction::DirectResponse(status, body) => Action::DirectResponse {
            status: *status,
            body: Arc::clone(body),
        },
        // Replaced by the rules it leads to, none of which can be one of these.
        RuleAction::Delegate(_) => return None,
    };
    let timeout = rule.part(|rule| rule.timeout.as_ref()).copied();
    let fault = rule.part(|rule| rule.fault.as_ref());
    Some(Route {
        name: name(rule),
        matches,
        action,
        headers: headers.map_or_else(HeaderEdits::default, |headers| headers.edits.clone()),
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
        retries: rule
            .part(|rule| rule.retries.as_ref())
            .cloned()
            .unwrap_or_else(|| clusters.input.documents.mesh_config.retries.clone()),
        rewrite,
        fault: fault.and_then(in_force).map(Box::new),
        mirrors: mirrors(rule, scope, clusters),
        cors: rule.part(|rule| rule.cors.as_ref()).cloned(),
        source: context.source(rule.rule.place),
    })
}

/// A fault without the parts that take no request.
fn in_force(fault: &Fault) -> Option<Fault> {
    let fault = Fault {
        delay: fault.delay.filter(|(share, _)| *share != Fraction::NONE),
        abort: fault.abort.filter(|(share, _)| *share != Fraction::NONE),
    };
    (fault.delay.is_some() || fault.abort.is_some()).then_some(fault)
}

/// A delegate's name comes after its root's.
fn name(rule: &Effective<'_>) -> String {
    let meta = &rule.object.meta;
    let root = rule.root.and_then(|(_, root)| root.name.as_ref());
    match (root, &rule.rule.name) {
        (Some(root), Some(own)) => format!("{root}-{own}"),
        (Some(name), None) | (None, Some(name)) => name.clone(),
        (None, None) => format!("{}/{}#{}", meta.namespace, meta.name, rule.position),
    }
}

/// Whether a match entry is for a scope, and for this dispatcher's clients.
fn holds(
    entry: &MatchEntry,
    scope: Scope<'_>,
    object: &Object<VirtualService>,
    input: Input<'_>,
) -> bool {
    let namespace = &object.meta.namespace;
    let mut gateways = entry.gateways.iter();
    let at_port = entry.port.is_none_or(|port| port == scope.port);
    if !entry.gateways.is_empty() {
        let here = gateways.any(|gateway| gateway_name(gateway, namespace) == scope.gateway);
        return here && at_port && entry.can_match;
    }
    let options = input.options;
    let from_here = match &options.labels {
        Some(labels) => selects(&entry.source_labels, labels),
        None if entry.source_labels.is_empty() => true,
        None => {
            let message = "`sourceLabels` can't be tested, as this dispatcher knows no labels of \
                           its own: the match entry never matches";
            let finding = Finding::warning(message).help("give it its labels with `--labels`");
            let context = object.context(input.files, input.report);
            context.report(entry.place, finding);
            false
        }
    };
    let namespace = entry.source_namespace.as_deref();
    let from_here = from_here && namespace.is_none_or(|name| name == options.own_namespace());
    from_here && at_port && entry.can_match
}

/// Mirrors with all that is missing said, but without those that take no request.
fn mirrors(rule: &Effective<'_>, scope: Scope<'_>, clusters: &mut Clusters<'_>) -> Vec<Mirror> {
    let of = |of: &dyn Fn(&Rule) -> bool| {
        let own = (rule.object, rule.rule);
        if of(own.1) {
            Some(own)
        } else {
            rule.root.filter(|(_, root)| of(root))
        }
    };
    let mut targets: Vec<(_, &Target, Fraction)> = Vec::new();
    if let Some((object, from)) = of(&|rule| rule.mirrors.one.is_some()) {
        let share = rule.part(|rule| rule.mirrors.share.as_ref()).copied();
        let share = share.unwrap_or(Fraction::ALL);
        targets.extend(
            from.mirrors
                .one
                .iter()
                .map(|target| (object, target, share)),
        );
    }
    if let Some((object, from)) = of(&|rule| !rule.mirrors.several.is_empty()) {
        let several = from.mirrors.several.iter();
        targets.extend(several.map(|(target, share)| (object, target, *share)));
    }
    let build = |(object, target, share): (&Object<VirtualService>, &Target, Fraction)| {
        let input = clusters.input;
        let context = object.context(input.files, input.report);
        let cluster = resolve(target, &object.meta.namespace, scope, context, clusters);
        let cluster = cluster.map_err(|reason| {
            let name = wanted(target, &object.meta.namespace, clusters);
            NoCluster::unavailable(reason).wanting(name)
        });
        (share != Fraction::NONE).then_some(Mirror { cluster, share })
    };
    targets.into_iter().filter_map(build).collect()
}

/// Destinations that can be chosen: among several, those with weight 0 can't.
pub(super) fn weighted(
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
        let cluster = resolve(&destination.target, namespace, scope, context, clusters);
        let cluster = cluster.map_err(|reason| {
            let name = wanted(&destination.target, namespace, clusters);
            NoCluster::unavailable(reason).wanting(name)
        });
        (alone || destination.weight > 0).then_some(WeightedDestination {
            weight: destination.weight,
            cluster,
            headers,
            filters: None,
        })
    };
    destinations.iter().filter_map(build).collect()
}

fn wanted(target: &Target, namespace: &str, clusters: &Clusters<'_>) -> DestinationName {
    let domain = &clusters.input.options.cluster_domain;
    let subset = target.subset.as_ref();
    DestinationName {
        host: fully_qualified(&target.host, namespace, domain),
        port: target.port,
        subset: subset.map_or_else(String::new, |subset| subset.value.clone()),
    }
}

/// The cluster of a target; what is missing is reported and becomes the error of requests that go there.
fn resolve(
    target: &Target,
    namespace: &str,
    scope: Scope<'_>,
    context: Context<'_>,
    clusters: &mut Clusters<'_>,
) -> Result<ClusterId, String> {
    let Target {
        host, subset, port, ..
    } = target;
    let full = fully_qualified(host, namespace, &clusters.input.options.cluster_domain);
    let registry = clusters.registry;
    let Some(position) = registry.find(&full) else {
        return Err(host_not_found(&full, host, context, clusters));
    };
    let service = &registry.services[position];
    if !is_exported(service, scope.client, clusters.input) {
        let message = format!("{full} is not exported to namespace {}", scope.client);
        let finding = Finding::warning(message.clone()).code(NOT_FOUND);
        let help = format!("add `{}` to the service's `exportTo`", scope.client);
        context.report(host.place, finding.help(help));
        return Err(message);
    }
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
        // Istio tells a port that had to be named from one that is named and missing.
        let code = match (target.port, service.ports.len()) {
            (None, 2..) => "IST0112",
            _ => NOT_FOUND,
        };
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
            target.place,
            Finding::warning(message.clone()).code(code).help(help),
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
    let place = subset.as_ref().map_or(target.place, |subset| subset.place);
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
