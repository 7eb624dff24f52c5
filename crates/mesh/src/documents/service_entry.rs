//! Istio `ServiceEntry`.

use std::collections::{BTreeMap, BTreeSet};

use super::export_to::{self, ExportTo};
use super::names::{check_pattern, host};
use super::workload::{self, Address, Workload};
use crate::decode::{
    Context, Fields, Finding, Located, list_of, located, non_empty, one_of, port, string,
};
use crate::protocol::Protocol;
use crate::yaml::Node;

/// Hosts that are outside Kubernetes' own registry.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) hosts: Vec<Located<String>>,
    pub(crate) ports: Vec<Port>,
    pub(crate) resolution: Resolution,
    pub(crate) endpoints: Vec<Workload>,
    pub(crate) selector: Option<BTreeMap<String, String>>,
    pub(crate) export_to: ExportTo,
    /// Virtual addresses, or that they are given out by themselves.
    pub(crate) has_addresses: bool,
}

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) target: Option<u16>,
}

/// How addresses are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// The client's own. Without captured traffic that is not known: the host's name is looked up in its place.
    None,
    /// The endpoints' addresses.
    Static,
    /// The endpoints' names, or the host itself; every address that is found.
    Dns,
    /// The same, but the first address only.
    DnsFirst,
}

const RESOLUTIONS: &[(&str, Resolution)] = &[
    ("NONE", Resolution::None),
    ("STATIC", Resolution::Static),
    ("DNS", Resolution::Dns),
    ("DNS_ROUND_ROBIN", Resolution::DnsFirst),
    ("DYNAMIC_DNS", Resolution::None),
];

/// `kind: ServiceEntry`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<ServiceEntry> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let hosts = fields
            .required("hosts", list_of(located(host)))
            .unwrap_or_default();
        let addresses = fields.list("addresses", string);
        let ports = fields.list("ports", service_port);
        let resolution = fields
            .optional("resolution", one_of(RESOLUTIONS))
            .unwrap_or(Resolution::None);
        let is_dns = matches!(resolution, Resolution::Dns | Resolution::DnsFirst);
        let endpoints = fields.list("endpoints", workload::decode);
        let selector = fields.optional("workloadSelector", workload::selector());
        fields.optional(
            "location",
            one_of(&[("MESH_EXTERNAL", ()), ("MESH_INTERNAL", ())]),
        );
        let export_to = export_to::decode(&mut fields, true);
        // They name what a workload's own certificate must hold under ISTIO_MUTUAL, which is not served.
        fields.accept(&["subjectAltNames"]);

        if hosts.is_empty() && fields.is_written("hosts") {
            fields.error_at("hosts", "must not be empty");
        }
        for host in &hosts {
            if host.value == "*" {
                context.error(host.place, "must not be `*`; name the hosts");
            } else if let Err(why) = check_pattern(host) {
                context.error(host.place, why);
            }
        }
        if selector.is_some() && !endpoints.is_empty() {
            fields.error_at(
                "workloadSelector",
                "only one of `workloadSelector` and `endpoints` can be set",
            );
        }
        if fields.is_written("addresses")
            && is_dns
            && addresses.iter().any(|a| a.contains('/'))
        {
            fields.error_at(
                "addresses",
                "CIDR addresses are allowed only with resolution NONE or STATIC",
            );
        }
        match resolution {
            Resolution::None if !endpoints.is_empty() => {
                fields.error_at(
                    "endpoints",
                    "can't be set with resolution NONE; write `resolution: STATIC` or `DNS`",
                );
            }
            Resolution::None if selector.is_none() => {
                for host in hosts.iter().filter(|host| host.value.starts_with('*')) {
                    let message = "has no address to go to without resolution: requests get 503, as \
                                   only captured ones have one of their own";
                    let finding = Finding::warning(message);
                    context.report(host.place, finding.help("name the hosts"));
                }
            }
            Resolution::Dns | Resolution::DnsFirst
                if endpoints.is_empty() && selector.is_none() =>
            {
                for host in hosts.iter().filter(|host| host.value.starts_with('*')) {
                    let message = "can't be looked up, and there are no `endpoints`";
                    context.error(host.place, message);
                }
            }
            Resolution::None | Resolution::Dns | Resolution::DnsFirst => {}
            Resolution::Static => static_addresses(&endpoints, context),
        }
        if resolution == Resolution::DnsFirst && endpoints.len() > 1 {
            fields.error_at(
                "endpoints",
                "DNS_ROUND_ROBIN takes one endpoint; write `resolution: DNS` for several",
            );
        }
        check_ports(&fields, &ports);
        fields.finish();
        Some(ServiceEntry {
            hosts,
            ports,
            resolution,
            endpoints,
            selector,
            export_to,
            has_addresses: !addresses.is_empty(),
        })
    })
}

fn static_addresses(endpoints: &[Workload], context: Context<'_>) {
    for address in endpoints
        .iter()
        .filter_map(|endpoint| endpoint.address.as_ref())
    {
        if let Address::Dns(name) = &address.value {
            let message = format!(
                "must be an IP address or unix:///path with resolution STATIC, but is `{name}`"
            );
            context.report(
                address.place,
                Finding::error(message).help("write `resolution: DNS`"),
            );
        }
    }
}

fn check_ports(fields: &Fields<'_>, ports: &[Port]) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for port in ports {
        if !names.insert(&port.name) {
            fields.error_at("ports", format!("port name `{}` is there twice", port.name));
        }
        if !numbers.insert(port.number) {
            fields.error_at("ports", format!("port {} is there twice", port.number));
        }
    }
}

fn service_port<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Port> {
    let mut fields = Fields::of(node, context)?;
    let number = fields.required("number", port);
    let name = fields.required("name", non_empty);
    let written = fields.optional("protocol", string);
    let target = fields.optional("targetPort", port);
    if let Some(protocol) = written.filter(|protocol| !Protocol::is_known(protocol)) {
        fields.error_at(
            "protocol",
            format!("unknown protocol `{protocol}`; known are HTTP, HTTPS, HTTP2, GRPC, TLS, TCP"),
        );
    }
    fields.finish();
    let (number, name) = (number?, name?);
    let protocol = match written {
        Some(protocol) => Protocol::parse(protocol),
        None => Protocol::of_port_name(&name, number),
    };
    Some(Port {
        number,
        name,
        protocol,
        target,
    })
}
