//! `metadata`.

use std::collections::BTreeMap;

use crate::Document;
use crate::decode::{Context, Fields, Report, integer, map_of, owned, string, string_map};
use crate::yaml::{Node, Place, Value};

/// What is read of `metadata`, and which document it came from.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, or the default.
    pub namespace: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// RFC 3339 in UTC, so that the text sorts by time.
    created: Option<String>,
    /// `metadata.generation`: how often the object's `spec` was changed.
    pub generation: Option<i64>,
    /// `VirtualService default/reviews`.
    pub label: String,
    document: usize,
    /// Where the object begins.
    pub place: Place,
}

/// Fields of Kubernetes' `ObjectMeta` that have no bearing on what is served.
const ACCEPTED: &[&str] = &[
    "annotations",
    "generateName",
    "selfLink",
    "uid",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "clusterName",
];

impl Metadata {
    /// Reads the metadata of an object that begins at `place`.
    pub fn decode(
        fields: &mut Fields<'_>,
        kind: &str,
        default_namespace: &str,
        document: usize,
        place: Place,
    ) -> Option<Self> {
        let (name, namespace, labels, created, generation) =
            fields.required("metadata", |node, context| {
                let mut fields = Fields::of(node, context)?;
                let name = fields
                    .optional("name", owned)
                    .filter(|name| !name.is_empty());
                if name.is_none() && !fields.is_written("generateName") {
                    fields.error_at("name", "is required");
                }
                let namespace = fields
                    .optional("namespace", owned)
                    .filter(|namespace| !namespace.is_empty());
                let labels = fields.optional("labels", string_map).unwrap_or_default();
                let created = fields.optional("creationTimestamp", timestamp);
                let generation = fields.optional("generation", integer(0..=1 << 53));
                fields.optional("annotations", map_of(string));
                fields.accept(ACCEPTED);
                fields.finish();
                Some((name?, namespace, labels, created, generation))
            })?;
        let namespace = namespace.unwrap_or_else(|| default_namespace.to_owned());
        let label = format!("{kind} {namespace}/{name}");
        Some(Self {
            name,
            namespace,
            labels,
            created,
            generation,
            label,
            document,
            place,
        })
    }

    /// Oldest first, as Istio orders objects of a kind; those of the same age (and those that don't say theirs,
    /// which come last) by name and namespace. Which file they stand in makes no difference.
    pub fn order(&self) -> (bool, Option<&str>, String) {
        let created = self.created.as_deref();
        (
            created.is_none(),
            created,
            format!("{}.{}", self.name, self.namespace),
        )
    }

    /// Oldest first, as the Gateway API orders objects; those of the same age (and those that don't say theirs, which
    /// come last) by namespace and name.
    pub fn age(&self) -> (bool, Option<&str>, &str, &str) {
        let created = self.created.as_deref();
        (created.is_none(), created, &self.namespace, &self.name)
    }

    /// Where findings about the object go. `documents` are those it was decoded from.
    pub fn context<'d>(&'d self, documents: &'d [Document<'d>], report: &'d Report) -> Context<'d> {
        let document = &documents[self.document];
        let root = document
            .root
            .as_ref()
            .expect("an object was read from this document");
        Context {
            file: &document.file,
            document: document.number,
            root,
            object: &self.label,
            report,
        }
    }
}

/// `kubectl get -o yaml` writes it quoted, Kubernetes itself as a plain scalar.
fn timestamp<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    match &node.value {
        Value::Plain(text) | Value::Text(text) => Some(text.clone().into_owned()),
        _ => owned(node, context),
    }
}
