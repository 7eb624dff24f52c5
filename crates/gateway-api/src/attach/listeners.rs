//! Listeners: what they speak, which routes they take, and which of them are in each other's way.

use std::collections::{BTreeMap, BTreeSet};

use manifests::Metadata;

use super::gateways::GatewayState;
use super::precedence::{Hosts, Names};
use super::tls::{self, Referrer};
use super::{Input, Problem};
use crate::GROUP;
use crate::attached::{ClientValidation, Protocol, StreamRule, Termination};
use crate::documents::gateway::{Listener, Namespaces};
use crate::documents::route::RouteKind;

/// A listener and what is found out about it.
pub(super) struct ListenerState<'d> {
    pub(super) spec: &'d Listener,
    /// Position of the ListenerSet it comes from; `None` is the Gateway itself.
    pub(super) set: Option<usize>,
    pub(super) owner: &'d Metadata,
    /// Kinds of routes that may attach.
    pub(super) kinds: Vec<RouteKind>,
    pub(super) refused: Option<Problem>,
    pub(super) conflict: Option<Problem>,
    /// Why another Gateway's listener has its place.
    pub(super) unavailable: Option<Problem>,
    pub(super) unresolved: Option<Problem>,
    /// `None` where it can't be served.
    pub(super) protocol: Option<Protocol>,
    pub(super) attached: usize,
    pub(super) hosts: Hosts,
    pub(super) streams: Vec<StreamRule>,
    /// HTTP's and gRPC's routes that have attached, with their host patterns: one name belongs to one of the kinds.
    pub(super) taken: BTreeMap<RouteKind, Names>,
}

impl ListenerState<'_> {
    pub(super) fn is_accepted(&self) -> bool {
        self.refused.is_none() && self.conflict.is_none()
    }

    pub(super) fn is_programmed(&self) -> bool {
        self.is_accepted() && self.protocol.is_some() && self.unavailable.is_none()
    }

    /// Whether no listener of a wider name may answer for this one, though it is not served.
    pub(super) fn keeps_its_name(&self) -> bool {
        let is_tls = matches!(self.spec.protocol.as_str(), "HTTPS" | "TLS");
        is_tls && self.conflict.is_none() && self.unavailable.is_none()
    }

    /// `*` for none.
    pub(super) fn pattern(&self) -> &str {
        self.spec.hostname.as_deref().unwrap_or("*")
    }

    /// Whether routes of a namespace may attach.
    pub(super) fn allows(&self, input: Input<'_>, namespace: &str) -> bool {
        match &self.spec.allowed.namespaces {
            Namespaces::All => true,
            Namespaces::Same => namespace == self.owner.namespace,
            Namespaces::Selected(selector) => selector.matches(&input.world.labels(namespace)),
        }
    }
}

/// All listeners of a Gateway, in order of precedence.
pub(super) fn of<'d>(input: Input<'d>, gateway: &GatewayState<'d>) -> Vec<ListenerState<'d>> {
    let own = gateway.object.spec.listeners.iter();
    let own = own.map(|spec| (None, &gateway.object.meta, "Gateway", spec));
    let sets = gateway.sets.iter().enumerate();
    let of_sets = sets
        .filter(|(_, set)| set.refused.is_none())
        .flat_map(|(position, set)| {
            let listeners = set.object.spec.listeners.iter();
            listeners.map(move |spec| (Some(position), &set.object.meta, "ListenerSet", spec))
        });
    let mut states: Vec<_> = own
        .chain(of_sets)
        .map(|(set, meta, kind, spec)| {
            let referrer = Referrer { meta, kind };
            state(input, gateway, referrer, set, spec)
        })
        .collect();
    find_conflicts(input, &mut states);
    states
}

fn state<'d>(
    input: Input<'d>,
    gateway: &GatewayState<'d>,
    owner: Referrer<'d>,
    set: Option<usize>,
    spec: &'d Listener,
) -> ListenerState<'d> {
    let mut state = ListenerState {
        spec,
        set,
        owner: owner.meta,
        kinds: Vec::new(),
        refused: None,
        conflict: None,
        unavailable: None,
        unresolved: None,
        protocol: None,
        attached: 0,
        hosts: Hosts::default(),
        streams: Vec::new(),
        taken: BTreeMap::new(),
    };
    let passthrough = spec.tls.as_ref().is_some_and(|tls| tls.passthrough);
    let kinds: &[RouteKind] = match (spec.protocol.as_str(), passthrough) {
        ("HTTP" | "HTTPS", _) => &[RouteKind::Http, RouteKind::Grpc],
        ("TLS", true) => &[RouteKind::Tls],
        ("TLS", false) => &[RouteKind::Tls, RouteKind::Tcp],
        ("TCP", _) => &[RouteKind::Tcp],
        (protocol, _) => {
            let message =
                format!("is not served: protocol `{protocol}` is none of HTTP, HTTPS, TLS and TCP");
            let problem = Problem::new("UnsupportedProtocol", message);
            input.warn(owner.meta, spec.place, &problem);
            state.refused = Some(problem);
            return state;
        }
    };
    state.kinds = allowed_kinds(input, &mut state, kinds);
    state.protocol = match (spec.protocol.as_str(), passthrough) {
        ("HTTP", _) => Some(Protocol::Http),
        ("TCP", _) => Some(Protocol::Tcp),
        ("TLS", true) => Some(Protocol::TlsPassthrough),
        ("TLS", false) => {
            termination(input, gateway, owner, &mut state).map(Protocol::TlsTerminate)
        }
        _ => termination(input, gateway, owner, &mut state).map(Protocol::Https),
    };
    if state.kinds.is_empty() {
        state.protocol = None;
    }
    state
}

