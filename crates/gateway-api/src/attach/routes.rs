//! Routes: to which listeners they attach, and what their rules become.

use std::collections::BTreeSet;
use std::sync::Arc;

use manifests::Object;
use manifests::hosts::intersection;

use super::backends::Backends;
use super::gateways::GatewayState;
use super::mesh::Mesh;
use super::{Input, Problem};
use crate::attached::{Backend, Entry, HttpRule, ServiceTarget, StreamRule};
use crate::documents::reference::ParentRef;
use crate::documents::route::{Route, RouteKind};
use crate::status::ParentReference;
use crate::{GROUP, GROUP_EXPERIMENTAL, Name};

/// A route and what became of it.
pub(super) struct RouteState<'d> {
    pub(super) object: &'d Object<Route>,
    /// For each parent that is ours, why it is not accepted there.
    pub(super) parents: Vec<(ParentReference, Option<Problem>)>,
    pub(super) unresolved: Option<Problem>,
    /// A filter that is not served.
    pub(super) refused: Option<Problem>,
    /// Services it leads to.
    pub(super) services: Vec<ServiceTarget>,
    /// Gateways that have accepted it.
    pub(super) gateways: BTreeSet<Name>,
}

/// A route's rules, ready for a listener.
struct Rules {
    entries: Vec<Entry>,
    streams: Vec<StreamRule>,
}

/// Attaches every route, oldest first.
pub(super) fn attach<'d>(
    input: Input<'d>,
    gateways: &mut [GatewayState<'d>],
    mesh: &mut Mesh,
) -> Vec<RouteState<'d>> {
    let routes = input.documents.routes.iter();
    routes
        .map(|route| attach_one(input, route, gateways, mesh))
        .collect()
}

fn attach_one<'d>(
    input: Input<'d>,
    object: &'d Object<Route>,
    gateways: &mut [GatewayState<'d>],
    mesh: &mut Mesh,
) -> RouteState<'d> {
    let mut backends = Backends {
        input,
        meta: &object.meta,
        route: &object.spec,
        services: Vec::new(),
        problem: None,
    };
    let rules = rules(object, &mut backends);
    let mut state = RouteState {
        object,
        parents: Vec::new(),
        unresolved: backends.problem,
        refused: refused(object),
        services: backends.services,
        gateways: BTreeSet::new(),
    };
    for parent in &object.spec.parents {
        let reference = reference(parent, &object.meta.namespace);
        let outcome = if parent.object.is("", "Service") {
            Some(mesh.attach(input, object, parent, &reference, &rules.entries))
        } else {
            to_gateway(
                object,
                parent,
                &reference,
                &rules,
                gateways,
                &mut state.gateways,
                input,
            )
        };
        let Some(outcome) = outcome else {
            unknown_parent(input, object, parent, &reference);
            continue;
        };
        let problem = outcome.err();
        if let Some(problem) = &problem {
            input.warn(&object.meta, parent.object.place, problem);
        }
        state.parents.push((reference, problem));
    }
    state
}

fn reference(parent: &ParentRef, namespace: &str) -> ParentReference {
    ParentReference {
        group: parent.object.group.clone(),
        kind: parent.object.kind.clone(),
        namespace: parent.object.namespace_in(namespace).to_owned(),
        name: parent.object.name.clone(),
        section_name: parent.section.clone(),
        port: parent.port,
    }
}

/// Nothing here can say a status for it. A Gateway of another controller is no mistake.
fn unknown_parent(
    input: Input<'_>,
    object: &Object<Route>,
    parent: &ParentRef,
    reference: &ParentReference,
) {
    let (namespace, name) = (&reference.namespace, &reference.name);
    let is_there = input
        .documents
        .gateways
        .iter()
        .any(|gateway| (&gateway.meta.namespace, &gateway.meta.name) == (namespace, name));
    if is_there && parent.object.is(GROUP, "Gateway") {
        return;
    }
    let kind = &reference.kind;
    let message = format!("{kind} {namespace}/{name} is not there");
    let finding = manifests::decode::Finding::warning(message).code("IST0101");
    input.warn_with(&object.meta, parent.object.place, finding);
}

/// `None` when the parent is not ours.
fn to_gateway<'d>(
    object: &'d Object<Route>,
    parent: &ParentRef,
    reference: &ParentReference,
    rules: &Rules,
    gateways: &mut [GatewayState<'d>],
    attached_to: &mut BTreeSet<Name>,
    input: Input<'d>,
) -> Option<Result<(), Problem>> {
    let wanted = (reference.namespace.as_str(), reference.name.as_str());
    let object_ref = &parent.object;
    let of_set =
        object_ref.is(GROUP, "ListenerSet") || object_ref.is(GROUP_EXPERIMENTAL, "XListenerSet");
    let (gateway, set) = if of_set {
        gateways.iter_mut().find_map(|gateway| {
            let position = gateway.sets.iter().position(|set| {
                let meta = &set.object.meta;
                (meta.namespace.as_str(), meta.name.as_str()) == wanted
            })?;
            Some((gateway, Some(position)))
        })?
    } else if object_ref.is(GROUP, "Gateway") {
        let gateway = gateways.iter_mut().find(|gateway| {
            let meta = &gateway.object.meta;
            (meta.namespace.as_str(), meta.name.as_str()) == wanted
        })?;
        (gateway, None)
    } else {
        return None;
    };
    let outcome = to_listeners(object, parent, set, rules, gateway, input);
    if outcome.is_ok() {
        attached_to.insert(gateway.name());
    }
    Some(outcome)
}

