//! The services that a policy's `targetRefs` name.

use super::registry::{Registry, service_host};
use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::documents::Object;
use crate::documents::target_refs::{Target, TargetKind};

/// Calls `attach` with the position of every service that the policy is for; false says that an older policy of
/// the kind holds for it already. Says what is not there, and which policy has no effect.
pub(super) fn each<T>(
    policy: &Object<T>,
    targets: &[Target],
    input: Input<'_>,
    registry: &mut Registry,
    mut attach: impl FnMut(&mut Registry, usize) -> bool,
) {
    let namespace = &policy.meta.namespace;
    let context = policy.context(input.files, input.report);
    for target in targets {
        let hosts = hosts(target, namespace, input);
        let found = hosts.iter().filter_map(|host| registry.find(host));
        let services: Vec<usize> = found.collect();
        if services.is_empty() {
            let message = format!(
                "{:?} {namespace}/{} is not there",
                target.kind, target.name.value
            );
            context.report(target.name.place, Finding::warning(message).code(NOT_FOUND));
        }
        for service in services {
            if !attach(registry, service) {
                let message = format!(
                    "an older policy of this kind holds for {:?} {namespace}/{} already",
                    target.kind, target.name.value
                );
                let finding = Finding::warning(message).help("this one has no effect; remove it");
                context.report(target.name.place, finding);
            }
        }
    }
}

fn hosts(target: &Target, namespace: &str, input: Input<'_>) -> Vec<String> {
    match target.kind {
        TargetKind::Service => {
            vec![service_host(
                &target.name,
                namespace,
                &input.options.cluster_domain,
            )]
        }
        TargetKind::ServiceEntry => {
            let mut entries = input.documents.service_entries.iter();
            let entry = entries.find(|entry| {
                entry.meta.name == target.name.value && entry.meta.namespace == *namespace
            });
            let hosts = entry.into_iter().flat_map(|entry| &entry.spec.hosts);
            hosts.map(|host| host.value.clone()).collect()
        }
    }
}
