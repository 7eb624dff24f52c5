//! Our own policies to the services they name. Of several of a kind for one service the oldest holds.

use super::Input;
use super::registry::Registry;
use super::targets;

/// Gives each service its checks and its balancing.
pub(super) fn attach(input: Input<'_>, registry: &mut Registry) {
    for policy in &input.documents.health_check_policies {
        let spec = &policy.spec;
        targets::each(
            policy,
            &spec.targets,
            input,
            registry,
            |registry, service| {
                let slot = &mut registry.services[service].health_check;
                let is_first = slot.is_none();
                slot.get_or_insert_with(|| spec.check.clone());
                is_first
            },
        );
    }
    for (position, policy) in input.documents.balancing_policies.iter().enumerate() {
        let targets = &policy.spec.targets;
        targets::each(policy, targets, input, registry, |registry, service| {
            let slot = &mut registry.services[service].balancing_policy;
            let is_first = slot.is_none();
            slot.get_or_insert(position);
            is_first
        });
    }
}
