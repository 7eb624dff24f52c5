//! `Gateway`, and the listeners that it shares with `ListenerSet`.

pub(crate) mod tls;

use std::collections::{BTreeMap, BTreeSet};

use manifests::decode::{
    Context, Fields, Finding, list_of, non_empty, one_of, owned, port, string, string_map,
};
use manifests::yaml::{Node, Place};

use super::GROUP;
use super::names::hostname;
use super::reference::{ObjectRef, secret_ref};
use tls::{FrontendTls, ListenerTls};

/// Where it listens, for what, and who may attach to it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) class: String,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) addresses: Vec<Address>,
    /// `infrastructure.parametersRef`, no kind of which is known here.
    pub(crate) parameters: Option<Place>,
    /// Whose ListenerSets may attach; `None` is nobody's.
    pub(crate) allowed_listeners: Option<Namespaces>,
    pub(crate) frontend: FrontendTls,
    /// `tls.backend.clientCertificateRef`.
    pub(crate) client_certificate: Option<ObjectRef>,
}

/// `addresses[]`.
#[derive(Debug)]
pub(crate) struct Address {
    /// `IPAddress` if it is not written.
    pub(crate) kind: String,
    /// Empty leaves the choice to us.
    pub(crate) value: String,
    pub(crate) place: Place,
}

/// One of `listeners[]`.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) port: u16,
    /// As written; `None` of what follows is known for a protocol that is not ours.
    pub(crate) protocol: String,
    pub(crate) hostname: Option<String>,
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) allowed: AllowedRoutes,
    pub(crate) place: Place,
}

/// `allowedRoutes`.
#[derive(Debug)]
pub(crate) struct AllowedRoutes {
    pub(crate) namespaces: Namespaces,
    /// Group and kind; empty is all that the protocol has.
    pub(crate) kinds: Vec<(String, String)>,
}

/// From which namespaces something may attach.
#[derive(Debug)]
pub(crate) enum Namespaces {
    All,
    Same,
    Selected(Selector),
}

/// Kubernetes' label selector: all of it has to be true.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    labels: BTreeMap<String, String>,
    expressions: Vec<(String, Operator, Vec<String>)>,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self
            .labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        equal
            && self.expressions.iter().all(|(key, operator, values)| {
                let value = labels.get(key);
                let listed = value.is_some_and(|value| values.contains(value));
                match operator {
                    Operator::In => listed,
                    Operator::NotIn => !listed,
                    Operator::Exists => value.is_some(),
                    Operator::DoesNotExist => value.is_none(),
                }
            })
    }
}

pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Gateway> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let class = fields.required("gatewayClassName", non_empty);
        let listeners = listeners(&mut fields);
        let addresses = fields.list("addresses", address);
        let parameters = fields.optional("infrastructure", infrastructure).flatten();
        let allowed_listeners = fields
            .optional("allowedListeners", |node, context| {
                let mut fields = Fields::of(node, context)?;
                let namespaces = fields.optional("namespaces", |node, context| {
                    namespaces(node, context, true)
                });
                fields.finish();
                namespaces
            })
            .flatten();
        let (frontend, client_certificate) =
            fields.optional("tls", gateway_tls).unwrap_or_default();
        fields.not_served(&[(
            "defaultScope",
            "only routes that name this Gateway attach to it",
        )]);
        fields.finish();
        Some(Gateway {
            class: class?,
            listeners,
            addresses,
            parameters,
            allowed_listeners,
            frontend,
            client_certificate,
        })
    })
}

fn gateway_tls<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<(FrontendTls, Option<ObjectRef>)> {
    let mut fields = Fields::of(node, context)?;
    let client_certificate = fields.optional("backend", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let certificate = fields.optional("clientCertificateRef", secret_ref);
        fields.finish();
        certificate
    });
    let frontend = fields
        .optional("frontend", tls::frontend)
        .unwrap_or_default();
    fields.finish();
    Some((frontend, client_certificate))
}

fn address<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Address> {
    let mut fields = Fields::of(node, context)?;
    let address = Address {
        kind: fields
            .optional("type", non_empty)
            .unwrap_or_else(|| "IPAddress".to_owned()),
        value: fields.optional("value", owned).unwrap_or_default(),
        place: node.place,
    };
    fields.finish();
    Some(address)
}

/// The place of `parametersRef`, if there is one. Labels and annotations are for what a cluster would create.
fn infrastructure<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<Place>> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("labels", string_map);
    fields.optional("annotations", string_map);
    let parameters = fields.node("parametersRef").map(|node| node.place);
    fields.finish();
    Some(parameters)
}

