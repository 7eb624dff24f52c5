//! `HealthCheckPolicy`s to the services they name.

use super::registry::{Registry, service_host};
use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::documents::health_check_policy::TargetKind;

/// Gives each target its checks; of several policies for one service the first holds.
pub(super) fn attach(input: Input<'_>, registry: &mut Registry) {
    for policy in &input.documents.health_check_policies {
        let namespace = &policy.meta.namespace;
        for target in &policy.spec.targets {
            let hosts: Vec<String> = match target.kind {
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
                    entry
                        .into_iter()
                        .flat_map(|entry| &entry.spec.hosts)
                        .map(|host| host.value.clone())
                        .collect()
                }
            };
            let services: Vec<usize> = hosts
                .iter()
                .filter_map(|host| registry.find(host))
                .collect();
            if services.is_empty() {
                let message = format!(
                    "{:?} {namespace}/{} is not there",
                    target.kind, target.name.value
                );
                let context = policy.context(input.files, input.report);
                context.report(target.name.place, Finding::warning(message).code(NOT_FOUND));
            }
            for service in services {
                registry.services[service]
                    .health_check
                    .get_or_insert_with(|| policy.spec.check.clone());
            }
        }
    }
}
