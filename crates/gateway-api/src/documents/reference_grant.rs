//! `ReferenceGrant`: what others may refer to in its namespace.

use manifests::decode::{Fields, non_empty, owned};

/// Any of `from` may refer to any of `to`.
#[derive(Debug)]
pub(crate) struct ReferenceGrant {
    pub(crate) from: Vec<From>,
    pub(crate) to: Vec<To>,
}

/// Objects of a kind in a namespace.
#[derive(Debug)]
pub(crate) struct From {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
}

/// Objects of a kind, or the one of a name.
#[derive(Debug)]
pub(crate) struct To {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
}

pub(crate) fn decode(object: &mut Fields<'_>) -> Option<ReferenceGrant> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        for list in ["from", "to"] {
            if !fields.is_written(list) {
                fields.error_at(list, "is required");
            }
        }
        let from = fields.list("from", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let group = fields.optional("group", owned).unwrap_or_default();
            let kind = fields.required("kind", non_empty);
            let namespace = fields.required("namespace", non_empty);
            fields.finish();
            Some(From {
                group,
                kind: kind?,
                namespace: namespace?,
            })
        });
        let to = fields.list("to", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let group = fields.optional("group", owned).unwrap_or_default();
            let kind = fields.required("kind", non_empty);
            let name = fields
                .optional("name", owned)
                .filter(|name| !name.is_empty());
            fields.finish();
            Some(To {
                group,
                kind: kind?,
                name,
            })
        });
        fields.finish();
        Some(ReferenceGrant { from, to })
    })
}
