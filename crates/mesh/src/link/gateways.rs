//! Listeners of `Gateway`s.

mod hosts;
mod tls;

use std::collections::BTreeMap;
use std::net::IpAddr;

use hosts::Hosts;
use tls::tls_server;

use super::clusters::Clusters;
use super::routes::{Scope, gateway_name};
use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::documents::gateway::{Gateway, Server, ServerHost, ServerMode};
use crate::documents::virtual_service::{MESH, VirtualService};
use crate::documents::workload::selects;
use crate::documents::{Metadata, Object};
use crate::hosts::{fully_qualified, intersection};
use crate::model::{Listener, ListenerKind, TlsTermination};

/// Servers that share a port and address.
type Shared<'d> = Vec<(&'d Object<Gateway>, &'d Server)>;

/// One listener per port and address, in that order.
pub(super) fn listeners<'d>(input: Input<'d>, clusters: &mut Clusters<'d>) -> Vec<Listener> {
    let attached = attached(input);
    let mut ports: BTreeMap<(u16, Option<IpAddr>), Shared<'d>> = BTreeMap::new();
    for gateway in &input.documents.gateways {
        let served = input
            .options
            .labels
            .as_ref()
            .is_none_or(|labels| selects(&gateway.spec.selector, labels));
        for server in gateway.spec.servers.iter().filter(|_| served) {
            ports
                .entry((server.port, server.address))
                .or_default()
                .push((gateway, server));
        }
    }
    let listener = |(key, shared)| listener(key, shared, &attached, clusters);
    ports.into_iter().filter_map(listener).collect()
}

/// VirtualServices by the full name of a gateway they name. Missing gateways are reported.
fn attached<'d>(input: Input<'d>) -> BTreeMap<String, Vec<&'d Object<VirtualService>>> {
    let name = |meta: &Metadata| format!("{}/{}", meta.namespace, meta.name);
    let gateways: BTreeMap<_, _> = input
        .documents
        .gateways
        .iter()
        .map(|gateway| (name(&gateway.meta), gateway))
        .collect();
    let mut attached: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for service in &input.documents.virtual_services {
        let context = service.context(input.files, input.report);
        let mut found = Vec::new();
        for written in service
            .spec
            .gateways
            .iter()
            .filter(|gateway| gateway.value != MESH)
        {
            let full = gateway_name(written, &service.meta.namespace);
            match gateways.get(&full) {
                None => {
                    let finding =
                        Finding::warning(format!("Gateway {full} is not there")).code(NOT_FOUND);
                    context.report(written.place, finding);
                }
                Some(gateway) => found.push(*gateway),
            }
            attached.entry(full).or_default().push(service);
        }
        report_foreign_hosts(service, &found, input);
    }
    attached
}

/// Hosts of a VirtualService that no server of its gateways answers for.
fn report_foreign_hosts(
    service: &Object<VirtualService>,
    gateways: &[&Object<Gateway>],
    input: Input<'_>,
) {
    let in_mesh = service
        .spec
        .gateways
        .iter()
        .any(|gateway| gateway.value == MESH);
    // A gateway all of whose servers are left out has been warned about.
    let served = gateways
        .iter()
        .any(|gateway| !gateway.spec.servers.is_empty());
    if in_mesh || !served || service.spec.http.is_empty() {
        return;
    }
    for host in &service.spec.hosts {
        let answers = |gateway: &&Object<Gateway>| {
            let mut hosts = gateway.spec.servers.iter().flat_map(|server| &server.hosts);
            let names = names(host, service, input);
            hosts.any(|server| {
                let mut names = names.iter();
                names.any(|name| shared_host(server, name, gateway, service).is_some())
            })
        };
        if !gateways.iter().any(answers) {
            let finding = Finding::warning(format!(
                "no server of its gateways answers for host `{}`",
                host.value
            ));
            service
                .context(input.files, input.report)
                .report(host.place, finding.code("IST0132"));
        }
    }
}

/// A VirtualService's host as clients may write it. Istio completes a short name here too; we let the short one
/// stand beside it, so that `hosts: [localhost]` is reached as `localhost`.
fn names(host: &str, service: &Object<VirtualService>, input: Input<'_>) -> Vec<String> {
    let full = fully_qualified(host, &service.meta.namespace, &input.options.cluster_domain);
    if full == host {
        vec![full]
    } else {
        vec![full, host.to_owned()]
    }
}

/// The names that a VirtualService's host has on a server, if any.
fn shared_host<'h>(
    server: &'h ServerHost,
    host: &'h str,
    gateway: &Object<Gateway>,
    service: &Object<VirtualService>,
) -> Option<&'h str> {
    let namespace = &service.meta.namespace;
    let visible = match server.namespace.as_deref() {
        None => true,
        Some(".") => *namespace == gateway.meta.namespace,
        Some(only) => namespace == only,
    };
    visible.then(|| intersection(&server.host, host)).flatten()
}

fn listener<'d>(
    (port, address): (u16, Option<IpAddr>),
    shared: Shared<'d>,
    attached: &BTreeMap<String, Vec<&'d Object<VirtualService>>>,
    clusters: &mut Clusters<'d>,
) -> Option<Listener> {
    let input = clusters.input;
    let is_tls = matches!(shared.first()?.1.mode, ServerMode::Https(_));
    let (mut all, mut tls, mut server_hosts, mut names) =
        (Hosts::default(), Vec::new(), Vec::new(), Vec::new());
    for (gateway, server) in shared {
        let full_name = format!("{}/{}", gateway.meta.namespace, gateway.meta.name);
        if matches!(server.mode, ServerMode::Https(_)) != is_tls {
            let message = format!(
                "port {port} is already used by {}: plain text and TLS can't share it",
                names.join(",")
            );
            let context = gateway.context(input.files, input.report);
            context.report(
                server.place,
                Finding::warning(message).help("the server is left out; give it another port"),
            );
            continue;
        }
        let mut own = Hosts::default();
        match &server.mode {
            ServerMode::Http {
                https_redirect: true,
            } => own.redirect(server, gateway, input),
            ServerMode::Http {
                https_redirect: false,
            } => {}
            ServerMode::Https(settings) => match tls_server(settings, server, gateway, input) {
                Some(settings) => tls.push(settings),
                None => continue,
            },
        }
        let scope = Scope {
            gateway: &full_name,
            port,
            is_tls,
        };
        for service in attached.get(&full_name).into_iter().flatten() {
            own.add(service, gateway, server, scope, clusters);
        }
        all.extend(&own);
        if is_tls {
            server_hosts.push(own.table());
        }
        if !names.contains(&full_name) {
            names.push(full_name);
        }
    }
    if names.is_empty() {
        return None;
    }
    Some(Listener {
        name: format!("gateway {}:{port}", names.join(",")),
        kind: ListenerKind::Gateway,
        address,
        port,
        tls: is_tls.then_some(TlsTermination { servers: tls }),
        hosts: all.table(),
        server_hosts,
        tcp: Vec::new(),
    })
}
