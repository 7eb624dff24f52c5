//! Kubernetes `EndpointSlice`, and its predecessor `Endpoints`.

use std::collections::BTreeMap;

use super::workload::Address;
use crate::decode::Finding;
use crate::decode::{Context, Fields, boolean, list_of, one_of, owned, port, string};
use crate::yaml::Node;

/// Servers of one service. Which one is said by a label, or by the object's own name for `Endpoints`.
#[derive(Debug)]
pub(crate) struct EndpointSlice {
    /// Else the label `kubernetes.io/service-name` says it.
    pub(crate) own_name_is_service: bool,
    /// One per `subsets` entry of `Endpoints`; one in all for `EndpointSlice`.
    pub(crate) groups: Vec<Group>,
}

/// Addresses that all have the same ports.
#[derive(Debug)]
pub(crate) struct Group {
    /// Name (may be empty) and number.
    pub(crate) ports: Vec<(String, u16)>,
    pub(crate) endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) addresses: Vec<Address>,
    pub(crate) zone: String,
    /// Name of the pod it is, if it is one.
    pub(crate) pod: Option<String>,
}

/// `kind: EndpointSlice`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<EndpointSlice> {
    const TYPES: &[(&str, bool)] = &[("IPv4", false), ("IPv6", false), ("FQDN", true)];
    let is_name = object
        .required("addressType", one_of(TYPES))
        .unwrap_or(false);
    let ports = object.list("ports", slice_port);
    let endpoints = object.list("endpoints", slice_endpoint(is_name));
    let group = Group {
        ports: ports.into_iter().flatten().collect(),
        endpoints: endpoints.into_iter().flatten().collect(),
    };
    Some(EndpointSlice {
        own_name_is_service: false,
        groups: vec![group],
    })
}

/// `None` inside for a port without a number, which means "all ports" to nobody we know.
fn slice_port<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<(String, u16)>> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.optional("name", owned).unwrap_or_default();
    let number = fields.optional("port", port);
    fields.accept(&["protocol", "appProtocol"]);
    fields.finish();
    Some(number.map(|number| (name, number)))
}

/// `None` inside for an endpoint that is not ready.
fn slice_endpoint<'d>(is_name: bool) -> impl crate::decode::Decode<'d, Option<Endpoint>> {
    move |node, context| {
        let mut fields = Fields::of(node, context)?;
        let addresses = fields
            .required("addresses", list_of(slice_address(is_name)))
            .unwrap_or_default();
        let ready = fields.optional("conditions", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let ready = fields.optional("ready", boolean);
            fields.accept(&["serving", "terminating"]);
            fields.finish();
            ready
        });
        let zone = fields.optional("zone", owned).unwrap_or_default();
        let pod = fields.optional("targetRef", target_pod).flatten();
        // `deprecatedTopology` is v1beta1's.
        fields.accept(&["hostname", "nodeName", "hints", "deprecatedTopology"]);
        fields.finish();
        Some((ready != Some(false)).then_some(Endpoint {
            addresses,
            zone,
            pod,
        }))
    }
}

fn slice_address<'d>(is_name: bool) -> impl crate::decode::Decode<'d, Address> {
    move |node, context| {
        let text = string(node, context)?;
        if text.is_empty() {
            context.error(node.place, "must not be empty");
            return None;
        }
        if is_name {
            return Some(Address::Dns(text.to_ascii_lowercase()));
        }
        match text.parse() {
            Ok(ip) => Some(Address::Ip(ip)),
            Err(_) => {
                let finding = Finding::error(format!("must be an IP address, but is `{text}`"));
                context.report(node.place, finding.help("names need `addressType: FQDN`"));
                None
            }
        }
    }
}

fn target_pod<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<String>> {
    let mut fields = Fields::of(node, context)?;
    let kind = fields.optional("kind", string);
    let name = fields.optional("name", owned);
    fields.accept(&[
        "apiVersion",
        "namespace",
        "uid",
        "resourceVersion",
        "fieldPath",
    ]);
    fields.finish();
    Some(name.filter(|_| kind == Some("Pod")))
}

/// `kind: Endpoints`.
pub(crate) fn decode_endpoints(object: &mut Fields<'_>) -> Option<EndpointSlice> {
    let groups = object.list("subsets", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let endpoints = fields.list("addresses", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let address = fields.required("ip", slice_address(false));
            let pod = fields.optional("targetRef", target_pod).flatten();
            fields.accept(&["hostname", "nodeName"]);
            fields.finish();
            Some(Endpoint {
                addresses: vec![address?],
                zone: String::new(),
                pod,
            })
        });
        let ports = fields.list("ports", slice_port);
        fields.accept(&["notReadyAddresses"]);
        fields.finish();
        Some(Group {
            ports: ports.into_iter().flatten().collect(),
            endpoints,
        })
    });
    Some(EndpointSlice {
        own_name_is_service: true,
        groups,
    })
}

/// Labels that Kubernetes puts on slices, which say nothing about the pods behind them.
pub(crate) fn pod_labels(slice: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = slice
        .iter()
        .filter(|(key, _)| !key.contains("kubernetes.io/"));
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Where a `Service`'s slices name it.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