/// `listeners`, whose names, and ports with protocols and host names, are each there once.
pub(super) fn listeners(fields: &mut Fields<'_>) -> Vec<Listener> {
    let listeners = fields.list("listeners", listener);
    let context = fields.context;
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for listener in &listeners {
        if !names.insert(&listener.name) {
            let message = format!("name `{}` is there twice in the same list", listener.name);
            context.error(listener.place, message);
        }
        let key = (listener.port, &listener.protocol, &listener.hostname);
        if !keys.insert(key) {
            let message = format!(
                "port {} with protocol {} and this host name is there twice in the same list",
                listener.port, listener.protocol
            );
            context.error(listener.place, message);
        }
    }
    listeners
}

fn listener<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Listener> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("name", non_empty);
    let port = fields.required("port", port);
    let protocol = fields.required("protocol", non_empty);
    let hostname = fields
        .node("hostname")
        .filter(|node| node.text() != Some(""))
        .and_then(|node| hostname(node, context));
    let tls = fields.optional("tls", tls::listener_tls);
    let allowed = fields
        .optional("allowedRoutes", allowed_routes)
        .unwrap_or(AllowedRoutes {
            namespaces: Namespaces::Same,
            kinds: Vec::new(),
        });
    let of_streams = matches!(protocol.as_deref(), Some("TCP" | "UDP"));
    if of_streams && hostname.is_some() {
        fields.error_at("hostname", "must not be written for TCP and UDP");
    }
    if let Some(protocol) = protocol.as_deref() {
        check_tls(protocol, tls.as_ref(), &fields);
    }
    fields.finish();
    Some(Listener {
        name: name?,
        port: port?,
        protocol: protocol?,
        hostname,
        tls,
        allowed,
        place: node.place,
    })
}

/// What the CRD asks of `tls` for each protocol.
fn check_tls(protocol: &str, tls: Option<&ListenerTls>, fields: &Fields<'_>) {
    let written = fields.is_written("tls");
    match protocol {
        "HTTP" | "TCP" | "UDP" if written => {
            let message = format!("must not be written for protocol {protocol}");
            fields.error_at("tls", message);
        }
        "HTTPS" if tls.is_some_and(|tls| tls.passthrough) => {
            fields.error_at("tls", "`mode` must be Terminate for protocol HTTPS");
        }
        "HTTPS" | "TLS" if !written => {
            let message = format!("is required for protocol {protocol}");
            fields.error_at("tls", message);
        }
        _ => {}
    }
}

fn allowed_routes<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<AllowedRoutes> {
    let mut fields = Fields::of(node, context)?;
    let namespaces = fields
        .optional("namespaces", |node, context| {
            namespaces(node, context, false)
        })
        .flatten()
        .unwrap_or(Namespaces::Same);
    let kinds = fields.list("kinds", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let group = fields
            .optional("group", owned)
            .unwrap_or_else(|| GROUP.to_owned());
        let kind = fields.required("kind", non_empty);
        fields.finish();
        Some((group, kind?))
    });
    fields.finish();
    Some(AllowedRoutes { namespaces, kinds })
}

/// `from` with its `selector`. `with_none` lets `None` stand, which is also the default then.
fn namespaces<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
    with_none: bool,
) -> Option<Option<Namespaces>> {
    let mut fields = Fields::of(node, context)?;
    let from = fields.optional("from", string);
    let selector = fields.optional("selector", selector);
    let found = match from {
        Some("All") => Some(Namespaces::All),
        Some("Same") => Some(Namespaces::Same),
        Some("Selector") => {
            if !fields.is_written("selector") {
                fields.error_at("selector", "is required with `from: Selector`");
            }
            selector.map(Namespaces::Selected)
        }
        Some("None") if with_none => None,
        None if with_none => None,
        None => Some(Namespaces::Same),
        Some(other) => {
            let list = if with_none { ", None" } else { "" };
            let message = format!("must be one of All, Same, Selector{list}, but is `{other}`");
            fields.report_at("from", Finding::error(message));
            None
        }
    };
    fields.finish();
    Some(found)
}

fn selector<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Selector> {
    const OPERATORS: &[(&str, Operator)] = &[
        ("In", Operator::In),
        ("NotIn", Operator::NotIn),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
    ];
    let mut fields = Fields::of(node, context)?;
    let labels = fields
        .optional("matchLabels", string_map)
        .unwrap_or_default();
    let expressions = fields.list("matchExpressions", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let key = fields.required("key", non_empty);
        let operator = fields.required("operator", one_of(OPERATORS));
        let values = fields
            .optional("values", list_of(owned))
            .unwrap_or_default();
        let with_values = matches!(operator, Some(Operator::In | Operator::NotIn));
        if operator.is_some() && with_values == values.is_empty() {
            let message = "needs values with In and NotIn, and none with the others";
            fields.error_at("values", message);
        }
        fields.finish();
        Some((key?, operator?, values))
    });
    fields.finish();
    Some(Selector {
        labels,
        expressions,
    })
}
