//! The documents as typed values, one file per kind, each field named once. References between documents are
//! resolved later.

mod annotations;
pub(crate) mod balancing_policy;
mod checked;
pub(crate) mod config_map;
pub(crate) mod consistent_hash;
pub(crate) mod destination_rule;
pub(crate) mod endpoint_slice;
pub(crate) mod export_to;
pub(crate) mod gateway;
pub(crate) mod health_check_policy;
pub(crate) mod load_balancer;
pub(crate) mod locality_setting;
pub(crate) mod mesh_config;
pub(crate) mod names;
pub(crate) mod namespace;
mod outlier_detection;
pub(crate) mod pod;
mod read;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_entry;
pub(crate) mod sidecar;
pub(crate) mod target_refs;
pub(crate) mod traffic_policy;
pub(crate) mod virtual_service;
pub(crate) mod workload;

pub(crate) use manifests::{Document, Metadata, Object};
pub(crate) use read::read;

/// Every document of the kinds that matter, each kind in an order that doesn't depend on files.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) gateways: Vec<Object<gateway::Gateway>>,
    pub(crate) virtual_services: Vec<Object<virtual_service::VirtualService>>,
    pub(crate) destination_rules: Vec<Object<destination_rule::DestinationRule>>,
    pub(crate) service_entries: Vec<Object<service_entry::ServiceEntry>>,
    pub(crate) workload_entries: Vec<Object<workload::Workload>>,
    pub(crate) services: Vec<Object<service::Service>>,
    pub(crate) sidecars: Vec<Object<sidecar::Sidecar>>,
    pub(crate) mesh_config: mesh_config::MeshConfig,
    pub(crate) endpoint_slices: Vec<Object<endpoint_slice::EndpointSlice>>,
    pub(crate) pods: Vec<Object<pod::Pod>>,
    pub(crate) secrets: Vec<Object<secret::Secret>>,
    pub(crate) config_maps: Vec<Object<config_map::ConfigMap>>,
    pub(crate) namespaces: Vec<Object<namespace::Namespace>>,
    pub(crate) gateway_api: gateway_api::Documents,
    pub(crate) health_check_policies: Vec<Object<health_check_policy::HealthCheckPolicy>>,
    pub(crate) balancing_policies: Vec<Object<balancing_policy::BalancingPolicy>>,
}
