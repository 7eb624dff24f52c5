//! Gateways that are ours, with the ListenerSets that they let in.

use std::net::IpAddr;

use manifests::Object;

use super::listeners::{self, ListenerState};
use super::tls::{self, Referrer};
use super::{Input, Problem};
use crate::attached::{ClientValidationMode, Listener, Protocol};
use crate::documents::gateway::{Gateway, Namespaces};
use crate::documents::listener_set::ListenerSet;
use crate::{GROUP, Name};

/// A Gateway of ours and what is found out about it.
pub(super) struct GatewayState<'d> {
    pub(super) object: &'d Object<Gateway>,
    /// Its own, then those of its ListenerSets.
    pub(super) listeners: Vec<ListenerState<'d>>,
    pub(super) sets: Vec<SetState<'d>>,
    /// Those that could be read.
    pub(super) addresses: Vec<IpAddr>,
    /// Why it is not accepted, whatever its listeners are.
    pub(super) refused: Option<Problem>,
    pub(super) unusable_address: Option<Problem>,
    /// Of `tls.backend`.
    pub(super) client_certificate: Option<Name>,
    pub(super) unresolved: Option<Problem>,
    pub(super) insecure_fallback: bool,
}

/// A ListenerSet whose parent is a Gateway of ours.
pub(super) struct SetState<'d> {
    pub(super) object: &'d Object<ListenerSet>,
    pub(super) refused: Option<Problem>,
}

/// Gateways whose class is ours, oldest first.
pub(super) fn served<'d>(input: Input<'d>) -> Vec<GatewayState<'d>> {
    let ours = input
        .documents
        .gateways
        .iter()
        .filter(|gateway| is_ours(input, gateway));
    ours.map(|gateway| state(input, gateway)).collect()
}

/// Without classes every Gateway is: a folder has no cluster whose classes could be asked for.
fn is_ours(input: Input<'_>, gateway: &Object<Gateway>) -> bool {
    let classes = &input.documents.classes;
    if classes.is_empty() {
        return true;
    }
    let wanted = &gateway.spec.class;
    let class = classes.iter().find(|class| class.meta.name == *wanted);
    let why = match class {
        None => format!("is not served: there is no GatewayClass `{wanted}`"),
        Some(class) if class.spec.controller != input.controller => format!(
            "is not served: GatewayClass `{wanted}` is that of controller `{}`, not of `{}`",
            class.spec.controller, input.controller
        ),
        Some(_) => return true,
    };
    let place = gateway.meta.place;
    input.warn(&gateway.meta, place, &Problem::new("Pending", why));
    false
}

fn state<'d>(input: Input<'d>, object: &'d Object<Gateway>) -> GatewayState<'d> {
    let gateway = &object.spec;
    let (addresses, mut refused, unusable_address) = addresses(input, object);
    if let Some(place) = gateway.parameters {
        let message =
            "`infrastructure.parametersRef` names parameters of which no kind is known here";
        let problem = Problem::new("InvalidParameters", message);
        input.warn(&object.meta, place, &problem);
        refused = refused.or(Some(problem));
    }
    let referrer = Referrer {
        meta: &object.meta,
        kind: "Gateway",
    };
    let (client_certificate, unresolved) = match &gateway.client_certificate {
        None => (None, None),
        Some(reference) => match tls::certificate(input, referrer, reference) {
            Ok(name) => (Some(name), None),
            Err(Problem { reason, message }) => {
                let reason = match reason {
                    "InvalidCertificateRef" => "InvalidClientCertificateRef",
                    other => other,
                };
                (None, Some(Problem::new(reason, message)))
            }
        },
    };
    let sets: Vec<_> = sets(input, object, refused.is_some());
    let mut state = GatewayState {
        object,
        listeners: Vec::new(),
        sets,
        addresses,
        refused,
        unusable_address,
        client_certificate,
        unresolved,
        insecure_fallback: gateway
            .frontend
            .validations()
            .any(|validation| validation.mode == ClientValidationMode::AllowInsecureFallback),
    };
    state.listeners = listeners::of(input, &state);
    state
}

