//! Istio `Sidecar`: what clients of a namespace see of the mesh.

use std::collections::BTreeMap;

use super::names::{check_label, check_pattern};
use super::workload;
use crate::Source;
use crate::decode::{
    Context, Fields, Finding, Located, NotServed, list_of, located, non_empty, one_of, port, string,
};
use crate::yaml::{Node, Place};

/// What it says of requests that leave; what comes in is not served.
#[derive(Debug)]
pub(crate) struct Sidecar {
    /// Labels of the clients it is for; `None` is all of the namespace.
    pub(crate) selector: Option<BTreeMap<String, String>>,
    /// `None` sees everything that is exported.
    pub(crate) egress: Option<Vec<Egress>>,
    /// `None` is what the mesh's configuration says.
    pub(crate) outbound: Option<Outbound>,
}

/// Hosts that are seen on a port, or on all.
#[derive(Debug)]
pub(crate) struct Egress {
    pub(crate) port: Option<u16>,
    pub(crate) hosts: Vec<Import>,
}

/// `namespace/host`.
#[derive(Debug)]
pub(crate) struct Import {
    /// A name, `*` for all, `.` for the client's own, `~` for none.
    pub(crate) namespace: String,
    pub(crate) host: String,
}

/// `outboundTrafficPolicy`, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pub(crate) policy: OutboundPolicy,
    pub(crate) source: Source,
}

/// What becomes of requests to hosts that are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutboundPolicy {
    RegistryOnly,
    AllowAny,
}

const NOT_SERVED: &[NotServed] = &[
    (
        "ingress",
        "requests to this machine's servers are not captured",
    ),
    (
        "inboundConnectionPool",
        "requests to this machine's servers are not captured",
    ),
];

/// `kind: Sidecar`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Sidecar> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let selector = fields.optional("workloadSelector", workload::selector());
        let egress = fields.optional("egress", list_of(located(egress)));
        let outbound = fields.optional("outboundTrafficPolicy", outbound_policy);
        fields.not_served(NOT_SERVED);
        let parts = [
            "ingress",
            "egress",
            "outboundTrafficPolicy",
            "inboundConnectionPool",
        ];
        if !parts.iter().any(|name| fields.is_written(name)) {
            fields
                .error("says nothing: `egress`, `ingress` or `outboundTrafficPolicy` is required");
        }
        let egress = egress.filter(|listeners| !listeners.is_empty());
        if let Some(listeners) = &egress {
            check_order(listeners, context);
        }
        fields.finish();
        Some(Sidecar {
            selector: selector.filter(|labels| !labels.is_empty()),
            egress: egress.map(|listeners| {
                listeners
                    .into_iter()
                    .map(|listener| listener.value)
                    .collect()
            }),
            outbound,
        })
    })
}

/// Without a port a listener is for what no other is for, and so comes last.
fn check_order(listeners: &[Located<Egress>], context: Context<'_>) {
    for (position, listener) in listeners.iter().enumerate() {
        if listener.port.is_none() && position + 1 < listeners.len() {
            let message = "has no `port`, so it must be the last one, and the only one without";
            context.error(listener.place, message);
        }
    }
}

/// `outboundTrafficPolicy`, which the mesh's configuration has too.
pub(crate) fn outbound_policy<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Outbound> {
    const MODES: &[(&str, OutboundPolicy)] = &[
        ("REGISTRY_ONLY", OutboundPolicy::RegistryOnly),
        ("ALLOW_ANY", OutboundPolicy::AllowAny),
    ];
    let mut fields = Fields::of(node, context)?;
    let mode = fields.optional("mode", located(one_of(MODES)));
    if let Some(Located {
        value: OutboundPolicy::AllowAny,
        place,
    }) = mode
    {
        warn_of_allow_any(place, context);
    }
    fields.not_served(&[("egressProxy", "unknown hosts are not forwarded to it")]);
    fields.finish();
    // The enumeration's zero value.
    Some(Outbound {
        policy: mode.map_or(OutboundPolicy::RegistryOnly, |mode| mode.value),
        source: context.source(node.place),
    })
}

fn warn_of_allow_any(place: Place, context: Context<'_>) {
    let message = "ALLOW_ANY is not served: requests to hosts that nobody has get 404, as only \
                   captured ones have an address to go to";
    let finding = Finding::warning(message);
    context.report(place, finding.help("write a ServiceEntry for each host"));
}

const EGRESS_NOT_SERVED: &[NotServed] = &[
    ("bind", "there is one listener for all services"),
    ("captureMode", "connections are not captured"),
];

fn egress<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Egress> {
    let mut fields = Fields::of(node, context)?;
    let number = fields.optional("port", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let number = fields.required("number", port);
        fields.optional("protocol", string);
        fields.optional("name", string);
        fields.accept(&["targetPort"]);
        fields.finish();
        number
    });
    let hosts = fields
        .required("hosts", list_of(import))
        .unwrap_or_default();
    if fields.is_written("hosts") && fields.node("hosts").map_or(0, Node::len) == 0 {
        fields.error_at("hosts", "must not be empty");
    }
    fields.not_served(EGRESS_NOT_SERVED);
    fields.finish();
    Some(Egress {
        port: number,
        hosts,
    })
}

fn import<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Import> {
    let text = non_empty(node, context)?;
    let checked = match text.split_once('/') {
        None => Err(format!(
            "must be namespace/host such as `*/*`, but is `{text}`"
        )),
        Some((namespace, host)) => {
            let of_namespace = match namespace {
                "*" | "." | "~" => Ok(()),
                name => check_label(name),
            };
            of_namespace.and_then(|()| check_pattern(host))
        }
    };
    if let Err(why) = checked {
        context.error(node.place, why);
        return None;
    }
    let (namespace, host) = text.split_once('/')?;
    Some(Import {
        namespace: namespace.to_owned(),
        host: host.to_ascii_lowercase(),
    })
}
