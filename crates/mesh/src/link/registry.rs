//! Every service by host name, with its ports and the endpoints behind each.

use std::sync::Arc;

use super::Input;
use super::endpoints::{Candidate, Slices, Workloads, at_port, candidate, without_duplicates};
use super::view::is_exported;
use crate::Source;
use crate::decode::Finding;
use crate::documents::Object;
use crate::documents::export_to::ExportTo;
use crate::documents::service::{self, Target};
use crate::documents::service_entry::{self, Resolution, ServiceEntry};
use crate::documents::workload::{Address, Workload};
use crate::hosts::HostMap;
use crate::model::{EndpointAddress, HealthCheck};
use crate::protocol::Protocol;

/// All services, in order of their host names.
pub(super) struct Registry {
    pub(super) services: Vec<Service>,
    by_host: HostMap<usize>,
}

/// A Kubernetes `Service`, or one host of a `ServiceEntry`.
pub(super) struct Service {
    pub(super) host: String,
    pub(super) namespace: String,
    /// Set for a Kubernetes `Service`, which has short names too.
    pub(super) kubernetes_name: Option<String>,
    pub(super) export_to: ExportTo,
    pub(super) ports: Vec<Port>,
    pub(super) health_check: Option<HealthCheck>,
    /// Position of its `BalancingPolicy` among the documents.
    pub(super) balancing_policy: Option<usize>,
    pub(super) source: Source,
}

pub(super) struct Port {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
    pub(super) endpoints: Vec<Candidate>,
}

impl Registry {
    pub(super) fn build(input: Input<'_>) -> Self {
        let (slices, workloads) = (Slices::build(input), Workloads::build(input));
        let mut services: Vec<Service> = Vec::new();
        let mut by_host = HostMap::default();
        for object in &input.documents.services {
            let service = kubernetes_service(object, &slices, &workloads, input);
            // Two of them have the same host only if their names differ in case, which Kubernetes refuses.
            match by_host.get(service.host.as_str()) {
                Some(position) => services[*position] = service,
                None => {
                    by_host.insert(service.host.as_str().into(), services.len());
                    services.push(service);
                }
            }
        }
        let client = input.options.own_namespace();
        for object in &input.documents.service_entries {
            for host in &object.spec.hosts {
                let entry = entry_service(object, host, &workloads, input);
                let first = by_host.get(host.value.as_str());
                match first.map(|position: &usize| &mut services[*position]) {
                    None => {
                        by_host.insert(host.value.as_str().into(), services.len());
                        services.push(entry);
                    }
                    Some(first)
                        if first.kubernetes_name.is_none()
                            && first.namespace == entry.namespace =>
                    {
                        first.merge(entry);
                    }
                    // Each namespace may have a host of its own that others don't see.
                    Some(first)
                        if is_exported(&entry, client, input)
                            && !is_exported(first, client, input) =>
                    {
                        *first = entry;
                    }
                    Some(_) if !is_exported(&entry, client, input) => {}
                    Some(first) => {
                        let message = format!(
                            "host `{}` is already defined in namespace {}",
                            host.value, first.namespace
                        );
                        let finding =
                            Finding::warning(message).help("this one has no effect; remove it");
                        object
                            .context(input.files, input.report)
                            .report(host.place, finding);
                    }
                }
            }
        }
        slices.report_orphans(input);
        services.sort_by(|a, b| a.host.cmp(&b.host));
        for (position, service) in services.iter().enumerate() {
            if let Some(known) = by_host.get_mut(service.host.as_str()) {
                *known = position;
            }
        }
        Self { services, by_host }
    }

    pub(super) fn find(&self, host: &str) -> Option<usize> {
        self.by_host.get(host).copied()
    }

    /// In order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|service| service.host.as_str())
    }
}

impl Service {
    /// Several `ServiceEntry`s of one namespace may describe the same host together.
    fn merge(&mut self, other: Self) {
        for port in other.ports {
            match self
                .ports
                .iter_mut()
                .find(|mine| mine.number == port.number)
            {
                Some(mine) => {
                    mine.endpoints.extend(port.endpoints);
                    mine.endpoints = without_duplicates(std::mem::take(&mut mine.endpoints));
                }
                None => self.ports.push(port),
            }
        }
    }
}

