//! What there is besides the Gateway API's own documents, as far as attaching asks for it.

use std::collections::BTreeMap;

use crate::Name;

/// Objects that documents refer to.
#[derive(Debug, Default)]
pub struct World {
    /// Labels of namespaces that have a document. `kubernetes.io/metadata.name`, which Kubernetes gives to each,
    /// need not be among them.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Every Service.
    pub services: BTreeMap<Name, Service>,
    /// Every Secret, and why it can't be used as a certificate with its key, if it can't.
    pub secrets: BTreeMap<Name, Result<(), String>>,
    /// Every Secret, and why it can't be used as a CA bundle, if it can't.
    pub ca_secrets: BTreeMap<Name, Result<(), String>>,
    /// Every ConfigMap, and why it can't be used as a CA bundle, if it can't.
    pub config_maps: BTreeMap<Name, Result<(), String>>,
}

/// A Service.
#[derive(Debug, Default)]
pub struct Service {
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug)]
pub struct ServicePort {
    /// 1 to 65535.
    pub number: u16,
    /// May be empty.
    pub name: String,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
}

impl World {
    /// The labels of a namespace, with the one that Kubernetes gives to each.
    pub(crate) fn labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels
            .entry("kubernetes.io/metadata.name".to_owned())
            .or_insert_with(|| namespace.to_owned());
        labels
    }
}
