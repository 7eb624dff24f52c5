//! Where endpoints come from: slices, and workloads that are selected by labels.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::documents::endpoint_slice::{self, EndpointSlice, SERVICE_NAME_LABEL};
use crate::documents::workload::{Address, Workload, selects};
use crate::documents::{Metadata, Object};
use crate::hosts::HostHasher;
use crate::model::EndpointAddress;

/// An endpoint that a subset may or may not take in.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) address: EndpointAddress,
    pub(super) weight: u32,
    pub(super) locality: alba::Locality,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    /// Empty where none is named.
    pub(super) network: String,
}

type SliceObject = Object<EndpointSlice>;

/// Endpoint slices by namespace and service name; and pods' labels.
pub(super) struct Slices<'d> {
    by_service: BTreeMap<(&'d str, &'d str), Vec<&'d SliceObject>>,
    pods: BTreeMap<(&'d str, &'d str), Arc<BTreeMap<String, String>>>,
}

impl<'d> Slices<'d> {
    pub(super) fn build(input: Input<'d>) -> Self {
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
    pub(super) fn endpoints(&self, meta: &Metadata, port_name: &str) -> Vec<Candidate> {
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
                        network: String::new(),
                    }));
                }
            }
        }
        endpoints
    }

    /// Says which slices no service uses, or not by its ports' names: their endpoints get nothing.
    pub(super) fn report_orphans(&self, input: Input<'_>) {
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

/// `WorkloadEntry`s by namespace and label, so that a selector doesn't go through all of them.
pub(super) struct Workloads<'d> {
    by_label: BTreeMap<(&'d str, &'d str, &'d str), Vec<&'d Workload>>,
}

impl<'d> Workloads<'d> {
    pub(super) fn build(input: Input<'d>) -> Self {
        let mut by_label: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in &input.documents.workload_entries {
            for (key, value) in entry.spec.labels.iter() {
                let label = (entry.meta.namespace.as_str(), key.as_str(), value.as_str());
                by_label.entry(label).or_default().push(&entry.spec);
            }
        }
        Self { by_label }
    }

    /// Those of a namespace that have all labels. An empty selector selects none, as in Kubernetes.
    pub(super) fn selected<'s>(
        &'s self,
        selector: &'s BTreeMap<String, String>,
        namespace: &'s str,
    ) -> impl Iterator<Item = &'d Workload> {
        let with = |(key, value): (&'s String, &'s String)| {
            let entries = self
                .by_label
                .get(&(namespace, key.as_str(), value.as_str()));
            entries.map_or(&[][..], Vec::as_slice)
        };
        let fewest = selector
            .iter()
            .map(with)
            .min_by_key(|entries| entries.len());
        let candidates = fewest.unwrap_or_default().iter().copied();
        candidates.filter(|workload| selects(selector, &workload.labels))
    }
}

/// Each address once: dual listings of one server must not double its share.
pub(super) fn without_duplicates(mut endpoints: Vec<Candidate>) -> Vec<Candidate> {
    let is_first = |position: usize| {
        let (before, rest) = endpoints.split_at(position);
        before
            .iter()
            .all(|earlier| earlier.address != rest[0].address)
    };
    // Most services have few, for which a set would take longer.
    if endpoints.len() <= FEW_ENDPOINTS && (0..endpoints.len()).all(is_first) {
        return endpoints;
    }
    let mut seen: HashSet<EndpointAddress, BuildHasherDefault<HostHasher>> =
        HashSet::with_capacity_and_hasher(endpoints.len(), BuildHasherDefault::default());
    endpoints.retain(|endpoint| seen.insert(endpoint.address.clone()));
    endpoints
}

/// Up to so many endpoints are compared with each other.
const FEW_ENDPOINTS: usize = 16;

/// A workload as an endpoint; `None` if it has no address.
pub(super) fn candidate(workload: &Workload, port: u16) -> Option<Candidate> {
    let address = at_port(workload.address.as_ref()?, port);
    let labels = Arc::clone(&workload.labels);
    Some(Candidate {
        address,
        weight: workload.weight,
        locality: workload.locality.clone(),
        labels,
        network: workload.network.clone(),
    })
}

pub(super) fn at_port(address: &Address, port: u16) -> EndpointAddress {
    match address {
        Address::Ip(ip) => EndpointAddress::Ip(SocketAddr::new(*ip, port)),
        Address::Dns(name) => EndpointAddress::Dns(name.clone(), port),
        Address::Unix(path) => EndpointAddress::Unix(path.clone()),
    }
}
