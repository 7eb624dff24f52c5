//! The documents as typed values, one file per kind, each field named once. References between documents are
//! resolved later.

pub(crate) mod balancing_policy;
pub(crate) mod consistent_hash;
pub(crate) mod destination_rule;
pub(crate) mod endpoint_slice;
pub(crate) mod gateway;
pub(crate) mod health_check_policy;
pub(crate) mod load_balancer;
pub(crate) mod metadata;
pub(crate) mod names;
mod outlier_detection;
pub(crate) mod pod;
mod read;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_entry;
pub(crate) mod target_refs;
pub(crate) mod traffic_policy;
pub(crate) mod virtual_service;
pub(crate) mod workload;

use std::path::Path;
use std::sync::Arc;

pub(crate) use metadata::Metadata;
pub(crate) use read::read;

use crate::decode::{Context, Report};
use crate::yaml::{Node, SyntaxError};

/// One document of one file, kept for the places and paths of later findings.
pub(crate) struct Document<'t> {
    pub(crate) file: Arc<Path>,
    /// Counted from 1.
    pub(crate) number: u32,
    pub(crate) root: Option<Node<'t>>,
    pub(crate) errors: Vec<SyntaxError>,
}

/// A document's metadata and what it says.
#[derive(Debug)]
pub(crate) struct Object<T> {
    pub(crate) meta: Metadata,
    pub(crate) spec: T,
}

impl<T> Object<T> {
    /// Where later findings about this object go.
    pub(crate) fn context<'d>(
        &'d self,
        documents: &'d [Document<'d>],
        report: &'d Report,
    ) -> Context<'d> {
        self.meta.context(documents, report)
    }
}

/// Every document of the kinds that matter, each kind in an order that doesn't depend on files.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) gateways: Vec<Object<gateway::Gateway>>,
    pub(crate) virtual_services: Vec<Object<virtual_service::VirtualService>>,
    pub(crate) destination_rules: Vec<Object<destination_rule::DestinationRule>>,
    pub(crate) service_entries: Vec<Object<service_entry::ServiceEntry>>,
    pub(crate) workload_entries: Vec<Object<workload::Workload>>,
    pub(crate) services: Vec<Object<service::Service>>,
    pub(crate) endpoint_slices: Vec<Object<endpoint_slice::EndpointSlice>>,
    pub(crate) pods: Vec<Object<pod::Pod>>,
    pub(crate) secrets: Vec<Object<secret::Secret>>,
    pub(crate) health_check_policies: Vec<Object<health_check_policy::HealthCheckPolicy>>,
    pub(crate) balancing_policies: Vec<Object<balancing_policy::BalancingPolicy>>,
}
