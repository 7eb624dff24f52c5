//! References to what requests are sent to.

use manifests::Metadata;

use super::grants::{From, permitted};
use super::{Input, Problem};
use crate::Name;
use crate::attached::{ServiceTarget, Target};
use crate::documents::reference::BackendRef;
use crate::documents::route::Route;

/// Values of `appProtocol` that Kubernetes defines and that are spoken here.
const APP_PROTOCOLS: &[&str] = &["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"];

/// Resolves the backends of one route.
pub(super) struct Backends<'d> {
    pub(super) input: Input<'d>,
    pub(super) meta: &'d Metadata,
    pub(super) route: &'d Route,
    /// Every Service that was found.
    pub(super) services: Vec<ServiceTarget>,
    /// The first that could not be resolved.
    pub(super) problem: Option<Problem>,
}

impl Backends<'_> {
    /// The Service's port that is meant. What is wrong is warned about.
    pub(super) fn resolve(&mut self, backend: &BackendRef) -> Target {
        match self.service(backend) {
            Ok(target) => {
                self.services.push(target.clone());
                Ok(target)
            }
            Err(problem) => {
                self.input.warn(self.meta, backend.object.place, &problem);
                let message = problem.message.clone();
                self.problem.get_or_insert(problem);
                Err(message)
            }
        }
    }

    /// A consumer's route may send requests on to where its clients sent them, which needs no permission. One that is
    /// attached to a Gateway too would open the Service to whom the Gateway lets in.
    fn is_where_requests_go(&self, namespace: &str, name: &str) -> bool {
        let parents = &self.route.parents;
        let of_services = parents.iter().all(|parent| parent.object.is("", "Service"));
        of_services
            && parents.iter().any(|parent| {
                let object = &parent.object;
                (
                    object.namespace_in(&self.meta.namespace),
                    object.name.as_str(),
                ) == (namespace, name)
            })
    }

    fn service(&self, backend: &BackendRef) -> Result<ServiceTarget, Problem> {
        let object = &backend.object;
        let described = object.describe(&self.meta.namespace);
        let Some(port) = backend.port.filter(|_| object.is("", "Service")) else {
            let message = format!("{described} can't be a backend: only a Service with a port can");
            return Err(Problem::new("InvalidKind", message));
        };
        let namespace = object.namespace_in(&self.meta.namespace);
        let from = From {
            kind: self.route.kind.name(),
            namespace: &self.meta.namespace,
        };
        let permitted = permitted(self.input, from, ("", "Service"), namespace, &object.name);
        if !permitted && !self.is_where_requests_go(namespace, &object.name) {
            let message = format!(
                "{described} is in another namespace, where no ReferenceGrant lets a {} of `{}` refer to it",
                from.kind, from.namespace
            );
            return Err(Problem::new("RefNotPermitted", message));
        }
        let service = Name::new(namespace, &object.name);
        let Some(found) = self.input.world.services.get(&service) else {
            let message = format!("{described} is not there");
            return Err(Problem::new("BackendNotFound", message));
        };
        let Some(of_port) = found.ports.iter().find(|known| known.number == port) else {
            let message = format!("{described} has no port {port}");
            return Err(Problem::new("BackendNotFound", message));
        };
        if let Some(protocol) = of_port.app_protocol.as_deref()
            && protocol.starts_with("kubernetes.io/")
            && !APP_PROTOCOLS.contains(&protocol)
        {
            let message =
                format!("{described} speaks `{protocol}` on port {port}, which is not known here");
            return Err(Problem::new("UnsupportedProtocol", message));
        }
        Ok(ServiceTarget { service, port })
    }
}
