//! Kubernetes `Service`.

use std::collections::BTreeMap;

use super::export_to::ExportTo;
use crate::decode::{Context, Fields, located, non_empty, owned, port, string, string_map};
use crate::decode::{Finding, Located, one_of};
use crate::protocol::Protocol;
use crate::yaml::{Node, Value};

/// A service's ports and where its endpoints come from.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) ports: Vec<Port>,
    pub(crate) selector: BTreeMap<String, String>,
    /// The DNS name of a `type: ExternalName` service.
    pub(crate) external_name: Option<Located<String>>,
    pub(crate) export_to: ExportTo,
}

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    /// May be empty.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    /// As written.
    pub(crate) app_protocol: Option<String>,
    pub(crate) target: Target,
}

/// Where a pod listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Number(u16),
    Name(String),
}

/// What Kubernetes and kube-proxy do with a service, and a proxy that has the endpoints need not know.
const ACCEPTED: &[&str] = &[
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "allocateLoadBalancerNodePorts",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "publishNotReadyAddresses",
    "sessionAffinityConfig",
    "trafficDistribution",
];

const TYPES: &[(&str, bool)] = &[
    ("ClusterIP", false),
    ("NodePort", false),
    ("LoadBalancer", false),
    ("ExternalName", true),
];

/// `kind: Service`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Service> {
    let metadata = object.node("metadata");
    let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
    let annotation = annotations.and_then(|all| all.get("networking.istio.io/exportTo"));
    let export_to = annotation.and_then(Node::text).unwrap_or_default();
    let export_to = ExportTo::of_annotation(export_to);
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let is_external = fields.optional("type", one_of(TYPES)).unwrap_or(false);
        let external_name = fields
            .optional("externalName", located(non_empty))
            .filter(|_| is_external);
        if is_external && external_name.is_none() {
            fields.error_at("externalName", "is required with type ExternalName");
        }
        let ports = fields.list("ports", service_port);
        let selector = fields.optional("selector", string_map).unwrap_or_default();
        if fields.optional("sessionAffinity", string) == Some("ClientIP") {
            let message = "`ClientIP` is not served yet: requests are not pinned to endpoints";
            fields.report_at("sessionAffinity", Finding::warning(message));
        }
        fields.accept(ACCEPTED);
        fields.finish();
        Some(Service {
            ports,
            selector,
            external_name,
            export_to: export_to.clone(),
        })
    })
}

fn service_port<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Port> {
    let mut fields = Fields::of(node, context)?;
    let number = fields.required("port", port);
    let name = fields.optional("name", owned).unwrap_or_default();
    let transport = fields.optional("protocol", string).unwrap_or("TCP");
    let app_protocol = fields.optional("appProtocol", string);
    let target = fields.optional("targetPort", target);
    fields.accept(&["nodePort"]);
    fields.finish();
    let number = number?;
    let protocol = Protocol::of_service_port(transport, app_protocol, &name, number);
    Some(Port {
        number,
        name,
        protocol,
        app_protocol: app_protocol.map(str::to_owned),
        target: target.unwrap_or(Target::Number(number)),
    })
}

fn target<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Target> {
    match &node.value {
        Value::Plain(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            port(node, context).map(Target::Number)
        }
        Value::Plain(text) | Value::Text(text) => Some(Target::Name(text.clone().into_owned())),
        _ => {
            context.report(
                node.place,
                Finding::error("must be a port number or the name of a container's port"),
            );
            None
        }
    }
}
