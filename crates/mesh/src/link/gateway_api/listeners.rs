//! Listeners of Gateways: one for each port and address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ::gateway_api::{Backend, Listener as Attached, Protocol, StreamRule, Termination};

use super::super::clusters::Clusters;
use super::destinations::{Towards, error};
use super::filters::OfListener;
use super::hosts::{Patterns, pattern};
use super::routes::Routes;
use super::{Linked, tls, warning};
use crate::hosts::HostTable;
use crate::model::{
    ClientAuth, HeaderEdits, Listener, ListenerKind, TcpRoute, TlsAction, TlsServer,
    TlsTermination, WeightedDestination,
};

/// What is told apart on a port by its first bytes: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Http,
    Tls,
    Tcp,
}

fn transport(protocol: &Protocol) -> Transport {
    match protocol {
        Protocol::Http => Transport::Http,
        Protocol::Https(_)
        | Protocol::TlsTerminate(_)
        | Protocol::TlsPassthrough
        | Protocol::TlsRefused => Transport::Tls,
        Protocol::Tcp => Transport::Tcp,
    }
}

pub(super) fn add(linked: &Linked, clusters: &mut Clusters<'_>, listeners: &mut Vec<Listener>) {
    let mut ports: BTreeMap<(u16, Option<IpAddr>), Vec<&Attached>> = BTreeMap::new();
    for listener in &linked.attached.listeners {
        let chosen = listener.addresses.iter().copied().map(Some);
        let any = listener.addresses.is_empty().then_some(None);
        for address in chosen.chain(any) {
            ports
                .entry((listener.port, address))
                .or_default()
                .push(listener);
        }
    }
    for ((port, address), shared) in ports {
        let taken = listeners
            .iter()
            .find(|listener| (listener.port, listener.address) == (port, address));
        if let Some(taken) = taken {
            let name = taken.name.clone();
            for listener in shared {
                left_out(listener, &name, clusters);
            }
            continue;
        }
        // One that only keeps its name from others must not keep them from the port.
        let mut served = shared.iter();
        let served = served.find(|listener| listener.protocol != Protocol::TlsRefused);
        let first = transport(&served.unwrap_or(&shared[0]).protocol);
        let (fitting, others): (Vec<_>, Vec<_>) = shared
            .into_iter()
            .partition(|listener| transport(&listener.protocol) == first);
        let name = name(&fitting, port, address);
        for listener in others {
            left_out(listener, &name, clusters);
        }
        let listener = build(linked, first, &fitting, clusters);
        listeners.push(Listener {
            name,
            address,
            port,
            ..listener
        });
    }
    listeners.sort_by_key(|listener| (listener.port, listener.address));
}

