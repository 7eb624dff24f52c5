//! Kubernetes `Namespace`: only its labels matter, which are metadata.

use crate::decode::Fields;

/// What is there besides its metadata.
#[derive(Debug)]
pub(crate) struct Namespace;

/// `kind: Namespace`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Namespace> {
    object.accept(&["spec"]);
    Some(Namespace)
}
