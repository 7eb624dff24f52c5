//! From documents to what is served: every reference is resolved and permitted, every route attached, and what
//! became of each object is said.

mod backends;
mod gateways;
mod grants;
mod listeners;
mod mesh;
mod policies;
mod ports;
mod precedence;
mod routes;
mod statuses;
mod tls;

use manifests::decode::Finding;
use manifests::yaml::Place;
use manifests::{Document, Metadata, Report};

use crate::{Attached, Documents, World};

/// What every part of attaching looks at.
#[derive(Clone, Copy)]
struct Input<'d> {
    /// For the places of findings.
    files: &'d [Document<'d>],
    documents: &'d Documents,
    world: &'d World,
    report: &'d Report,
    controller: &'d str,
}

/// Why a condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    reason: &'static str,
    message: String,
}

impl Problem {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl Input<'_> {
    /// A warning about an object, whose condition will say the same.
    fn warn(&self, meta: &Metadata, place: Place, problem: &Problem) {
        self.warn_with(meta, place, Finding::warning(problem.message.clone()));
    }

    fn warn_with(&self, meta: &Metadata, place: Place, finding: Finding) {
        let context = meta.context(self.files, self.report);
        context.report(place, finding);
    }
}

impl Documents {
    /// Does what the specification says to do with all documents together. `files` are those that the objects were
    /// decoded from, `controller` the `controllerName` that is ours ([`crate::CONTROLLER`]). Without any
    /// `GatewayClass` every Gateway is served, whatever class it names. Documents have to be in order
    /// ([`Self::sort`]).
    pub fn attach(
        &self,
        files: &[Document<'_>],
        world: &World,
        controller: &str,
        report: &Report,
    ) -> Attached {
        let input = Input {
            files,
            documents: self,
            world,
            report,
            controller,
        };
        let mut gateways = gateways::served(input);
        let mut mesh = mesh::Mesh::default();
        let routes = routes::attach(input, &mut gateways, &mut mesh);
        ports::find_taken(input, &mut gateways);
        let policies = policies::resolve(input, &routes);
        let statuses = statuses::all(input, &gateways, routes, &policies);
        Attached {
            listeners: gateways
                .into_iter()
                .flat_map(|gateway| gateway.into_listeners(input))
                .collect(),
            mesh: mesh.into_rules(),
            backend_tls: policies.in_force,
            statuses,
        }
    }
}
