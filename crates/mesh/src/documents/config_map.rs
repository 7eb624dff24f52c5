//! Kubernetes `ConfigMap`, as far as certificates are taken from it.

use std::collections::BTreeMap;

use crate::decode::{Fields, boolean, string_map};

/// Keys and texts.
#[derive(Debug)]
pub(crate) struct ConfigMap {
    pub(crate) data: BTreeMap<String, String>,
}

/// `kind: ConfigMap`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<ConfigMap> {
    let data = object.optional("data", string_map).unwrap_or_default();
    object.optional("immutable", boolean);
    object.accept(&["binaryData"]);
    Some(ConfigMap { data })
}
