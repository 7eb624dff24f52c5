//! What became of each object, as conditions.

use super::gateways::{GatewayState, SetState};
use super::listeners::ListenerState;
use super::policies::{Policies, PolicyState};
use super::routes::RouteState;
use super::{Input, Problem};
use crate::FEATURES;
use crate::documents::gateway_class::GatewayClass;
use crate::status::{
    Address, AncestorStatus, Condition, ListenerStatus, ParentReference, RouteGroupKind,
    RouteParentStatus, Status, StatusOf,
};
use crate::{GROUP, GROUP_EXPERIMENTAL};
use manifests::{Metadata, Object};

/// Of every object that is ours, by kind and name.
pub(super) fn all(
    input: Input<'_>,
    gateways: &[GatewayState<'_>],
    routes: Vec<RouteState<'_>>,
    policies: &Policies<'_>,
) -> Vec<Status> {
    let classes = input.documents.classes.iter();
    let ours = classes.filter(|class| class.spec.controller == input.controller);
    let mut statuses: Vec<Status> = ours.map(class).collect();
    for state in gateways {
        statuses.push(gateway(state));
        let sets = state.sets.iter().enumerate();
        statuses.extend(sets.map(|(position, set)| listener_set(state, position, set)));
    }
    statuses.extend(routes.into_iter().map(|state| route(input, state)));
    let policies = policies.states.iter();
    statuses.extend(policies.map(|state| policy(input, state)));
    statuses
        .sort_by(|a, b| (&a.kind, &a.namespace, &a.name).cmp(&(&b.kind, &b.namespace, &b.name)));
    statuses
}

fn status(kind: &str, meta: &Metadata, status: StatusOf) -> Status {
    let api_version = match kind {
        "XListenerSet" => format!("{GROUP_EXPERIMENTAL}/v1alpha1"),
        _ => format!("{GROUP}/v1"),
    };
    Status {
        api_version,
        kind: kind.to_owned(),
        namespace: (kind != "GatewayClass").then(|| meta.namespace.clone()),
        name: meta.name.clone(),
        status,
    }
}

/// A condition that holds unless there is a problem.
fn unless(
    kind: &'static str,
    problem: Option<&Problem>,
    reason: &'static str,
    generation: Option<i64>,
) -> Condition {
    match problem {
        None => Condition::new(kind, true, reason, "", generation),
        Some(problem) => Condition::new(kind, false, problem.reason, &problem.message, generation),
    }
}

fn class(object: &Object<GatewayClass>) -> Status {
    let generation = object.meta.generation;
    let problem = object
        .spec
        .has_parameters
        .then(|| Problem::new("InvalidParameters", "no kind of parameters is known here"));
    let of = StatusOf::GatewayClass {
        conditions: vec![unless("Accepted", problem.as_ref(), "Accepted", generation)],
        supported_features: FEATURES
            .iter()
            .map(|name| crate::status::Feature { name })
            .collect(),
    };
    status("GatewayClass", &object.meta, of)
}

fn gateway(state: &GatewayState<'_>) -> Status {
    let meta = &state.object.meta;
    let generation = meta.generation;
    let own = || state.listeners.iter().filter(|one| one.set.is_none());
    let invalid = own().filter(|listener| !listener.is_accepted()).count();
    let problem = Problem::new(
        "ListenersNotValid",
        format!("{invalid} listeners are not valid"),
    );
    let accepted = match &state.refused {
        Some(refused) => unless("Accepted", Some(refused), "", generation),
        None if invalid == 0 => unless("Accepted", None, "Accepted", generation),
        None if invalid < own().count() => Condition::new(
            "Accepted",
            true,
            problem.reason,
            problem.message,
            generation,
        ),
        None => unless("Accepted", Some(&problem), "", generation),
    };
    let any = state.listeners.iter().any(ListenerState::is_programmed);
    let nothing = Problem::new("Invalid", "there is no listener that can be served");
    let refused = state.refused.is_some();
    let refused = refused.then(|| Problem::new("Invalid", "the Gateway is not accepted"));
    let not_programmed = state.unusable_address.clone().or(refused);
    let not_programmed = not_programmed.or((!any).then_some(nothing));
    let mut conditions = vec![
        accepted,
        unless(
            "Programmed",
            not_programmed.as_ref(),
            "Programmed",
            generation,
        ),
        unless(
            "ResolvedRefs",
            state.unresolved.as_ref(),
            "ResolvedRefs",
            generation,
        ),
    ];
    if state.insecure_fallback {
        let message = "clients are let in whose certificate is missing or not valid";
        conditions.push(Condition::new(
            "InsecureFrontendValidationMode",
            true,
            "ConfigurationChanged",
            message,
            generation,
        ));
    }
    let addresses = state.addresses.iter().map(|address| Address {
        kind: "IPAddress".to_owned(),
        value: address.to_string(),
    });
    let attached = (0..state.sets.len())
        .filter(|set| serves(state, *set))
        .count();
    let of = StatusOf::Gateway {
        addresses: addresses.collect(),
        conditions,
        listeners: own()
            .map(|one| listener(one, state.can_be_served(), generation))
            .collect(),
        attached_listener_sets: attached,
    };
    status("Gateway", meta, of)
}

/// Whether any listener of a ListenerSet is served.
fn serves(state: &GatewayState<'_>, set: usize) -> bool {
    let mut listeners = state.listeners.iter().filter(|one| one.set == Some(set));
    listeners.any(ListenerState::is_programmed)
}

fn listener_set(gateway: &GatewayState<'_>, position: usize, set: &SetState<'_>) -> Status {
    let meta = &set.object.meta;
    let generation = meta.generation;
    let of_set = || {
        gateway
            .listeners
            .iter()
            .filter(|one| one.set == Some(position))
    };
    let problem = match &set.refused {
        Some(problem) => Some(problem.clone()),
        None => (!serves(gateway, position)).then(|| {
            Problem::new(
                "ListenersNotValid",
                "there is no listener that can be served",
            )
        }),
    };
    let all_valid = of_set().all(ListenerState::is_programmed);
    let accepted = match &problem {
        None if !all_valid => {
            let message = "some listeners are not valid";
            Condition::new("Accepted", true, "ListenersNotValid", message, generation)
        }
        problem => unless("Accepted", problem.as_ref(), "Accepted", generation),
    };
    let conditions = vec![
        accepted,
        unless("Programmed", problem.as_ref(), "Programmed", generation),
    ];
    let listeners = of_set()
        .map(|one| listener(one, gateway.can_be_served(), generation))
        .collect();
    let of = StatusOf::ListenerSet {
        conditions,
        listeners,
    };
    let kind = match set.object.spec.is_experimental {
        true => "XListenerSet",
        false => "ListenerSet",
    };
    status(kind, meta, of)
}

/// `gateway` says whether the Gateway can be served at all.
fn listener(state: &ListenerState<'_>, gateway: bool, generation: Option<i64>) -> ListenerStatus {
    let kind = |kind: &crate::documents::route::RouteKind| RouteGroupKind {
        group: GROUP,
        kind: kind.name(),
    };
    let refused = state.conflict.as_ref().or(state.refused.as_ref());
    let invalid = Problem::new("Invalid", "the listener can't be served");
    let not_programmed = match &state.conflict {
        Some(conflict) => Some(conflict),
        None if state.unavailable.is_some() => state.unavailable.as_ref(),
        None => (!state.is_programmed() || !gateway).then_some(&invalid),
    };
    let conflicted = match &state.conflict {
        Some(conflict) => Condition::new(
            "Conflicted",
            true,
            conflict.reason,
            &conflict.message,
            generation,
        ),
        None => Condition::new("Conflicted", false, "NoConflicts", "", generation),
    };
    ListenerStatus {
        name: state.spec.name.clone(),
        supported_kinds: state.kinds.iter().map(kind).collect(),
        attached_routes: state.attached,
        conditions: vec![
            unless("Accepted", refused, "Accepted", generation),
            unless("Programmed", not_programmed, "Programmed", generation),
            unless(
                "ResolvedRefs",
                state.unresolved.as_ref(),
                "ResolvedRefs",
                generation,
            ),
            conflicted,
        ],
    }
}

fn route(input: Input<'_>, state: RouteState<'_>) -> Status {
    let meta = &state.object.meta;
    let generation = meta.generation;
    let parents = state.parents.into_iter().map(|(parent_ref, problem)| {
        let mut conditions = vec![
            unless("Accepted", problem.as_ref(), "Accepted", generation),
            unless(
                "ResolvedRefs",
                state.unresolved.as_ref(),
                "ResolvedRefs",
                generation,
            ),
        ];
        if let Some(refused) = &state.refused {
            conditions.push(Condition::new(
                "PartiallyInvalid",
                true,
                refused.reason,
                &refused.message,
                generation,
            ));
        }
        RouteParentStatus {
            parent_ref,
            controller_name: input.controller.to_owned(),
            conditions,
        }
    });
    let parents = parents.collect();
    status(
        state.object.spec.kind.name(),
        meta,
        StatusOf::Route { parents },
    )
}

fn policy(input: Input<'_>, state: &PolicyState<'_>) -> Status {
    let meta = &state.object.meta;
    let generation = meta.generation;
    let ancestors = state.ancestors.iter().map(|gateway| AncestorStatus {
        ancestor_ref: ParentReference {
            group: GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            namespace: gateway.namespace.clone(),
            name: gateway.name.clone(),
            section_name: None,
            port: None,
        },
        controller_name: input.controller.to_owned(),
        conditions: vec![
            unless("Accepted", state.refused.as_ref(), "Accepted", generation),
            unless(
                "ResolvedRefs",
                state.unresolved.as_ref(),
                "ResolvedRefs",
                generation,
            ),
        ],
    });
    let ancestors = ancestors.collect();
    status("BackendTLSPolicy", meta, StatusOf::Policy { ancestors })
}
