//! `targetRefs` of our own policies: what they hold for, as in Gateway API's policies.

use crate::decode::{Context, Fields, Located, list_of, located, non_empty, one_of};
use crate::yaml::Node;

/// A service by name, in the policy's namespace.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    pub(crate) name: Located<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Service,
    ServiceEntry,
}

/// `targetRefs`, or the single `targetRef` of Gateway API's first policies.
pub(crate) fn decode(fields: &mut Fields<'_>) -> Vec<Target> {
    let many = fields.optional("targetRefs", list_of(target));
    let one = fields.optional("targetRef", target);
    let written = ["targetRefs", "targetRef"].map(|name| fields.is_written(name));
    match written {
        [false, false] => fields.error_at("targetRefs", "is required"),
        [true, true] => fields.error_at("targetRef", "can't be set beside `targetRefs`"),
        _ => {}
    }
    many.unwrap_or_default().into_iter().chain(one).collect()
}

fn target<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Target> {
    let mut fields = Fields::of(node, context)?;
    const KINDS: &[(&str, TargetKind)] = &[
        ("Service", TargetKind::Service),
        ("ServiceEntry", TargetKind::ServiceEntry),
    ];
    let kind = fields.required("kind", one_of(KINDS));
    let name = fields.required("name", located(non_empty));
    fields.accept(&["group"]);
    fields.finish();
    Some(Target {
        kind: kind?,
        name: name?,
    })
}
