//! Gateways that get in each other's way: IST0138, IST0145; and ports that nothing leads to: IST0162.

use std::collections::BTreeMap;

use super::Input;
use crate::decode::Finding;
use crate::documents::Object;
use crate::documents::gateway::{Gateway, Server, ServerMode};
use crate::documents::service::Target;
use crate::documents::workload::selects;

type Labels = BTreeMap<String, String>;

fn servers<'d>(input: Input<'d>) -> impl Iterator<Item = (&'d Object<Gateway>, &'d Server)> {
    let gateways = input.documents.gateways.iter();
    gateways.flat_map(|gateway| {
        gateway
            .spec
            .servers
            .iter()
            .map(move |server| (gateway, server))
    })
}

/// Servers of different gateways for the same workloads, port and host.
pub(super) fn conflicting(input: Input<'_>) {
    let mut first: BTreeMap<(&Labels, u16, _, &str), &Object<Gateway>> = BTreeMap::new();
    for (gateway, server) in servers(input) {
        for host in &server.hosts {
            let key = (
                &gateway.spec.selector,
                server.port,
                server.address,
                host.host.as_str(),
            );
            let holder = *first.entry(key).or_insert(gateway);
            if !std::ptr::eq(holder, gateway) {
                let message = format!(
                    "{} has host `{}` on port {} for the same workloads already",
                    holder.meta.label, host.host, server.port
                );
                let finding = Finding::warning(message).code("IST0145");
                let help = "merge the two, or give one another selector, port or host";
                let context = gateway.context(input.files, input.report);
                context.report(server.place, finding.help(help));
            }
        }
    }
}

/// One certificate behind several gateways: browsers reuse a connection to one of them for the other's hosts.
pub(super) fn same_certificate(input: Input<'_>) {
    let mut first: BTreeMap<(&str, &Labels, &str), &Object<Gateway>> = BTreeMap::new();
    for (gateway, server) in servers(input) {
        let ServerMode::Https(tls) = &server.mode else {
            continue;
        };
        for name in &tls.credentials {
            let namespace = gateway.meta.namespace.as_str();
            let key = (namespace, &gateway.spec.selector, name.value.as_str());
            let holder = *first.entry(key).or_insert(gateway);
            if !std::ptr::eq(holder, gateway) {
                let message = format!(
                    "{} shows certificate `{}` too: clients that reuse its HTTP/2 connections get 404",
                    holder.meta.label, name.value
                );
                let finding = Finding::warning(message).code("IST0138");
                let help = "put all hosts of a certificate into one Gateway";
                let context = gateway.context(input.files, input.report);
                context.report(name.place, finding.help(help));
            }
        }
    }
}

/// Ports that no Service in front of the gateway's workloads has. Where there is no such Service, nothing is said.
pub(super) fn not_on_service(input: Input<'_>) {
    let services = input.documents.services.iter();
    let selecting: Vec<_> = services
        .filter(|service| !service.spec.selector.is_empty())
        .collect();
    for (gateway, server) in servers(input) {
        let selector = &gateway.spec.selector;
        if selector.is_empty() {
            continue;
        }
        let in_front = selecting
            .iter()
            .filter(|service| selects(&service.spec.selector, selector));
        let ports: Vec<_> = in_front.flat_map(|service| &service.spec.ports).collect();
        let leads_here = |number: u16| match ports.as_slice() {
            [] => true,
            ports => ports.iter().any(|port| match &port.target {
                Target::Number(target) => *target == number,
                // A container's port, which is not in the documents.
                Target::Name(_) => true,
            }),
        };
        if !leads_here(server.port) {
            let message = format!(
                "no Service in front of this gateway leads to port {}",
                server.port
            );
            let finding = Finding::warning(message).code("IST0162");
            let context = gateway.context(input.files, input.report);
            let help = "add the port to the Service, as `targetPort`";
            context.report(server.place, finding.help(help));
        }
    }
}
