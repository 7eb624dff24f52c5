//! `ListenerSet`: listeners that somebody adds to a Gateway.

use manifests::decode::{Fields, non_empty, owned};

use super::GROUP;
use super::gateway::{Listener, listeners};

/// Listeners and the Gateway that they are added to.
#[derive(Debug)]
pub(crate) struct ListenerSet {
    pub(crate) parent_group: String,
    pub(crate) parent_kind: String,
    pub(crate) parent_name: String,
    pub(crate) parent_namespace: Option<String>,
    pub(crate) parent_place: manifests::yaml::Place,
    pub(crate) listeners: Vec<Listener>,
    /// An `XListenerSet`.
    pub(crate) is_experimental: bool,
}

pub(crate) fn decode(object: &mut Fields<'_>, is_experimental: bool) -> Option<ListenerSet> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let parent = fields.required("parentRef", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let group = fields.optional("group", owned);
            let kind = fields.optional("kind", non_empty);
            let name = fields.required("name", non_empty);
            let namespace = fields.optional("namespace", non_empty);
            fields.finish();
            Some((group, kind, name?, namespace, node.place))
        });
        let listeners = listeners(&mut fields);
        if fields.node("listeners").is_none_or(|node| node.len() == 0) {
            fields.error_at("listeners", "needs at least one listener");
        }
        fields.finish();
        let (group, kind, parent_name, parent_namespace, parent_place) = parent?;
        Some(ListenerSet {
            parent_group: group.unwrap_or_else(|| GROUP.to_owned()),
            parent_kind: kind.unwrap_or_else(|| "Gateway".to_owned()),
            parent_name,
            parent_namespace,
            parent_place,
            listeners,
            is_experimental,
        })
    })
}
