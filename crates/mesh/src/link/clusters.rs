//! Clusters: a service's port or a subset of it, with the settings that hold for it. Made when first asked for.

use std::collections::BTreeMap;

use super::balancing::{self, Balancing};
use super::endpoints::Candidate;
use super::registry::{Port, Registry, Service};
use super::rules::{HostRules, Rules};
use super::{Input, credentials, localities};
use crate::documents::Metadata;
use crate::documents::mesh_config::MeshConfig;
use crate::documents::traffic_policy::{INSTEAD_OF_ISTIO_MUTUAL, Pool, Tls, TlsMode};
use crate::documents::workload::selects;
use crate::hosts::HostMap;
use crate::model::{
    CertificateSource, Cluster, ClusterId, ConnectionPool, Endpoint, TlsOrigination,
    UpstreamProtocol,
};
use crate::protocol::Protocol;

/// All clusters so far.
pub(super) struct Clusters<'d> {
    pub(super) input: Input<'d>,
    pub(super) registry: &'d Registry,
    rules: Rules<'d>,
    /// By position of the service in the registry.
    host_rules: BTreeMap<usize, HostRules<'d>>,
    /// By position of the service, and port; then by subset.
    known: BTreeMap<(usize, u16), HostMap<Result<ClusterId, Unresolved>>>,
    clusters: Vec<Cluster>,
}

/// Why requests can't be sent.
#[derive(Debug, Clone)]
pub(super) enum Unresolved {
    /// No rule has the subset.
    NoSubset,
    /// Sending them would be less safe than was asked for. Says why, and what to do.
    Unsafe(String),
}

impl<'d> Clusters<'d> {
    pub(super) fn new(input: Input<'d>, registry: &'d Registry) -> Self {
        let rules = Rules::build(input);
        Self {
            input,
            registry,
            rules,
            host_rules: BTreeMap::new(),
            known: BTreeMap::new(),
            clusters: Vec::new(),
        }
    }

    pub(super) fn into_clusters(self) -> Vec<Cluster> {
        self.clusters
    }

    /// The names of a service's subsets.
    pub(super) fn subset_names(&mut self, service: usize) -> Vec<&'d str> {
        self.rules_of(service).subset_names().collect()
    }

    /// The cluster of a service's port. `subset` is empty for the whole.
    pub(super) fn cluster(
        &mut self,
        service: usize,
        port: &Port,
        subset: &str,
    ) -> Result<ClusterId, Unresolved> {
        let key = (service, port.number);
        if let Some(known) = self.known.get(&key).and_then(|known| known.get(subset)) {
            return known.clone();
        }
        let rules = self.rules_of(service);
        let service = &self.registry.services[service];
        let built = build(service, port, subset, &rules, self.input).map(|cluster| {
            let id = u32::try_from(self.clusters.len()).expect("fewer than 2^32 clusters");
            self.clusters.push(cluster);
            ClusterId(id)
        });
        let known = self.known.entry(key).or_default();
        known.insert(subset.into(), built.clone());
        built
    }

    /// The cluster of a service's port with changes of the Gateway API's, under a name of its own that ends in
    /// `variant`.
    pub(super) fn variant(
        &mut self,
        service: usize,
        port: &Port,
        variant: &str,
        change: impl FnOnce(&mut Cluster),
    ) -> Result<ClusterId, Unresolved> {
        let key = (service, port.number);
        // No subset is called so: `|` is not in names.
        if let Some(known) = self.known.get(&key).and_then(|known| known.get(variant)) {
            return known.clone();
        }
        let rules = self.rules_of(service);
        let of = &self.registry.services[service];
        let built = build(of, port, "", &rules, self.input).map(|mut cluster| {
            cluster.name.push_str(variant);
            change(&mut cluster);
            let id = u32::try_from(self.clusters.len()).expect("fewer than 2^32 clusters");
            self.clusters.push(cluster);
            ClusterId(id)
        });
        let known = self.known.entry(key).or_default();
        known.insert(variant.into(), built.clone());
        built
    }

    fn rules_of(&mut self, service: usize) -> HostRules<'d> {
        let Service {
            host, namespace, ..
        } = &self.registry.services[service];
        self.host_rules
            .entry(service)
            .or_insert_with(|| self.rules.of(host, namespace))
            .clone()
    }
}

