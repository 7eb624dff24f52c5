//! What may be referred to in another namespace.

use super::Input;

/// Who refers: a kind of object in a namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct From<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

/// Whether objects of the Gateway API may refer to an object: in their own namespace, or by a ReferenceGrant in the
/// other's.
pub(super) fn permitted(
    input: Input<'_>,
    from: From<'_>,
    (group, kind): (&str, &str),
    namespace: &str,
    name: &str,
) -> bool {
    if from.namespace == namespace {
        return true;
    }
    let mut grants = input
        .documents
        .grants
        .iter()
        .filter(|grant| grant.meta.namespace == namespace);
    grants.any(|grant| {
        let may = grant.spec.from.iter().any(|allowed| {
            (
                allowed.group.as_str(),
                allowed.kind.as_str(),
                allowed.namespace.as_str(),
            ) == (crate::GROUP, from.kind, from.namespace)
        });
        may && grant.spec.to.iter().any(|allowed| {
            (allowed.group.as_str(), allowed.kind.as_str()) == (group, kind)
                && allowed.name.as_deref().is_none_or(|only| only == name)
        })
    })
}