/// The host name of a Kubernetes service.
pub(super) fn service_host(name: &str, namespace: &str, domain: &str) -> String {
    format!("{name}.{namespace}.svc.{domain}").to_ascii_lowercase()
}

fn kubernetes_service(
    object: &Object<service::Service>,
    slices: &Slices<'_>,
    workloads: &Workloads<'_>,
    input: Input<'_>,
) -> Service {
    let Object { meta, spec } = object;
    let ports = spec.ports.iter().map(|port| {
        let endpoints = match &spec.external_name {
            Some(name) => vec![external(name, port)],
            None => {
                let mut endpoints = slices.endpoints(meta, &port.name);
                let selected = workloads.selected(&spec.selector, &meta.namespace);
                endpoints.extend(selected.filter_map(|workload| {
                    let own = workload.ports.get(&port.name).copied();
                    candidate(workload, own.unwrap_or_else(|| target_port(workload, port)))
                }));
                endpoints
            }
        };
        Port {
            number: port.number,
            protocol: port.protocol,
            endpoints: without_duplicates(endpoints),
        }
    });
    Service {
        host: service_host(&meta.name, &meta.namespace, &input.options.cluster_domain),
        namespace: meta.namespace.clone(),
        kubernetes_name: Some(meta.name.to_ascii_lowercase()),
        export_to: spec.export_to.clone(),
        ports: ports.collect(),
        health_check: None,
        balancing_policy: None,
        source: meta.context(input.files, input.report).source(meta.place),
    }
}

/// Where a workload without a port of the service's port's name listens.
fn target_port(workload: &Workload, port: &service::Port) -> u16 {
    match &port.target {
        Target::Number(number) => *number,
        Target::Name(name) => workload.ports.get(name).copied().unwrap_or(port.number),
    }
}

fn external(name: &str, port: &service::Port) -> Candidate {
    let number = match port.target {
        Target::Number(number) => number,
        Target::Name(_) => port.number,
    };
    let address = match name.parse() {
        Ok(ip) => Address::Ip(ip),
        Err(_) => Address::Dns(name.trim_end_matches('.').to_ascii_lowercase()),
    };
    Candidate {
        address: at_port(&address, number),
        weight: 1,
        locality: alba::Locality::default(),
        labels: Arc::default(),
        network: String::new(),
    }
}

fn entry_service(
    object: &Object<ServiceEntry>,
    host: &str,
    workloads: &Workloads<'_>,
    input: Input<'_>,
) -> Service {
    let Object { meta, spec } = object;
    let ports = spec.ports.iter().map(|port| {
        let number = |workload: &Workload| {
            workload
                .ports
                .get(&port.name)
                .copied()
                .or(port.target)
                .unwrap_or(port.number)
        };
        let mut endpoints: Vec<_> = spec
            .endpoints
            .iter()
            .filter_map(|workload| candidate(workload, number(workload)))
            .collect();
        if let Some(selector) = &spec.selector {
            let selected = workloads.selected(selector, &meta.namespace);
            endpoints.extend(selected.filter_map(|workload| candidate(workload, number(workload))));
        } else if endpoints.is_empty()
            && spec.resolution != Resolution::Static
            && !host.starts_with('*')
        {
            endpoints.push(itself(host, port));
        }
        if spec.resolution == Resolution::DnsFirst {
            endpoints.iter_mut().for_each(first_address);
        }
        Port {
            number: port.number,
            protocol: port.protocol,
            endpoints: without_duplicates(endpoints),
        }
    });
    Service {
        host: host.to_owned(),
        namespace: meta.namespace.clone(),
        kubernetes_name: None,
        export_to: spec.export_to.clone(),
        ports: ports.collect(),
        health_check: None,
        balancing_policy: None,
        source: meta.context(input.files, input.report).source(meta.place),
    }
}

/// Of a name's addresses only the first is used.
fn first_address(endpoint: &mut Candidate) {
    if let EndpointAddress::Dns(name, port) = &endpoint.address {
        endpoint.address = EndpointAddress::DnsFirst(name.clone(), *port);
    }
}

/// Without endpoints, the host is where to go.
fn itself(host: &str, port: &service_entry::Port) -> Candidate {
    let address = EndpointAddress::Dns(host.to_owned(), port.target.unwrap_or(port.number));
    Candidate {
        address,
        weight: 1,
        locality: alba::Locality::default(),
        labels: Arc::default(),
        network: String::new(),
    }
}
