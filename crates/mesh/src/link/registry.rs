//! Every service by host name, with its ports and the endpoints behind each.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::diagnostics::Source;
use crate::documents::endpoint_slice::{self, EndpointSlice, SERVICE_NAME_LABEL};
use crate::documents::service::{self, Target};
use crate::documents::service_entry::{self, Resolution, ServiceEntry};
use crate::documents::workload::{Address, Workload, selects};
use crate::documents::{Metadata, Object};
use crate::hosts::HostHasher;
use crate::model::{EndpointAddress, HealthCheck};
use crate::protocol::Protocol;

/// All services, in order of their host names.
pub(super) struct Registry {
    pub(super) services: Vec<Service>,
    by_host: BTreeMap<String, usize>,
}

/// A Kubernetes `Service`, or one host of a `ServiceEntry`.
pub(super) struct Service {
    pub(super) host: String,
    pub(super) namespace: String,
    /// Set for a Kubernetes `Service`, which has short names too.
    pub(super) kubernetes_name: Option<String>,
    pub(super) ports: Vec<Port>,
    pub(super) health_check: Option<HealthCheck>,
    pub(super) source: Source,
}

pub(super) struct Port {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
    pub(super) endpoints: Vec<Candidate>,
}

/// An endpoint that a subset may or may not take in.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) address: EndpointAddress,
    pub(super) weight: u32,
    pub(super) locality: alba::Locality,
    pub(super) labels: Arc<BTreeMap<String, String>>,
}

