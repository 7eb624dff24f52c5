//! The listener that routes by `Host` to every service, as a sidecar would.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Input;
use super::clusters::{Clusters, Unresolved};
use super::gateway_api::MeshRules;
use super::registry::{Port, Service};
use super::routes::{self, Scope};
use super::view::View;
use crate::decode::Finding;
use crate::documents::Object;
use crate::documents::sidecar::{Outbound, OutboundPolicy};
use crate::documents::virtual_service::{MESH, VirtualService, default_retries};
use crate::hosts::{HostTable, fully_qualified, is_subset, pattern_rank};
use crate::model::{
    Action, HeaderEdits, Listener, ListenerKind, NoCluster, Route, VirtualHost, VirtualHostId,
    WeightedDestination,
};

/// Istio's port for a sidecar's outbound traffic.
const PORT: u16 = 15001;

/// What a VirtualService without a service of its name is taken to be on.
const PORT_WITHOUT_SERVICE: u16 = 80;

/// `None` if there is nothing to route to.
pub(super) fn listener<'d>(
    input: Input<'d>,
    rules: &MeshRules<'_>,
    clusters: &mut Clusters<'d>,
) -> Option<Listener> {
    let view = View::new(input);
    let claims = Claims::build(input, &view);
    let mut hosts = HostTable::default();
    let registry = clusters.registry;
    let mut short_names = ShortNames::default();
    let seen = |service: &&Service| {
        let mut ports = service.ports.iter();
        ports.any(|port| view.sees(service, port.number))
    };
    for service in registry.services.iter().filter(seen) {
        short_names.claim(service, input.options.own_namespace());
    }
    let mut local_names: Vec<(String, u16, VirtualHostId)> = Vec::new();
    for (position, service) in registry.services.iter().enumerate() {
        let names = short_names.of(service);
        let local_name = short_names.local(service);
        let ports = service.ports.iter();
        let ports = ports.filter(|port| port.protocol.is_http() && view.sees(service, port.number));
        for port in ports {
            let virtual_host = virtual_host(position, service, port, &claims, rules, clusters);
            let id = hosts.push(virtual_host);
            if let Some(name) = &local_name {
                local_names.push((name.clone(), port.number, id));
            }
            for name in &names {
                hosts.name(name, Some(port.number), id);
                // The first port is the one for a `Host` without a port.
                hosts.name(name, None, id);
            }
        }
    }
    let seen_hosts = registry.services.iter().filter(seen);
    let seen_hosts = seen_hosts.map(|service| service.host.as_str());
    for (host, object) in claims.without_service(seen_hosts) {
        let scope = Scope {
            gateway: MESH,
            port: PORT_WITHOUT_SERVICE,
            is_tls: false,
            client: input.options.own_namespace(),
        };
        let routes = routes::build(object, scope, clusters);
        if !routes.is_empty() {
            let id = hosts.push(VirtualHost {
                name: object_name(object),
                routes,
                ..VirtualHost::default()
            });
            hosts.name(host, None, id);
        }
    }
    // Last, so that they take nothing from what is written, be it by a wildcard.
    local_names.retain(|(name, ..)| hosts.lookup(name, PORT).is_none());
    for (name, port, id) in local_names {
        hosts.name(&name, Some(port), id);
        hosts.name(&name, None, id);
    }
    if let Some(outbound) = view.outbound()
        && outbound.policy == OutboundPolicy::RegistryOnly
    {
        block_all(&mut hosts, outbound);
    }
    (!hosts.is_empty()).then(|| Listener {
        name: MESH.to_owned(),
        kind: ListenerKind::Mesh,
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: PORT,
        tls: None,
        hosts,
        server_hosts: Vec::new(),
        tcp: Vec::new(),
    })
}

/// 502 for hosts that nobody has, as a sidecar answers with `REGISTRY_ONLY`.
fn block_all(hosts: &mut HostTable, outbound: &Outbound) {
    let route = Route {
        name: "block_all".to_owned(),
        matches: Vec::new(),
        action: Action::DirectResponse {
            status: 502,
            body: Arc::default(),
        },
        headers: HeaderEdits::default(),
        timeout: None,
        retries: default_retries(),
        rewrite: None,
        fault: None,
        mirrors: Vec::new(),
        cors: None,
        source: outbound.source.clone(),
    };
    let id = hosts.push(VirtualHost {
        name: "block_all".to_owned(),
        routes: vec![Arc::new(route)],
        ..VirtualHost::default()
    });
    hosts.name("*", None, id);
}

fn object_name(object: &Object<VirtualService>) -> String {
    format!("{}/{}", object.meta.namespace, object.meta.name)
}

