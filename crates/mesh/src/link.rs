//! From typed documents to the mesh: every reference is resolved, and what is missing is said.
//!
//! A missing gateway, host or subset is a warning (as in `istioctl analyze`, IST0101), not an error: Istio serves
//! the rest, and so do we. Requests to a missing destination get 503.

mod balancing;
mod clusters;
mod connections;
mod credentials;
mod delegates;
mod endpoints;
mod gateway_api;
mod gateways;
mod localities;
mod mesh_listener;
mod policies;
mod registry;
mod routes;
mod rules;
mod targets;
mod view;

use crate::decode::Report;
use crate::documents::{Document, Documents};
use crate::load::Options;
use crate::model::Mesh;

/// What every part of linking looks at.
#[derive(Clone, Copy)]
struct Input<'d> {
    /// For the places of findings.
    files: &'d [Document<'d>],
    documents: &'d Documents,
    delegates: &'d delegates::Delegates<'d>,
    options: &'d Options,
    report: &'d Report,
}

/// Istio's code for a reference to something that is not there.
const NOT_FOUND: &str = "IST0101";

/// Resolves all references.
pub(crate) fn link(
    files: &[Document<'_>],
    documents: &Documents,
    options: &Options,
    report: &Report,
) -> (Mesh, Vec<::gateway_api::Status>) {
    let delegates = delegates::Delegates::build(documents);
    let input = Input {
        files,
        documents,
        delegates: &delegates,
        options,
        report,
    };
    let mut registry = registry::Registry::build(input);
    policies::attach(input, &mut registry);
    let mut clusters = clusters::Clusters::new(input, &registry);
    let gateway_api = gateway_api::Linked::new(input);
    let mut listeners = gateways::listeners(input, &mut clusters);
    gateway_api.add_listeners(&mut clusters, &mut listeners);
    let mesh_rules = gateway_api.mesh_rules(input);
    listeners.extend(mesh_listener::listener(input, &mesh_rules, &mut clusters));
    let mesh = Mesh {
        listeners,
        clusters: clusters.into_clusters(),
    };
    (mesh, gateway_api.into_statuses())
}