impl Registry {
    pub(super) fn build(input: Input<'_>) -> Self {
        let mut found: BTreeMap<String, Service> = BTreeMap::new();
        let slices = Slices::build(input);
        for object in &input.documents.services {
            let service = kubernetes_service(object, &slices, input);
            found.insert(service.host.clone(), service);
        }
        for object in &input.documents.service_entries {
            for host in &object.spec.hosts {
                let entry = entry_service(object, host, input);
                match found.get_mut(&host.value) {
                    None => {
                        found.insert(host.value.clone(), entry);
                    }
                    Some(first)
                        if first.kubernetes_name.is_none()
                            && first.namespace == entry.namespace =>
                    {
                        first.merge(entry);
                    }
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
        let services: Vec<_> = found.into_values().collect();
        let by_host = services
            .iter()
            .enumerate()
            .map(|(index, service)| (service.host.clone(), index))
            .collect();
        Self { services, by_host }
    }

    pub(super) fn find(&self, host: &str) -> Option<usize> {
        self.by_host.get(host).copied()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(String::as_str)
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

fn without_duplicates(endpoints: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen: HashSet<EndpointAddress, BuildHasherDefault<HostHasher>> = HashSet::default();
    endpoints
        .into_iter()
        .filter(|endpoint| seen.insert(endpoint.address.clone()))
        .collect()
}

/// The host name of a Kubernetes service.
pub(super) fn service_host(name: &str, namespace: &str, domain: &str) -> String {
    format!("{name}.{namespace}.svc.{domain}").to_ascii_lowercase()
}

type SliceObject = Object<EndpointSlice>;

/// Endpoint slices by namespace and service name; and pods' labels.
struct Slices<'d> {
    by_service: BTreeMap<(&'d str, &'d str), Vec<&'d SliceObject>>,
    pods: BTreeMap<(&'d str, &'d str), Arc<BTreeMap<String, String>>>,
}

impl<'d> Slices<'d> {
    fn build(input: Input<'d>) -> Self {
        let mut by_service: BTreeMap<_, Vec<&SliceObject>> = BTreeMap::new();
        for slice in &input.documents.endpoint_slices {
            match service_of(slice) {
                Some(service) => by_service
                    .entry((slice.meta.namespace.as_str(), service))
                    .or_default()
                    .push(slice),
                None => {
                    let message =
                        format!("has no label `{SERVICE_NAME_LABEL}`, so it belongs to no service");
                    slice
                        .context(input.files, input.report)
                        .warning(slice.meta.place, message);
                }
            }
        }
        for slices in by_service.values_mut() {
            // `Endpoints` say the same as the slices that Kubernetes makes of them.
            if slices.iter().any(|slice| !slice.spec.own_name_is_service) {
                slices.retain(|slice| !slice.spec.own_name_is_service);
            }
        }
        let pods = input.documents.pods.iter();
        let pods = pods.map(|pod| {
            (
                (pod.meta.namespace.as_str(), pod.meta.name.as_str()),
                Arc::new(pod.meta.labels.clone()),
            )
        });
        Self {
            by_service,
            pods: pods.collect(),
        }
    }

    /// The endpoints of a service's port, which slices know by its name.
    fn endpoints(&self, meta: &Metadata, port_name: &str) -> Vec<Candidate> {
        let key = (meta.namespace.as_str(), meta.name.as_str());
        let mut endpoints = Vec::new();
        for slice in self.by_service.get(&key).into_iter().flatten() {
            let slice_labels = Arc::new(endpoint_slice::pod_labels(&slice.meta.labels));
            for group in &slice.spec.groups {
                let Some((_, number)) = group.ports.iter().find(|(name, _)| name == port_name)
                else {
                    continue;
                };
                for endpoint in &group.endpoints {
                    let pod = endpoint
                        .pod
                        .as_deref()
                        .and_then(|pod| self.pods.get(&(slice.meta.namespace.as_str(), pod)));
                    let labels = pod.unwrap_or(&slice_labels);
                    let locality = alba::Locality {
                        zone: endpoint.zone.clone(),
                        ..alba::Locality::default()
                    };
                    endpoints.extend(endpoint.addresses.iter().map(|address| Candidate {
                        address: at_port(address, *number),
                        weight: 1,
                        locality: locality.clone(),
                        labels: Arc::clone(labels),
                    }));
                }
            }
        }
        endpoints
    }

    /// Says which slices no service uses, or not by its ports' names: their endpoints get nothing.
    fn report_orphans(&self, input: Input<'_>) {
        let services = input.documents.services.iter();
        let services: BTreeMap<_, _> = services
            .map(|object| {
                (
                    (object.meta.namespace.as_str(), object.meta.name.as_str()),
                    &object.spec,
                )
            })
            .collect();
        for (key, slices) in &self.by_service {
            for slice in slices {
                let context = slice.context(input.files, input.report);
                let Some(service) = services.get(key) else {
                    let finding =
                        Finding::warning(format!("Service {}/{} is not there", key.0, key.1))
                            .code(NOT_FOUND);
                    context.report(slice.meta.place, finding);
                    continue;
                };
                let has_name = |name: &str| service.ports.iter().any(|port| port.name == name);
                for (name, _) in slice.spec.groups.iter().flat_map(|group| &group.ports) {
                    if !has_name(name) {
                        let message = format!(
                            "port name `{name}` is not one of Service {}/{}",
                            key.0, key.1
                        );
                        context.warning(slice.meta.place, message);
                    }
                }
            }
        }
    }
}

fn service_of(slice: &SliceObject) -> Option<&str> {
    if slice.spec.own_name_is_service {
        return Some(&slice.meta.name);
    }
    slice
        .meta
        .labels
        .get(SERVICE_NAME_LABEL)
        .map(String::as_str)
}

fn kubernetes_service(
    object: &Object<service::Service>,
    slices: &Slices<'_>,
    input: Input<'_>,
) -> Service {
    let Object { meta, spec } = object;
    let ports = spec.ports.iter().map(|port| {
        let endpoints = match &spec.external_name {
            Some(name) => vec![external(name, port)],
            None => {
                let mut endpoints = slices.endpoints(meta, &port.name);
                endpoints.extend(
                    selected_workloads(&spec.selector, meta, input)
                        .map(|workload| {
                            let number = workload.ports.get(&port.name).copied().unwrap_or(
                                match &port.target {
                                    Target::Number(number) => *number,
                                    Target::Name(name) => {
                                        workload.ports.get(name).copied().unwrap_or(port.number)
                                    }
                                },
                            );
                            (workload, number)
                        })
                        .filter_map(|(workload, number)| candidate(workload, number)),
                );
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
        ports: ports.collect(),
        health_check: None,
        source: meta.context(input.files, input.report).source(meta.place),
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
    }
}

fn entry_service(object: &Object<ServiceEntry>, host: &str, input: Input<'_>) -> Service {
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
            let selected = selected_workloads(selector, meta, input);
            endpoints.extend(selected.filter_map(|workload| candidate(workload, number(workload))));
        } else if endpoints.is_empty()
            && spec.resolution == Resolution::Dns
            && !host.starts_with('*')
        {
            endpoints.push(itself(host, port));
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
        ports: ports.collect(),
        health_check: None,
        source: meta.context(input.files, input.report).source(meta.place),
    }
}

/// With DNS and no endpoints, the host is where to go.
fn itself(host: &str, port: &service_entry::Port) -> Candidate {
    let address = EndpointAddress::Dns(host.to_owned(), port.target.unwrap_or(port.number));
    Candidate {
        address,
        weight: 1,
        locality: alba::Locality::default(),
        labels: Arc::default(),
    }
}

/// `WorkloadEntry`s of the namespace that have the labels. An empty selector selects none, as in Kubernetes.
fn selected_workloads<'d>(
    selector: &'d BTreeMap<String, String>,
    meta: &'d Metadata,
    input: Input<'d>,
) -> impl Iterator<Item = &'d Workload> {
    let entries = input.documents.workload_entries.iter();
    entries.filter_map(move |entry| {
        let selected = entry.meta.namespace == meta.namespace && !selector.is_empty();
        (selected && selects(selector, &entry.spec.labels)).then_some(&entry.spec)
    })
}

fn candidate(workload: &Workload, port: u16) -> Option<Candidate> {
    let address = at_port(workload.address.as_ref()?, port);
    let labels = Arc::clone(&workload.labels);
    Some(Candidate {
        address,
        weight: workload.weight,
        locality: workload.locality.clone(),
        labels,
    })
}

fn at_port(address: &Address, port: u16) -> EndpointAddress {
    match address {
        Address::Ip(ip) => EndpointAddress::Ip(SocketAddr::new(*ip, port)),
        Address::Dns(name) => EndpointAddress::Dns(name.clone(), port),
        Address::Unix(path) => EndpointAddress::Unix(path.clone()),
    }
}
