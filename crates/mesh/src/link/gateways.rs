//! Listeners of `Gateway`s.

mod hosts;
mod tls;

use std::collections::BTreeMap;
use std::net::IpAddr;

use hosts::Hosts;
use tls::tls_server;

use super::clusters::Clusters;
use super::connections;
use super::routes::{Scope, gateway_name};
use super::view::rules_are_exported;
use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::documents::gateway::{Gateway, Server, ServerHost, ServerMode, Transport};
use crate::documents::virtual_service::{MESH, VirtualService};
use crate::documents::workload::selects;
use crate::documents::{Metadata, Object};
use crate::hosts::{HostTable, fully_qualified, intersection};
use crate::model::{Listener, ListenerKind, TcpRoute, TlsAction, TlsServer, TlsTermination};

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
                Some(gateway) => {
                    let client = client_of(gateway, input);
                    if !rules_are_exported(service, client, input) {
                        let message = format!(
                            "the VirtualService is not exported to namespace {client} of Gateway {full}: it has no effect there"
                        );
                        context.report(written.place, Finding::warning(message));
                        continue;
                    }
                    found.push(*gateway);
                }
            }
            attached.entry(full).or_default().push(service);
        }
        report_foreign_hosts(service, &found, input);
    }
    attached
}

/// The namespace that a gateway's clients are taken to be in: this dispatcher's, or if that is not known the
/// gateway's, beside which it most often runs.
fn client_of<'d>(gateway: &'d Object<Gateway>, input: Input<'d>) -> &'d str {
    let own = input.options.namespace.as_deref();
    own.unwrap_or(&gateway.meta.namespace)
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
    if in_mesh || !served {
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
pub(super) fn names(host: &str, service: &Object<VirtualService>, input: Input<'_>) -> Vec<String> {
    let full = fully_qualified(host, &service.meta.namespace, &input.options.cluster_domain);
    if full == host {
        vec![full]
    } else {
        vec![full, host.to_owned()]
    }
}

/// The names that a VirtualService's host has on a server, if any.
pub(super) fn shared_host<'h>(
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
    let transport = shared.first()?.1.mode.transport();
    let mut parts = Parts::default();
    for (gateway, server) in shared {
        let full_name = format!("{}/{}", gateway.meta.namespace, gateway.meta.name);
        let own = server.mode.transport();
        if own != transport || own == Transport::Tcp && !parts.tcp.is_empty() {
            let taken = parts.names.join(",");
            report_conflict(gateway, server, &taken, transport, clusters.input);
            continue;
        }
        let client = client_of(gateway, clusters.input);
        let services = attached.get(&full_name).map_or(&[][..], Vec::as_slice);
        let scope = Scope {
            gateway: &full_name,
            port,
            is_tls: transport == Transport::Tls,
            client,
        };
        if parts.add(gateway, server, services, scope, clusters)
            && !parts.names.contains(&full_name)
        {
            parts.names.push(full_name);
        }
    }
    if parts.names.is_empty() {
        return None;
    }
    Some(Listener {
        name: format!("gateway {}:{port}", parts.names.join(",")),
        kind: ListenerKind::Gateway,
        address,
        port,
        tls: (transport == Transport::Tls).then(|| TlsTermination::new(parts.tls)),
        hosts: parts.hosts.table(),
        server_hosts: parts.server_hosts,
        tcp: parts.tcp,
    })
}

fn report_conflict(
    gateway: &Object<Gateway>,
    server: &Server,
    taken: &str,
    transport: Transport,
    input: Input<'_>,
) {
    let (port, own) = (server.port, server.mode.transport());
    let why = if own == transport {
        "plain TCP has no names to tell its servers apart".to_owned()
    } else {
        format!("{transport} and {own} can't share it")
    };
    let message = format!("port {port} is already used by {taken}: {why}");
    let context = gateway.context(input.files, input.report);
    let help = "the server is left out; give it another port";
    context.report(server.place, Finding::warning(message).help(help));
}

/// What a listener is put together from.
#[derive(Default)]
struct Parts {
    names: Vec<String>,
    hosts: Hosts,
    tls: Vec<TlsServer>,
    /// As many as `tls`.
    server_hosts: Vec<HostTable>,
    tcp: Vec<TcpRoute>,
}

/// What a server's names meet that it does not serve.
fn refusing(server: &Server) -> TlsServer {
    let hosts = server.hosts.iter().map(|host| host.host.clone());
    TlsServer::refusing(hosts.collect())
}

impl Parts {
    /// Takes in TLS servers whose connections carry no requests for us.
    fn without_requests(&mut self, servers: impl IntoIterator<Item = TlsServer>) {
        for server in servers {
            self.tls.push(server);
            self.server_hosts.push(HostTable::default());
        }
    }

    /// Takes in a server; false if it can't be served.
    fn add<'d>(
        &mut self,
        gateway: &Object<Gateway>,
        server: &Server,
        services: &[&'d Object<VirtualService>],
        scope: Scope<'_>,
        clusters: &mut Clusters<'d>,
    ) -> bool {
        let input = clusters.input;
        let tls = match &server.mode {
            ServerMode::Http { .. } => None,
            ServerMode::Https(settings) => {
                let tls = tls_server(settings, server, gateway, TlsAction::Http, input);
                if tls.action == TlsAction::Refuse {
                    self.without_requests([tls]);
                    return true;
                }
                Some(tls)
            }
            ServerMode::TcpOverTls(settings) => {
                let route = connections::tcp(services, gateway, server, scope, clusters);
                let tls = route.map(|route| {
                    tls_server(settings, server, gateway, TlsAction::Tcp(route), input)
                });
                self.without_requests([tls.unwrap_or_else(|| refusing(server))]);
                return true;
            }
            ServerMode::Passthrough => {
                let tls = connections::passthrough(services, gateway, server, scope, clusters);
                // Names that no rule has are this server's all the same.
                self.without_requests(tls.into_iter().chain([refusing(server)]));
                return true;
            }
            ServerMode::Tcp => {
                let route = connections::tcp(services, gateway, server, scope, clusters);
                let is_served = route.is_some();
                self.tcp.extend(route);
                return is_served;
            }
        };
        let mut own = Hosts::default();
        if let ServerMode::Http {
            https_redirect: true,
        } = server.mode
        {
            own.redirect(server, gateway, input);
        }
        for service in services {
            own.add(service, gateway, server, scope, clusters);
        }
        self.hosts.extend(&own);
        if let Some(tls) = tls {
            self.tls.push(tls);
            self.server_hosts.push(own.table());
        }
        true
    }
}