/// The addresses that can be listened on; why the Gateway can't be accepted; why not all can be used.
fn addresses(
    input: Input<'_>,
    object: &Object<Gateway>,
) -> (Vec<IpAddr>, Option<Problem>, Option<Problem>) {
    let (mut found, mut refused, mut unusable) = (Vec::new(), None, None);
    for address in &object.spec.addresses {
        if address.kind != "IPAddress" {
            let message = format!(
                "addresses of type `{}` are not served; only IPAddress is",
                address.kind
            );
            let problem = Problem::new("UnsupportedAddress", message);
            input.warn(&object.meta, address.place, &problem);
            refused = Some(problem);
            continue;
        }
        if address.value.is_empty() {
            continue;
        }
        match address.value.parse() {
            Ok(address) => found.push(address),
            Err(_) => {
                let message = format!("`{}` is not an IP address", address.value);
                let problem = Problem::new("AddressNotUsable", message);
                input.warn(&object.meta, address.place, &problem);
                unusable = Some(problem);
            }
        }
    }
    (found, refused, unusable)
}

/// ListenerSets that name a Gateway, oldest first, with why they are not let in.
fn sets<'d>(input: Input<'d>, gateway: &Object<Gateway>, refused: bool) -> Vec<SetState<'d>> {
    let of_gateway = input.documents.listener_sets.iter().filter(|set| {
        let spec = &set.spec;
        let namespace = spec.parent_namespace.as_ref();
        (spec.parent_group.as_str(), spec.parent_kind.as_str()) == (GROUP, "Gateway")
            && spec.parent_name == gateway.meta.name
            && *namespace.unwrap_or(&set.meta.namespace) == gateway.meta.namespace
    });
    let state = |object: &'d Object<ListenerSet>| {
        let allowed = match &gateway.spec.allowed_listeners {
            None => false,
            Some(Namespaces::All) => true,
            Some(Namespaces::Same) => object.meta.namespace == gateway.meta.namespace,
            Some(Namespaces::Selected(selector)) => {
                selector.matches(&input.world.labels(&object.meta.namespace))
            }
        };
        let problem = if refused {
            Some(("ParentNotAccepted", "is not accepted itself"))
        } else if !allowed {
            Some(("NotAllowed", "does not allow it by `allowedListeners`"))
        } else {
            None
        };
        let refused = problem.map(|(reason, what)| {
            let (namespace, name) = (&gateway.meta.namespace, &gateway.meta.name);
            let message = format!("is not attached: Gateway {namespace}/{name} {what}");
            let problem = Problem::new(reason, message);
            input.warn(&object.meta, object.spec.parent_place, &problem);
            problem
        });
        SetState { object, refused }
    };
    of_gateway.map(state).collect()
}

impl GatewayState<'_> {
    pub(super) fn name(&self) -> Name {
        Name::new(&self.object.meta.namespace, &self.object.meta.name)
    }

    /// Whether its listeners can be. With addresses none of which can be used there is nowhere to listen.
    pub(super) fn can_be_served(&self) -> bool {
        let nowhere = self.addresses.is_empty() && self.unusable_address.is_some();
        self.refused.is_none() && !nowhere
    }

    /// What is served of it.
    pub(super) fn into_listeners(self, input: Input<'_>) -> Vec<Listener> {
        if !self.can_be_served() {
            return Vec::new();
        }
        let gateway = self.name();
        let sets = &self.sets;
        let listeners = self.listeners.into_iter();
        listeners
            .filter_map(|state| {
                let protocol = match state.is_programmed() {
                    true => state.protocol?,
                    false => state.keeps_its_name().then_some(Protocol::TlsRefused)?,
                };
                let set = state.set.map(|position| &sets[position].object.meta);
                let owner = set.unwrap_or(&self.object.meta);
                let context = owner.context(input.files, input.report);
                Some(Listener {
                    gateway: gateway.clone(),
                    listener_set: set.map(|meta| Name::new(&meta.namespace, &meta.name)),
                    section: state.spec.name.clone(),
                    port: state.spec.port,
                    addresses: self.addresses.clone(),
                    protocol,
                    hostname: state.spec.hostname.clone(),
                    backend_client_certificate: self.client_certificate.clone(),
                    hosts: state.hosts.into_hosts(),
                    streams: state.streams,
                    source: context.source(state.spec.place),
                })
            })
            .collect()
    }
}
