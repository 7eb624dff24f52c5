//! From what `gateway-api` attached to what is served: listeners, virtual hosts, routes and clusters.

mod destinations;
mod filters;
mod hosts;
mod listeners;
mod mesh;
mod routes;
mod tls;
mod world;

use ::gateway_api::{Attached, Status};

pub(super) use mesh::MeshRules;

use super::Input;
use super::clusters::Clusters;
use crate::model::Listener;
use crate::{Diagnostic, Severity, Source};

/// A warning about what `gateway-api` made of an object, whose fields are not at hand any more.
fn warning(source: &Source, object: String, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: None,
        source: source.clone(),
        object,
        field: String::new(),
        message,
        help: None,
    }
}

/// What is attached to what, and the world it was attached in.
pub(super) struct Linked {
    attached: Attached,
    world: ::gateway_api::World,
}

impl Linked {
    /// Attaches every route.
    pub(super) fn new(input: Input<'_>) -> Self {
        let documents = &input.documents.gateway_api;
        if documents.is_empty() {
            return Self {
                attached: Attached::default(),
                world: ::gateway_api::World::default(),
            };
        }
        let world = world::of(input);
        let controller = ::gateway_api::CONTROLLER;
        let attached = documents.attach(input.files, &world, controller, input.report);
        Self { attached, world }
    }

    /// Adds the listeners of Gateways to those that are there, whose ports are taken.
    pub(super) fn add_listeners(&self, clusters: &mut Clusters<'_>, listeners: &mut Vec<Listener>) {
        listeners::add(self, clusters, listeners);
    }

    /// Rules for requests to services.
    pub(super) fn mesh_rules(&self, input: Input<'_>) -> MeshRules<'_> {
        MeshRules::new(self, input)
    }

    /// What became of each object.
    pub(super) fn into_statuses(self) -> Vec<Status> {
        self.attached.statuses
    }
}