fn virtual_host<'d>(
    position: usize,
    service: &Service,
    port: &Port,
    claims: &Claims<'d>,
    rules: &MeshRules<'_>,
    clusters: &mut Clusters<'d>,
) -> VirtualHost {
    if let Some(name) = &service.kubernetes_name
        && let Some((name, routes)) = rules.of(&service.namespace, name, port.number, clusters)
    {
        return VirtualHost {
            name,
            routes,
            ..VirtualHost::default()
        };
    }
    if let Some(object) = claims.of(&service.host) {
        let scope = Scope {
            gateway: MESH,
            port: port.number,
            is_tls: false,
            client: clusters.input.options.own_namespace(),
        };
        let routes = routes::build(object, scope, clusters);
        if !routes.is_empty() {
            return VirtualHost {
                name: object_name(object),
                routes,
                ..VirtualHost::default()
            };
        }
    }
    let cluster = clusters
        .cluster(position, port, "")
        .map_err(|missing| match missing {
            Unresolved::Unsafe(why) => NoCluster::unavailable(why),
            Unresolved::NoSubset => {
                NoCluster::unavailable("the whole service is a subset that is missing".to_owned())
            }
        });
    let destination = WeightedDestination {
        weight: 1,
        cluster,
        headers: HeaderEdits::default(),
        filters: None,
    };
    let route = Route {
        name: "default".to_owned(),
        matches: Vec::new(),
        action: Action::Forward(vec![destination]),
        headers: HeaderEdits::default(),
        timeout: None,
        retries: clusters.input.documents.mesh_config.retries.clone(),
        rewrite: None,
        fault: None,
        mirrors: Vec::new(),
        cors: None,
        source: service.source.clone(),
    };
    VirtualHost {
        name: service.host.clone(),
        routes: vec![Arc::new(route)],
        ..VirtualHost::default()
    }
}

/// Which VirtualService has a host on the mesh listener: the first, as routes are not merged there.
struct Claims<'d> {
    by_host: BTreeMap<String, &'d Object<VirtualService>>,
}

impl<'d> Claims<'d> {
    fn build(input: Input<'d>, view: &View<'d>) -> Self {
        let mut by_host: BTreeMap<String, &Object<VirtualService>> = BTreeMap::new();
        for object in &input.documents.virtual_services {
            let in_mesh = object
                .spec
                .gateways
                .iter()
                .any(|gateway| gateway.value == MESH);
            if !in_mesh || object.spec.http.is_empty() || !view.sees_rules(object) {
                continue;
            }
            for host in &object.spec.hosts {
                let full =
                    fully_qualified(host, &object.meta.namespace, &input.options.cluster_domain);
                let first = *by_host.entry(full.clone()).or_insert(object);
                if !std::ptr::eq(first, object) {
                    let message = format!(
                        "{} has host {full} already: these rules have no effect in the mesh",
                        first.meta.label
                    );
                    let finding = Finding::warning(message)
                        .code("IST0109")
                        .help("move the rules into one VirtualService");
                    object
                        .context(input.files, input.report)
                        .report(host.place, finding);
                }
            }
        }
        Self { by_host }
    }

    /// The VirtualService for a host: by its name, else by the longest wildcard.
    fn of(&self, host: &str) -> Option<&'d Object<VirtualService>> {
        let by_wildcard = || {
            let wildcards = self
                .by_host
                .iter()
                .take_while(|(pattern, _)| pattern.starts_with('*'));
            let fitting = wildcards
                .filter_map(|(pattern, object)| Some((pattern_rank(pattern, host)?, *object)));
            fitting
                .max_by_key(|(rank, _)| *rank)
                .map(|(_, object)| object)
        };
        self.by_host.get(host).copied().or_else(by_wildcard)
    }

    /// Hosts that no service has.
    fn without_service<'s>(
        &self,
        services: impl Iterator<Item = &'s str>,
    ) -> impl Iterator<Item = (&str, &'d Object<VirtualService>)> {
        let services: Vec<_> = services.collect();
        self.by_host.iter().filter_map(move |(host, object)| {
            let known = match host.starts_with('*') {
                true => services.iter().any(|service| is_subset(service, host)),
                false => services.binary_search(&host.as_str()).is_ok(),
            };
            (!known).then_some((host.as_str(), *object))
        })
    }
}

/// `name` alone, for each Kubernetes service; of services in several namespaces the default namespace's has it,
/// else the first's by name.
#[derive(Default)]
struct ShortNames {
    holders: BTreeMap<String, (bool, String)>,
}

impl ShortNames {
    fn claim(&mut self, service: &Service, default_namespace: &str) {
        let Some(name) = &service.kubernetes_name else {
            return;
        };
        let rank = (
            service.namespace != default_namespace,
            service.namespace.clone(),
        );
        let holder = self
            .holders
            .entry(name.clone())
            .or_insert_with(|| rank.clone());
        if rank < *holder {
            *holder = rank;
        }
    }

    /// All names of a service.
    fn of(&self, service: &Service) -> Vec<String> {
        let mut names = vec![service.host.clone()];
        if let Some(name) = &service.kubernetes_name {
            let namespace = &service.namespace;
            names.push(format!("{name}.{namespace}.svc"));
            names.push(format!("{name}.{namespace}"));
            if self.has_short_name(service) {
                names.push(name.clone());
            }
        }
        names
    }

    /// `name.localhost`, which browsers and curl send to this machine by themselves (RFC 6761 section 6.3), so that
    /// `curl http://reviews.localhost:15001/` needs no `Host`.
    fn local(&self, service: &Service) -> Option<String> {
        let name = service.kubernetes_name.as_ref()?;
        self.has_short_name(service)
            .then(|| format!("{name}.localhost"))
    }

    fn has_short_name(&self, service: &Service) -> bool {
        let name = service.kubernetes_name.as_ref();
        name.and_then(|name| self.holders.get(name))
            .is_some_and(|(_, holder)| *holder == service.namespace)
    }
}