fn build(
    service: &Service,
    port: &Port,
    subset: &str,
    rules: &HostRules<'_>,
    input: Input<'_>,
) -> Result<Cluster, Unresolved> {
    let subset_rule = match subset {
        "" => None,
        name => Some(rules.subset(name).ok_or(Unresolved::NoSubset)?),
    };
    let (policy, rule) = rules.policy(port.number, subset_rule);
    let selected = port.endpoints.iter().filter(|endpoint| match subset_rule {
        Some((subset, _)) => selects(&subset.labels, &endpoint.labels),
        None => true,
    });
    let Balancing {
        settings,
        hash,
        user_locality,
        probe_path,
        admission,
        priorities,
    } = balancing::resolve(&policy, service, input);
    let own_labels = priorities.map(|_| localities::own_labels(input.options));
    let endpoint = |candidate: &Candidate| Endpoint {
        address: candidate.address.clone(),
        weight: candidate.weight,
        locality: candidate.locality.clone(),
        priority: priorities
            .zip(own_labels.as_ref())
            .map_or(0, |(setting, own)| {
                localities::priority(setting, candidate, own)
            }),
    };
    let endpoints = selected.map(endpoint).collect();
    let config = &input.documents.mesh_config;
    let (connection_pool, upgrade) = pool(policy.connection_pool.as_ref(), config);
    let protocol = match upgrade {
        Some(true) => UpstreamProtocol::Http2,
        None if config.upgrade_to_h2 && port.protocol == Protocol::Http => UpstreamProtocol::Http2,
        // `DO_NOT_UPGRADE` is about upgrading; a port that is HTTP/2 already stays it.
        Some(false) | None => port.protocol.upstream(),
    };
    let tls = match policy.tls.zip(rule) {
        Some((tls, rule)) => origination(&tls, &rule.meta, input).map_err(Unresolved::Unsafe)?,
        None => None,
    };
    Ok(Cluster {
        name: format!("outbound|{}|{subset}|{}", port.number, service.host),
        host: service.host.clone(),
        namespace: service.namespace.clone(),
        port: port.number,
        subset: subset.to_owned(),
        protocol,
        endpoints,
        balancing: settings,
        hash,
        user_locality,
        probe_path,
        admission,
        connection_pool,
        tls,
        health_check: service.health_check.clone(),
    })
}

/// A rule's limits over the mesh's.
fn pool(rule: Option<&Pool>, config: &MeshConfig) -> (ConnectionPool, Option<bool>) {
    let mut limits = rule.map_or_else(ConnectionPool::default, |rule| rule.limits.clone());
    let has_timeout = rule.is_some_and(|rule| rule.has_connect_timeout);
    if let Some(timeout) = config.connect_timeout.filter(|_| !has_timeout) {
        limits.connect_timeout = timeout;
    }
    limits.tcp_keepalive = limits
        .tcp_keepalive
        .or_else(|| config.tcp_keepalive.clone());
    (limits, rule.and_then(|rule| rule.upgrade_to_h2))
}

/// TLS towards endpoints. What can't be done as written is not done by halves: the error says why.
fn origination(
    tls: &Tls,
    meta: &Metadata,
    input: Input<'_>,
) -> Result<Option<TlsOrigination>, String> {
    let label = &meta.label;
    match tls.mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::IstioMutual => {
            return Err(format!(
                "{label} asks for ISTIO_MUTUAL, which is not served yet; {INSTEAD_OF_ISTIO_MUTUAL}"
            ));
        }
        TlsMode::Simple | TlsMode::Mutual => {}
    }
    if tls.has_revocation_list {
        return Err(format!(
            "{label} has `caCrl`, which is not served yet; remove it to take revoked certificates too"
        ));
    }
    let context = meta.context(input.files, input.report);
    let ca;
    let mut client_certificate = None;
    if let Some(name) = &tls.credential_name {
        let named = format!("Secret `{}` of {label}", name.value);
        let Some(secret) = credentials::secret(name, meta, input) else {
            return Err(format!("{named} is not there"));
        };
        ca = credentials::ca(name, secret, meta, input);
        if ca.is_none() {
            // Anybody's certificate would do if the system's trust anchors took its place.
            let message = format!("Secret `{}` has no CA bundle (`ca.crt`)", name.value);
            context.warning(name.place, message);
            return Err(format!("{named} has no CA bundle (`ca.crt`)"));
        }
        if tls.mode == TlsMode::Mutual {
            client_certificate = credentials::certificate(name, secret, meta, input);
            if client_certificate.is_none() {
                return Err(format!("{named} has no certificate and key"));
            }
        }
    } else {
        // `system` is Istio's word for the system's trust anchors.
        let file = tls.ca_certificates.as_deref();
        let file = file.filter(|name| *name != "system");
        ca = file.map(|name| credentials::file(name, context.file));
        if tls.mode == TlsMode::Mutual
            && let (Some(chain), Some(key)) = (&tls.client_certificate, &tls.private_key)
        {
            client_certificate = Some(CertificateSource {
                chain: credentials::file(chain, context.file),
                key: credentials::file(key, context.file),
            });
        }
    }
    Ok(Some(TlsOrigination {
        sni: tls.sni.clone(),
        ca,
        client_certificate,
        subject_alt_names: tls.subject_alt_names.clone(),
        verify: tls.verify,
    }))
}
