//! What this dispatcher's clients see of the mesh: `exportTo` and `Sidecar`.

use super::Input;
use super::registry::Service;
use crate::documents::Object;
use crate::documents::sidecar::{Egress, Import, Outbound, Sidecar};
use crate::documents::virtual_service::VirtualService;
use crate::documents::workload::selects;
use crate::hosts::{fully_qualified, intersection, is_subset};

/// The view from this dispatcher's namespace.
pub(super) struct View<'d> {
    input: Input<'d>,
    namespace: &'d str,
    sidecar: Option<&'d Object<Sidecar>>,
}

impl<'d> View<'d> {
    /// Goes by the oldest `Sidecar` of the own namespace that selects the own labels, else the oldest there for all
    /// of it, else the root namespace's for all.
    pub(super) fn new(input: Input<'d>) -> Self {
        let namespace = input.options.own_namespace();
        let root = &input.documents.mesh_config.root_namespace;
        let sidecars = &input.documents.sidecars;
        let labels = input.options.labels.as_ref();
        let selects_us = |sidecar: &&Object<Sidecar>| {
            let selector = labels.zip(sidecar.spec.selector.as_ref());
            sidecar.meta.namespace == namespace
                && selector.is_some_and(|(labels, selector)| selects(selector, labels))
        };
        let for_all = |of: &str| {
            let mut sidecars = sidecars.iter();
            sidecars.find(|sidecar| sidecar.meta.namespace == of && sidecar.spec.selector.is_none())
        };
        let sidecar = sidecars.iter().find(selects_us);
        Self {
            input,
            namespace,
            sidecar: sidecar
                .or_else(|| for_all(namespace))
                .or_else(|| for_all(root)),
        }
    }

    /// Whether a service's port is seen.
    pub(super) fn sees(&self, service: &Service, port: u16) -> bool {
        if !is_exported(service, self.namespace, self.input) {
            return false;
        }
        let Some(listeners) = self.egress() else {
            return true;
        };
        let mut listeners = listeners.iter();
        listeners.any(|listener| {
            let imports = |import: &Import| {
                self.is_from(import, &service.namespace) && is_subset(&service.host, &import.host)
            };
            listener.port.is_none_or(|only| only == port) && listener.hosts.iter().any(imports)
        })
    }

    /// Whether a VirtualService's rules are seen.
    pub(super) fn sees_rules(&self, object: &Object<VirtualService>) -> bool {
        let namespace = object.meta.namespace.as_str();
        if !rules_are_exported(object, self.namespace, self.input) {
            return false;
        }
        let Some(listeners) = self.egress() else {
            return true;
        };
        let domain = &self.input.options.cluster_domain;
        let hosts = object.spec.hosts.iter();
        let hosts: Vec<_> = hosts
            .map(|host| fully_qualified(host, namespace, domain))
            .collect();
        let mut imports = listeners.iter().flat_map(|listener| &listener.hosts);
        imports.any(|import| {
            let mut hosts = hosts.iter();
            self.is_from(import, namespace)
                && hosts.any(|host| intersection(host, &import.host).is_some())
        })
    }

    /// What becomes of requests to hosts that nobody has.
    pub(super) fn outbound(&self) -> Option<&'d Outbound> {
        let own = self
            .sidecar
            .and_then(|sidecar| sidecar.spec.outbound.as_ref());
        own.or(self.input.documents.mesh_config.outbound.as_ref())
    }

    fn egress(&self) -> Option<&'d [Egress]> {
        self.sidecar?.spec.egress.as_deref()
    }

    fn is_from(&self, import: &Import, namespace: &str) -> bool {
        match import.namespace.as_str() {
            "*" => true,
            "." => namespace == self.namespace,
            "~" => false,
            name => namespace == name,
        }
    }
}

/// Whether a service is exported to a namespace.
pub(super) fn is_exported(service: &Service, client: &str, input: Input<'_>) -> bool {
    let default = &input.documents.mesh_config.service_export_to;
    let own = service.namespace.as_str();
    service.export_to.includes(own, client, default)
}

/// Whether a VirtualService is exported to a namespace.
pub(super) fn rules_are_exported(
    object: &Object<VirtualService>,
    client: &str,
    input: Input<'_>,
) -> bool {
    let default = &input.documents.mesh_config.virtual_service_export_to;
    let own = object.meta.namespace.as_str();
    object.spec.export_to.includes(own, client, default)
}
