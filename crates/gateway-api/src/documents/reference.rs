//! References from one object to another.

use manifests::decode::{Context, Fields, integer, non_empty, owned, port};
use manifests::yaml::{Node, Place};

use super::GROUP;

/// An object named by group, kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRef {
    /// Empty for Kubernetes' own.
    pub(crate) group: String,
    pub(crate) kind: String,
    /// `None` is that of the object it stands in.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl ObjectRef {
    /// Reads the fields of a reference; where `default` names a kind, group and kind may be left out.
    fn read(fields: &mut Fields<'_>, default: Option<(&str, &str)>) -> Option<Self> {
        let group = fields.optional("group", owned);
        let kind = match default {
            None => {
                if group.is_none() && !fields.is_written("group") {
                    fields.error_at("group", "is required");
                }
                fields.required("kind", non_empty)
            }
            Some((_, kind)) => Some(
                fields
                    .optional("kind", non_empty)
                    .unwrap_or_else(|| kind.to_owned()),
            ),
        };
        let default_group = default.map_or("", |(group, _)| group);
        Some(Self {
            namespace: fields.optional("namespace", non_empty),
            name: fields.required("name", non_empty)?,
            group: group.unwrap_or_else(|| default_group.to_owned()),
            kind: kind?,
            place: fields.place,
        })
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// The namespace that is meant in a document of `namespace`.
    pub(crate) fn namespace_in<'r>(&'r self, namespace: &'r str) -> &'r str {
        self.namespace.as_deref().unwrap_or(namespace)
    }

    /// For people: `Secret infra/cert`.
    pub(crate) fn describe(&self, namespace: &str) -> String {
        let kind = match self.group.as_str() {
            "" | GROUP => self.kind.clone(),
            group => format!("{}.{group}", self.kind),
        };
        format!("{kind} {}/{}", self.namespace_in(namespace), self.name)
    }
}

/// `SecretObjectReference`: a `Secret` unless it says otherwise.
pub(crate) fn secret_ref<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ObjectRef> {
    reference(node, context, Some(("", "Secret")))
}

/// `ObjectReference`, `LocalObjectReference`: group and kind are written.
pub(crate) fn object_ref<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ObjectRef> {
    reference(node, context, None)
}

fn reference<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
    default: Option<(&str, &str)>,
) -> Option<ObjectRef> {
    let mut fields = Fields::of(node, context)?;
    let reference = ObjectRef::read(&mut fields, default);
    fields.finish();
    reference
}

/// `spec.parentRefs[]`: what a route is attached to.
#[derive(Debug, Clone)]
pub(crate) struct ParentRef {
    pub(crate) object: ObjectRef,
    pub(crate) section: Option<String>,
    pub(crate) port: Option<u16>,
}

pub(crate) fn parent_ref<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ParentRef> {
    let mut fields = Fields::of(node, context)?;
    let parent = ObjectRef::read(&mut fields, Some((GROUP, "Gateway"))).map(|object| ParentRef {
        object,
        section: fields.optional("sectionName", non_empty),
        port: fields.optional("port", port),
    });
    fields.finish();
    parent
}

/// A `Service` by default, with its port.
#[derive(Debug, Clone)]
pub(crate) struct BackendRef {
    pub(crate) object: ObjectRef,
    /// Always there for a `Service`.
    pub(crate) port: Option<u16>,
}

/// Reads the fields of a backend within an object that may have others.
pub(crate) fn backend_fields(fields: &mut Fields<'_>) -> Option<BackendRef> {
    let object = ObjectRef::read(fields, Some(("", "Service")));
    let number = fields.optional("port", port);
    let object = object?;
    if object.is("", "Service") && number.is_none() {
        if !fields.is_written("port") {
            fields.error_at("port", "is required for a Service");
        }
        return None;
    }
    Some(BackendRef {
        object,
        port: number,
    })
}

pub(crate) fn backend_ref<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<BackendRef> {
    let mut fields = Fields::of(node, context)?;
    let backend = backend_fields(&mut fields);
    fields.finish();
    backend
}

/// `weight`: 0 to 1,000,000, 1 where it is not written.
pub(crate) fn weight(fields: &mut Fields<'_>) -> u32 {
    fields
        .optional("weight", integer(0..=1_000_000))
        .unwrap_or(1)
}
