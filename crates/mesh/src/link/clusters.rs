//! Clusters: a service's port or a subset of it, with the settings that hold for it. Made when first asked for.

use std::collections::BTreeMap;

use super::endpoints::Candidate;
use super::registry::{Port, Registry, Service};
use super::rules::{HostRules, Rules};
use super::{Input, credentials};
use crate::documents::Metadata;
use crate::documents::traffic_policy::{Tls, TlsMode};
use crate::documents::workload::selects;
use crate::hosts::HostMap;
use crate::model::{
    CertificateSource, Cluster, ClusterId, ConnectionPool, Endpoint, TlsOrigination,
    UpstreamProtocol,
};

/// All clusters so far.
pub(super) struct Clusters<'d> {
    pub(super) input: Input<'d>,
    pub(super) registry: &'d Registry,
    rules: Rules<'d>,
    /// By position of the service in the registry.
    host_rules: BTreeMap<usize, HostRules<'d>>,
    /// By position of the service, and port; then by subset.
    known: BTreeMap<(usize, u16), HostMap<ClusterId>>,
    clusters: Vec<Cluster>,
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

    /// The cluster of a service's port. `subset` is empty for the whole; `None` if there is no such subset.
    pub(super) fn cluster(
        &mut self,
        service_position: usize,
        port: &Port,
        subset: &str,
    ) -> Option<ClusterId> {
        let key = (service_position, port.number);
        if let Some(id) = self.known.get(&key).and_then(|known| known.get(subset)) {
            return Some(*id);
        }
        let service = &self.registry.services[service_position];
        let name = format!("outbound|{}|{subset}|{}", port.number, service.host);
        let rules = self.rules_of(service_position);
        let cluster = build(service, port, subset, name, &rules, self.input)?;
        let id = ClusterId(u32::try_from(self.clusters.len()).expect("fewer than 2^32 clusters"));
        self.clusters.push(cluster);
        self.known.entry(key).or_default().insert(subset.into(), id);
        Some(id)
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
    name: String,
    rules: &HostRules<'_>,
    input: Input<'_>,
) -> Option<Cluster> {
    let subset_rule = match subset {
        "" => None,
        name => Some(rules.subset(name)?),
    };
    let (policy, rule) = rules.policy(port.number, subset_rule);
    let selected = port.endpoints.iter().filter(|endpoint| match subset_rule {
        Some((subset, _)) => selects(&subset.labels, &endpoint.labels),
        None => true,
    });
    let endpoints = selected.map(Candidate::endpoint).collect();
    let defaults = alba::Settings::default();
    let algorithm = policy
        .load_balancer
        .and_then(|balancer| balancer.policy)
        .unwrap_or(defaults.policy);
    let ejection = policy.outlier_detection.or(defaults.outlier_detection);
    let (connection_pool, upgrade) = match policy.connection_pool {
        Some(pool) => (pool.limits, pool.upgrade_to_h2),
        None => (ConnectionPool::default(), None),
    };
    let protocol = match upgrade {
        Some(true) => UpstreamProtocol::Http2,
        // `DO_NOT_UPGRADE` is about upgrading; a port that is HTTP/2 already stays it.
        Some(false) | None => port.protocol.upstream(),
    };
    let tls = policy
        .tls
        .zip(rule)
        .and_then(|(tls, rule)| origination(&tls, &rule.meta, input));
    Some(Cluster {
        name,
        host: service.host.clone(),
        namespace: service.namespace.clone(),
        port: port.number,
        subset: subset.to_owned(),
        protocol,
        endpoints,
        balancing: alba::Settings::new(algorithm, ejection),
        connection_pool,
        tls,
        health_check: service.health_check.clone(),
    })
}

impl Candidate {
    fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: self.address.clone(),
            weight: self.weight,
            locality: self.locality.clone(),
        }
    }
}

/// TLS towards endpoints. With a `Secret` that is missing nothing gets weaker: without its CA the system's are
/// asked, and without the client's certificate the server refuses.
fn origination(tls: &Tls, meta: &Metadata, input: Input<'_>) -> Option<TlsOrigination> {
    if matches!(tls.mode, TlsMode::Disable | TlsMode::IstioMutual) {
        return None;
    }
    let document = std::sync::Arc::clone(meta.context(input.files, input.report).file);
    // Istio's word for the system's trust anchors.
    let ca_file = tls
        .ca_certificates
        .as_deref()
        .filter(|name| *name != "system");
    let mut ca = ca_file.map(|name| credentials::file(name, &document));
    let mut client_certificate = None;
    if let Some(name) = &tls.credential_name {
        if let Some(secret) = credentials::secret(name, meta, input) {
            ca = credentials::ca(name, secret, meta, input);
            if tls.mode == TlsMode::Mutual {
                client_certificate = credentials::certificate(name, secret, meta, input);
            }
        }
    } else if tls.mode == TlsMode::Mutual
        && let (Some(chain), Some(key)) = (&tls.client_certificate, &tls.private_key)
    {
        let (chain, key) = (
            credentials::file(chain, &document),
            credentials::file(key, &document),
        );
        client_certificate = Some(CertificateSource { chain, key });
    }
    Some(TlsOrigination {
        sni: tls.sni.clone(),
        ca,
        client_certificate,
        subject_alt_names: tls.subject_alt_names.clone(),
        verify: tls.verify,
    })
}
