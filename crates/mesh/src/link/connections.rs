//! Where a gateway's connections go: `tcp` and `tls` rules.

use std::collections::BTreeSet;

use super::Input;
use super::clusters::Clusters;
use super::gateways::{names, shared_host};
use super::routes::{self, Scope, gateway_name};
use crate::decode::Finding;
use crate::documents::Object;
use crate::documents::gateway::{Gateway, Server};
use crate::documents::virtual_service::{ConnectionMatch, ConnectionRule, VirtualService};
use crate::model::{TcpRoute, TlsAction, TlsServer};

/// Where a server's connections go by `tcp` rules: the first that is for it, whatever the VirtualService's hosts
/// beyond that one of them is the server's. `None` (and a finding) if there is no such rule.
pub(super) fn tcp<'d>(
    services: &[&'d Object<VirtualService>],
    gateway: &Object<Gateway>,
    server: &Server,
    scope: Scope<'_>,
    clusters: &mut Clusters<'d>,
) -> Option<TcpRoute> {
    let input = clusters.input;
    let bound = services.iter().copied();
    for service in bound.filter(|service| is_bound(service, gateway, server, input)) {
        for (position, rule) in service.spec.tcp.iter().enumerate() {
            let mut entries = rule.matches.iter();
            let fits = |entry: &ConnectionMatch| is_for(entry, service, scope);
            if rule.matches.is_empty() || entries.any(fits) {
                return Some(route(service, (position, rule), scope, clusters));
            }
        }
    }
    left_out(gateway, server, "tcp", input);
    None
}

/// The names that a pass-through server knows with where each goes: one entry for each match of a `tls` rule.
pub(super) fn passthrough<'d>(
    services: &[&'d Object<VirtualService>],
    gateway: &Object<Gateway>,
    server: &Server,
    scope: Scope<'_>,
    clusters: &mut Clusters<'d>,
) -> Vec<TlsServer> {
    let (mut servers, mut taken) = (Vec::new(), BTreeSet::new());
    let input = clusters.input;
    let bound = services.iter().copied();
    for service in bound.filter(|service| is_bound(service, gateway, server, input)) {
        for (position, rule) in service.spec.tls.iter().enumerate() {
            let entries = rule.matches.iter();
            for entry in entries.filter(|entry| is_for(entry, service, scope)) {
                let hosts = sni_hosts(entry, service, gateway, server, &mut taken, input);
                if !hosts.is_empty() {
                    let route = route(service, (position, rule), scope, clusters);
                    servers.push(TlsServer::undecrypted(hosts, TlsAction::Passthrough(route)));
                }
            }
        }
    }
    if servers.is_empty() {
        left_out(gateway, server, "tls", input);
    }
    servers
}

/// Whether a VirtualService has a host of the server.
fn is_bound(
    service: &Object<VirtualService>,
    gateway: &Object<Gateway>,
    server: &Server,
    input: Input<'_>,
) -> bool {
    let hosts = service.spec.hosts.iter();
    let mut hosts = hosts.flat_map(|host| names(host, service, input));
    hosts.any(|host| {
        let mut of_server = server.hosts.iter();
        of_server.any(|of_server| shared_host(of_server, &host, gateway, service).is_some())
    })
}

fn is_for(entry: &ConnectionMatch, service: &Object<VirtualService>, scope: Scope<'_>) -> bool {
    let namespace = &service.meta.namespace;
    let mut gateways = entry.gateways.iter();
    let at_gateway = entry.gateways.is_empty()
        || gateways.any(|gateway| gateway_name(gateway, namespace) == scope.gateway);
    at_gateway && entry.port.is_none_or(|port| port == scope.port)
}

/// The names of an entry as far as they are the server's and no earlier entry's.
fn sni_hosts(
    entry: &ConnectionMatch,
    service: &Object<VirtualService>,
    gateway: &Object<Gateway>,
    server: &Server,
    taken: &mut BTreeSet<String>,
    input: Input<'_>,
) -> Vec<String> {
    let context = service.context(input.files, input.report);
    let mut hosts = Vec::new();
    for host in &entry.sni_hosts {
        let of_server = server.hosts.iter();
        let shared =
            of_server.filter_map(|of_server| shared_host(of_server, host, gateway, service));
        let shared: Vec<_> = shared.collect();
        if shared.is_empty() {
            let message = format!(
                "no server of {} answers for `{}`",
                gateway.meta.label, host.value
            );
            context.report(host.place, Finding::warning(message).code("IST0132"));
        }
        for name in shared {
            if taken.insert(name.to_owned()) {
                hosts.push(name.to_owned());
            } else {
                let message = format!(
                    "an earlier rule has `{name}` on {} already",
                    gateway.meta.label
                );
                let finding = Finding::warning(message);
                context.report(
                    host.place,
                    finding.help("this one has no effect; remove it"),
                );
            }
        }
    }
    hosts
}

fn route(
    service: &Object<VirtualService>,
    (position, rule): (usize, &ConnectionRule),
    scope: Scope<'_>,
    clusters: &mut Clusters<'_>,
) -> TcpRoute {
    let meta = &service.meta;
    let context = service.context(clusters.input.files, clusters.input.report);
    let namespace = &meta.namespace;
    let destinations = routes::weighted(
        &rule.destinations,
        false,
        namespace,
        scope,
        context,
        clusters,
    );
    TcpRoute {
        name: format!("{namespace}/{}#{position}", meta.name),
        destinations,
        source: context.source(rule.place),
    }
}

fn left_out(gateway: &Object<Gateway>, server: &Server, rules: &str, input: Input<'_>) {
    let message = format!(
        "no VirtualService has a `{rules}` rule for it: its connections on port {} are refused",
        server.port
    );
    let context = gateway.context(input.files, input.report);
    context.warning(server.place, message);
}
