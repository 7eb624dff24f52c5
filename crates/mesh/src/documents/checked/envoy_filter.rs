//! `EnvoyFilter`: where patches go. What is patched is Envoy's own.

use super::selector::labels;
use crate::decode::{Context, Fields, integer, one_of, port};
use crate::yaml::Node;

const APPLY_TO: &[(&str, ())] = &[
    ("INVALID", ()),
    ("LISTENER", ()),
    ("FILTER_CHAIN", ()),
    ("NETWORK_FILTER", ()),
    ("HTTP_FILTER", ()),
    ("ROUTE_CONFIGURATION", ()),
    ("VIRTUAL_HOST", ()),
    ("HTTP_ROUTE", ()),
    ("CLUSTER", ()),
    ("EXTENSION_CONFIG", ()),
    ("BOOTSTRAP", ()),
    ("LISTENER_FILTER", ()),
];

const CONTEXTS: &[(&str, bool)] = &[
    ("ANY", false),
    ("SIDECAR_INBOUND", false),
    ("SIDECAR_OUTBOUND", false),
    ("GATEWAY", false),
    ("WAYPOINT", true),
];

const OPERATIONS: &[(&str, ())] = &[
    ("INVALID", ()),
    ("MERGE", ()),
    ("ADD", ()),
    ("REMOVE", ()),
    ("INSERT_BEFORE", ()),
    ("INSERT_AFTER", ()),
    ("INSERT_FIRST", ()),
    ("REPLACE", ()),
    ("MERGE_AND_REPLACE_LIST", ()),
];

const FILTER_CLASSES: &[(&str, ())] = &[
    ("UNSPECIFIED", ()),
    ("AUTHN", ()),
    ("AUTHZ", ()),
    ("STATS", ()),
];

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.optional("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("workloadSelector", |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.optional("labels", labels);
            fields.finish();
            Some(())
        });
        fields.list("configPatches", patch);
        fields.optional(
            "priority",
            integer::<i32>(i64::from(i32::MIN)..=i64::from(i32::MAX)),
        );
        fields.accept(&["targetRefs"]);
        if fields.is_written("workloadSelector") && fields.is_written("targetRefs") {
            fields.error("only one of `targetRefs` and `workloadSelector` can be set");
        }
        fields.finish();
        Some(())
    })
}

fn patch<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("applyTo", one_of(APPLY_TO));
    fields.optional("match", condition);
    fields.optional("patch", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("operation", one_of(OPERATIONS));
        fields.optional("filterClass", one_of(FILTER_CLASSES));
        fields.accept(&["value"]);
        fields.finish();
        Some(())
    });
    fields.finish();
    Some(())
}

fn condition<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    let of_waypoint = fields
        .optional("context", one_of(CONTEXTS))
        .unwrap_or(false);
    fields.optional("waypoint", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("portNumber", port);
        fields.accept(&["filter", "route"]);
        fields.finish();
        Some(())
    });
    fields.accept(&["proxy", "listener", "routeConfiguration", "cluster"]);
    let others = ["listener", "routeConfiguration", "cluster"];
    let has_other = others.iter().any(|name| fields.is_written(name));
    let has_waypoint = fields.is_written("waypoint");
    if (has_waypoint && !of_waypoint) || (of_waypoint && has_other) {
        fields.error("`waypoint` goes with context WAYPOINT, and only with that");
    }
    fields.finish();
    Some(())
}
