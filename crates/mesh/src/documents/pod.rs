//! Kubernetes `Pod`, only for its labels: slices name their pods, and subsets select by labels.

use crate::decode::Fields;

/// Nothing beyond the metadata is read.
#[derive(Debug)]
pub(crate) struct Pod;

/// `kind: Pod`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Pod> {
    object.accept(&["spec"]);
    Some(Pod)
}
