//! BackendTLSPolicies: which one counts for a Service, and whether it can be done as it says.

use std::collections::{BTreeMap, BTreeSet};

use manifests::Object;

use super::routes::RouteState;
use super::tls::bundle;
use super::{Input, Problem};
use crate::Name;
use crate::attached::BackendTls;
use crate::documents::backend_tls_policy::{BackendTlsPolicy, Ca, Target};

/// What became of all policies.
pub(super) struct Policies<'d> {
    pub(super) in_force: BTreeMap<(Name, Option<String>), Result<BackendTls, String>>,
    pub(super) states: Vec<PolicyState<'d>>,
}

/// A policy and what became of it.
pub(super) struct PolicyState<'d> {
    pub(super) object: &'d Object<BackendTlsPolicy>,
    pub(super) refused: Option<Problem>,
    pub(super) unresolved: Option<Problem>,
    /// Gateways whose routes lead to a target.
    pub(super) ancestors: BTreeSet<Name>,
}

/// Oldest first: the first that names a target has it.
pub(super) fn resolve<'d>(input: Input<'d>, routes: &[RouteState<'d>]) -> Policies<'d> {
    let mut policies = Policies {
        in_force: BTreeMap::new(),
        states: Vec::new(),
    };
    let mut holders = BTreeMap::new();
    for object in &input.documents.tls_policies {
        let (settings, unresolved) = settings(input, object);
        let mut refused = settings.as_ref().err().cloned();
        let mut ancestors = BTreeSet::new();
        let mut taken = 0;
        for target in &object.spec.targets {
            let service = Name::new(&object.meta.namespace, &target.name);
            ancestors.extend(gateways_of(routes, &service));
            let outcome = check(input, target, &service).and_then(|()| {
                let key = (service, target.section.clone());
                match holders.get(&key) {
                    Some(holder) => Err(Problem::new(
                        "Conflicted",
                        format!("BackendTLSPolicy {holder} already has this target"),
                    )),
                    None => Ok(key),
                }
            });
            match outcome {
                Ok(key) => {
                    taken += 1;
                    holders.insert(
                        key.clone(),
                        Name::new(&object.meta.namespace, &object.meta.name),
                    );
                    let settings = settings.clone().map_err(|problem| problem.message);
                    policies.in_force.insert(key, settings);
                }
                Err(problem) => {
                    input.warn(&object.meta, target.place, &problem);
                    refused.get_or_insert(problem);
                }
            }
        }
        // It is accepted where it holds for at least one target.
        if taken > 0 && settings.is_ok() {
            refused = None;
        }
        policies.states.push(PolicyState {
            object,
            refused,
            unresolved,
            ancestors,
        });
    }
    policies
}

fn check(input: Input<'_>, target: &Target, service: &Name) -> Result<(), Problem> {
    if (target.group.as_str(), target.kind.as_str()) != ("", "Service") {
        let message = format!("`{}` can't be a target: only a Service can", target.kind);
        return Err(Problem::new("TargetNotFound", message));
    }
    let Some(found) = input.world.services.get(service) else {
        let message = format!("Service {service} is not there");
        return Err(Problem::new("TargetNotFound", message));
    };
    match &target.section {
        Some(section) if !found.ports.iter().any(|port| port.name == *section) => {
            let message = format!("Service {service} has no port of name `{section}`");
            Err(Problem::new("TargetNotFound", message))
        }
        _ => Ok(()),
    }
}

/// What the policy asks for, or why it can't be done; and what could not be resolved.
fn settings(
    input: Input<'_>,
    object: &Object<BackendTlsPolicy>,
) -> (Result<BackendTls, Problem>, Option<Problem>) {
    let spec = &object.spec;
    let mut unresolved = None;
    let ca = match &spec.ca {
        Ca::WellKnown(name) if name.value == "System" => None,
        Ca::WellKnown(name) => {
            let message = format!("`{}` is not known: only System is", name.value);
            let problem = Problem::new("Invalid", message);
            input.warn(&object.meta, name.place, &problem);
            return (Err(problem), None);
        }
        Ca::References(references) => {
            let mut found = Vec::new();
            for reference in references {
                let namespace = &object.meta.namespace;
                let described = reference.describe(namespace);
                let kind = (reference.group.as_str(), reference.kind.as_str());
                let outcome = if matches!(kind, ("", "ConfigMap" | "Secret")) {
                    bundle(input, reference, namespace).map_err(|why| {
                        Problem::new("InvalidCACertificateRef", format!("{described} {why}"))
                    })
                } else {
                    let message = format!(
                        "{described} can't be used: only a ConfigMap or a Secret holds a CA bundle"
                    );
                    Err(Problem::new("InvalidKind", message))
                };
                match outcome {
                    Ok(reference) => found.push(reference),
                    Err(problem) => {
                        input.warn(&object.meta, reference.place, &problem);
                        unresolved.get_or_insert(problem);
                    }
                }
            }
            if found.is_empty() {
                let message = "none of the CA references can be used";
                let problem = Problem::new("NoValidCACertificate", message);
                return (Err(problem), unresolved);
            }
            Some(found)
        }
    };
    let settings = BackendTls {
        policy: Name::new(&object.meta.namespace, &object.meta.name),
        ca,
        hostname: spec.hostname.clone(),
        subject_alt_names: spec.subject_alt_names.clone(),
    };
    (Ok(settings), unresolved)
}

fn gateways_of(routes: &[RouteState<'_>], service: &Name) -> BTreeSet<Name> {
    let leading = routes.iter().filter(|route| {
        let mut services = route.services.iter();
        services.any(|target| target.service == *service)
    });
    leading.flat_map(|route| route.gateways.clone()).collect()
}