fn name(shared: &[&Attached], port: u16, address: Option<IpAddr>) -> String {
    let mut names: Vec<String> = Vec::new();
    for listener in shared {
        let name = listener.gateway.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let names = names.join(",");
    match address {
        None => format!("gateway {names}:{port}"),
        Some(address) => format!(
            "gateway {names} {}",
            std::net::SocketAddr::new(address, port)
        ),
    }
}

/// Another Gateway has the port. In a cluster each Gateway has an address of its own.
fn left_out(listener: &Attached, taken: &str, clusters: &Clusters<'_>) {
    let message = format!(
        "listener `{}` is left out: its port and address are already those of {taken}, which speaks something else",
        listener.section
    );
    let mut diagnostic = warning(
        &listener.source,
        format!("Gateway {}", listener.gateway),
        message,
    );
    diagnostic.help = Some("give the Gateway an address of its own in `spec.addresses`".to_owned());
    clusters.input.report.add(diagnostic);
}

fn build(
    linked: &Linked,
    transport: Transport,
    shared: &[&Attached],
    clusters: &mut Clusters<'_>,
) -> Listener {
    let mut all = Patterns::default();
    let (mut servers, mut server_hosts, mut tcp) = (Vec::new(), Vec::new(), Vec::new());
    for listener in shared {
        let client_certificate = listener.backend_client_certificate.as_ref();
        let client_certificate = client_certificate.map(|secret| (secret, &listener.gateway));
        let mut routes = Routes {
            linked,
            listener: OfListener {
                port: Some(listener.port),
                is_tls: transport == Transport::Tls,
            },
            client_certificate,
            made: BTreeMap::new(),
        };
        let towards = Towards {
            linked,
            is_grpc: false,
            client_certificate,
        };
        match &listener.protocol {
            Protocol::Http => {
                all.extend(&Patterns::of(listener, shared, &mut routes, clusters));
            }
            Protocol::Https(settings) => {
                let own = Patterns::of(listener, shared, &mut routes, clusters);
                all.extend(&own);
                let hosts = vec![pattern(listener).to_owned()];
                servers.push(server(hosts, Some(settings), TlsAction::Http, clusters));
                server_hosts.push(own.table());
            }
            Protocol::TlsRefused => {
                servers.push(TlsServer::refusing(vec![pattern(listener).to_owned()]));
                server_hosts.push(HostTable::default());
            }
            Protocol::TlsTerminate(_) | Protocol::TlsPassthrough => {
                let of_streams = streams(listener, towards, clusters);
                server_hosts.extend(of_streams.iter().map(|_| HostTable::default()));
                servers.extend(of_streams);
            }
            Protocol::Tcp => {
                let rules = listener.streams.iter();
                tcp.extend(rules.map(|rule| tcp_route(rule, towards, clusters)));
                if listener.streams.is_empty() {
                    tcp.push(nowhere(listener));
                }
            }
        }
    }
    Listener {
        name: String::new(),
        kind: ListenerKind::Gateway,
        address: None,
        port: 0,
        tls: (transport == Transport::Tls).then(|| TlsTermination::new(servers)),
        hosts: all.table(),
        server_hosts,
        tcp,
    }
}

/// A TLS listener's server names, each with where its connections go.
fn streams(
    listener: &Attached,
    towards: Towards<'_>,
    clusters: &mut Clusters<'_>,
) -> Vec<TlsServer> {
    let termination = match &listener.protocol {
        Protocol::TlsTerminate(settings) => Some(settings),
        _ => None,
    };
    let action = |route| match termination {
        Some(_) => TlsAction::Tcp(route),
        None => TlsAction::Passthrough(route),
    };
    let mut servers = Vec::new();
    for rule in &listener.streams {
        let hosts = match rule.hostnames.as_slice() {
            [] => vec![pattern(listener).to_owned()],
            names => names.to_vec(),
        };
        let route = tcp_route(rule, towards, clusters);
        servers.push(server(hosts, termination, action(route), clusters));
    }
    // Last, so that no wider listener answers for a name that no route has.
    let hosts = vec![pattern(listener).to_owned()];
    servers.push(server(
        hosts,
        termination,
        action(nowhere(listener)),
        clusters,
    ));
    servers
}

fn server(
    hosts: Vec<String>,
    termination: Option<&Termination>,
    action: TlsAction,
    clusters: &Clusters<'_>,
) -> TlsServer {
    let input = clusters.input;
    let alpn = match &action {
        TlsAction::Http => vec!["h2".to_owned(), "http/1.1".to_owned()],
        TlsAction::Tcp(_) | TlsAction::Passthrough(_) | TlsAction::Refuse => Vec::new(),
    };
    TlsServer {
        hosts,
        certificates: termination.map_or(Vec::new(), |tls| tls::certificates(tls, input)),
        client_auth: termination.map_or(ClientAuth::None, |of| {
            tls::client_auth(of.client_validation.as_ref(), input)
        }),
        min_version: None,
        max_version: None,
        alpn,
        action,
    }
}

fn tcp_route(rule: &StreamRule, towards: Towards<'_>, clusters: &mut Clusters<'_>) -> TcpRoute {
    let listener = OfListener {
        port: None,
        is_tls: false,
    };
    let backends: &[Backend] = &rule.backends;
    TcpRoute {
        name: match &rule.name {
            Some(name) => name.clone(),
            None => format!("{}#{}", rule.route, rule.index),
        },
        destinations: towards.destinations(backends, listener, clusters),
        source: rule.source.clone(),
    }
}

/// For connections that no route takes: they are closed.
fn nowhere(listener: &Attached) -> TcpRoute {
    TcpRoute {
        name: format!("{}/{} without a route", listener.gateway, listener.section),
        destinations: vec![WeightedDestination {
            weight: 1,
            cluster: Err(error("no route is attached to the listener for this name")),
            headers: HeaderEdits::default(),
            filters: None,
        }],
        source: listener.source.clone(),
    }
}