/// Those of the protocol's kinds that the listener allows. Others that it names are said to be wrong.
fn allowed_kinds(
    input: Input<'_>,
    state: &mut ListenerState<'_>,
    kinds: &[RouteKind],
) -> Vec<RouteKind> {
    let spec = state.spec;
    if spec.allowed.kinds.is_empty() {
        return kinds.to_vec();
    }
    let mut allowed = Vec::new();
    for (group, name) in &spec.allowed.kinds {
        let kind = kinds
            .iter()
            .find(|kind| group == GROUP && kind.name() == name);
        match kind {
            Some(kind) if allowed.contains(kind) => {}
            Some(kind) => allowed.push(*kind),
            None => {
                let message = format!(
                    "listener `{}` has protocol {}, which takes no routes of kind `{name}`",
                    spec.name, spec.protocol
                );
                let problem = Problem::new("InvalidRouteKinds", message);
                input.warn(state.owner, spec.place, &problem);
                state.unresolved = Some(problem);
            }
        }
    }
    allowed
}

/// Certificates, and what is asked of clients; `None` when no certificate or no CA is left.
fn termination(
    input: Input<'_>,
    gateway: &GatewayState<'_>,
    owner: Referrer<'_>,
    state: &mut ListenerState<'_>,
) -> Option<Termination> {
    let spec = state.spec;
    let settings = spec.tls.as_ref()?;
    let mut certificates = Vec::new();
    for reference in &settings.certificates {
        match tls::certificate(input, owner, reference) {
            Ok(name) => certificates.push(name),
            Err(problem) => state.unresolved = Some(problem),
        }
    }
    let gateway = gateway.object;
    // What the Gateway's `tls.frontend` says is the Gateway's reference, whoever adds the listener.
    let of_gateway = Referrer {
        meta: &gateway.meta,
        kind: "Gateway",
    };
    let validation = match &settings.validation {
        Some(validation) => Some((validation, owner)),
        None => gateway
            .spec
            .frontend
            .of_port(spec.port)
            .map(|validation| (validation, of_gateway)),
    };
    let mut client_validation = None;
    if let Some((validation, referrer)) = validation {
        let mut ca = Vec::new();
        for reference in &validation.ca {
            match tls::ca(input, referrer, reference) {
                Ok(reference) => ca.push(reference),
                Err(problem) => state.unresolved = Some(problem),
            }
        }
        if ca.is_empty() {
            let message = format!(
                "listener `{}` is not served: none of the CA references for clients can be used",
                spec.name
            );
            state.refused = Some(Problem::new("NoValidCACertificate", message));
            return None;
        }
        let mode = validation.mode;
        client_validation = Some(ClientValidation { ca, mode });
    }
    (!certificates.is_empty()).then_some(Termination {
        certificates,
        client_validation,
    })
}

/// What can share a port: HTTPS and TLS are told apart by server name.
pub(super) fn transport(listener: &Listener) -> &str {
    match listener.protocol.as_str() {
        "HTTPS" | "TLS" => "TLS",
        other => other,
    }
}

/// Listeners on one port that can't be told apart. Those of the Gateway have precedence over those of ListenerSets,
/// and these by age; among those of one object none has, and both are refused.
fn find_conflicts(input: Input<'_>, states: &mut [ListenerState<'_>]) {
    let owners: BTreeSet<Option<usize>> = states.iter().map(|state| state.set).collect();
    for owner in owners {
        let own: Vec<usize> = (0..states.len())
            .filter(|&position| states[position].set == owner)
            .collect();
        for &later in &own {
            let before = states[..later].iter();
            let mut before = before.filter(|other| other.set < owner && other.is_accepted());
            let conflict = before.find_map(|other| conflict(&states[later], other));
            refuse(input, &mut states[later], conflict);
        }
        // Those that others have precedence over are in nobody's way.
        let left: Vec<usize> = own
            .into_iter()
            .filter(|&position| states[position].is_accepted())
            .collect();
        for &position in &left {
            let mut others = left.iter().filter(|other| **other != position);
            let conflict = others.find_map(|&other| conflict(&states[position], &states[other]));
            refuse(input, &mut states[position], conflict);
        }
    }
}

fn refuse(input: Input<'_>, state: &mut ListenerState<'_>, conflict: Option<Problem>) {
    if let Some(problem) = conflict {
        input.warn(state.owner, state.spec.place, &problem);
        state.conflict = Some(problem);
    }
}

/// Why a listener can't be told apart from another.
fn conflict(of: &ListenerState<'_>, other: &ListenerState<'_>) -> Option<Problem> {
    if of.spec.port != other.spec.port {
        return None;
    }
    let (reason, what) = if transport(of.spec) != transport(other.spec) {
        ("ProtocolConflict", "another protocol")
    } else if of.spec.hostname == other.spec.hostname {
        ("HostnameConflict", "the same host name")
    } else {
        return None;
    };
    let message = format!(
        "listener `{}` is not served: listener `{}` of {} has port {} with {what}",
        of.spec.name, other.spec.name, other.owner.label, of.spec.port
    );
    Some(Problem::new(reason, message))
}