fn to_listeners<'d>(
    object: &'d Object<Route>,
    parent: &ParentRef,
    set: Option<usize>,
    rules: &Rules,
    gateway: &mut GatewayState<'d>,
    input: Input<'d>,
) -> Result<(), Problem> {
    let route = &object.spec;
    let mut furthest = Problem::new(
        "NoMatchingParent",
        "no listener has this section name and port",
    );
    let mut rank = 0;
    let mut fail = |at: usize, problem: Problem| {
        if at >= rank {
            (rank, furthest) = (at, problem);
        }
    };
    let mut attached = false;
    for listener in &mut gateway.listeners {
        let spec = listener.spec;
        let section = parent.section.as_ref();
        let named = section.is_none_or(|section| *section == spec.name)
            && parent.port.is_none_or(|port| port == spec.port);
        if listener.set != set || !named {
            continue;
        }
        if listener.conflict.is_some() {
            let message = format!("listener `{}` is not served", spec.name);
            fail(0, Problem::new("NoMatchingParent", message));
            continue;
        }
        if !listener.kinds.contains(&route.kind) {
            let message = format!("listener `{}` takes no {}", spec.name, route.kind.name());
            fail(1, Problem::new("NotAllowedByListeners", message));
            continue;
        }
        if !listener.allows(input, &object.meta.namespace) {
            let message = format!(
                "listener `{}` takes no routes of namespace `{}`",
                spec.name, object.meta.namespace
            );
            fail(1, Problem::new("NotAllowedByListeners", message));
            continue;
        }
        let patterns = shared_names(route, listener.pattern());
        if patterns.is_empty() {
            let message = format!(
                "listener `{}` has host name `{}`, which none of the route's are within",
                spec.name,
                listener.pattern()
            );
            fail(2, Problem::new("NoMatchingListenerHostname", message));
            continue;
        }
        let other = listener.taken.iter().find(|(kind, taken)| {
            **kind != route.kind && patterns.iter().any(|pattern| taken.overlaps(pattern))
        });
        if let Some((kind, _)) = other {
            let message = format!(
                "listener `{}` already has a {} for one of these host names",
                spec.name,
                kind.name()
            );
            fail(3, Problem::new("HostnameConflict", message));
            continue;
        }
        attached = true;
        listener.attached += 1;
        for pattern in &patterns {
            listener.hosts.add(pattern, &rules.entries);
        }
        let of_tls = route.kind == RouteKind::Tls;
        listener
            .streams
            .extend(rules.streams.iter().map(|rule| StreamRule {
                hostnames: if of_tls { patterns.clone() } else { Vec::new() },
                ..rule.clone()
            }));
        if matches!(route.kind, RouteKind::Http | RouteKind::Grpc) {
            let taken = listener.taken.entry(route.kind).or_default();
            patterns.iter().for_each(|pattern| taken.add(pattern));
        }
    }
    if attached { Ok(()) } else { Err(furthest) }
}

/// Host patterns that a route and a listener share; what the listener has, where the route names none.
fn shared_names(route: &Route, listener: &str) -> Vec<String> {
    if route.hostnames.is_empty() {
        return vec![listener.to_owned()];
    }
    let mut shared: Vec<String> = Vec::new();
    for hostname in &route.hostnames {
        if let Some(pattern) = intersection(hostname, listener)
            && !shared.iter().any(|known| known == pattern)
        {
            shared.push(pattern.to_owned());
        }
    }
    shared
}

/// Rules whose filters can't be served.
fn refused(object: &Object<Route>) -> Option<Problem> {
    let rules = object.spec.rules.iter();
    let mut filters = rules.flat_map(|rule| {
        let backends = rule.backends.iter().map(|backend| &backend.filters);
        std::iter::once(&rule.filters).chain(backends)
    });
    let filter = filters.find_map(|filters| filters.refused.as_ref())?;
    let message =
        format!("Dropped Rule: {filter} is not served, its requests are answered with 500");
    Some(Problem::new("UnsupportedValue", message))
}

fn rules(object: &Object<Route>, backends: &mut Backends<'_>) -> Rules {
    let mut rules = Rules {
        entries: Vec::new(),
        streams: Vec::new(),
    };
    let route = Name::new(&object.meta.namespace, &object.meta.name);
    let context = object
        .meta
        .context(backends.input.files, backends.input.report);
    let with_http = matches!(object.spec.kind, RouteKind::Http | RouteKind::Grpc);
    for (index, rule) in object.spec.rules.iter().enumerate() {
        let filters = rule.filters.map(|backend| backends.resolve(backend));
        let targets: Vec<Backend> = rule
            .backends
            .iter()
            .map(|weighted| Backend {
                target: backends.resolve(&weighted.backend),
                weight: weighted.weight,
                filters: weighted.filters.map(|backend| backends.resolve(backend)),
            })
            .collect();
        let source = context.source(rule.place);
        if !with_http {
            rules.streams.push(StreamRule {
                route: route.clone(),
                index,
                name: rule.name.clone(),
                hostnames: Vec::new(),
                backends: targets,
                source,
            });
            continue;
        }
        let made = Arc::new(HttpRule {
            route: route.clone(),
            is_grpc: object.spec.kind == RouteKind::Grpc,
            index,
            name: rule.name.clone(),
            filters,
            backends: targets,
            timeouts: rule.timeouts,
            retry: rule.retry.clone(),
            source,
        });
        rules.entries.extend(rule.matches.iter().map(|when| Entry {
            when: when.clone(),
            rule: Arc::clone(&made),
        }));
    }
    rules
}
