//! `AuthorizationPolicy`.

use super::selector::selector_or_targets;
use crate::decode::{Context, Fields, list_of, non_empty, one_of, string};
use crate::yaml::Node;

const ACTIONS: &[(&str, ())] = &[("ALLOW", ()), ("DENY", ()), ("AUDIT", ()), ("CUSTOM", ())];

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.optional("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        selector_or_targets(&mut fields);
        fields.list("rules", rule);
        fields.optional("action", one_of(ACTIONS));
        fields.optional("provider", |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.optional("name", string);
            fields.finish();
            Some(())
        });
        fields.finish();
        Some(())
    })
}

fn rule<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.list("from", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("source", source);
        fields.finish();
        Some(())
    });
    fields.list("to", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("operation", operation);
        fields.finish();
        Some(())
    });
    fields.list("when", condition);
    fields.finish();
    Some(())
}

fn source<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    const LISTS: &[&str] = &[
        "principals",
        "notPrincipals",
        "requestPrincipals",
        "notRequestPrincipals",
        "namespaces",
        "notNamespaces",
        "ipBlocks",
        "notIpBlocks",
        "remoteIpBlocks",
        "notRemoteIpBlocks",
        "serviceAccounts",
        "notServiceAccounts",
        "trustDomains",
        "notTrustDomains",
    ];
    let mut fields = Fields::of(node, context)?;
    lists(&mut fields, LISTS);
    let has = |names: &[&str]| names.iter().any(|name| fields.is_written(name));
    if has(&["serviceAccounts", "notServiceAccounts"])
        && has(&["principals", "notPrincipals", "namespaces", "notNamespaces"])
    {
        fields.error("can't have service accounts beside namespaces or principals");
    }
    fields.finish();
    Some(())
}

fn operation<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    const LISTS: &[&str] = &[
        "hosts",
        "notHosts",
        "ports",
        "notPorts",
        "methods",
        "notMethods",
        "paths",
        "notPaths",
    ];
    let mut fields = Fields::of(node, context)?;
    lists(&mut fields, LISTS);
    fields.finish();
    Some(())
}

fn condition<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.required("key", non_empty);
    lists(&mut fields, &["values", "notValues"]);
    if !fields.is_written("values") && !fields.is_written("notValues") {
        fields.error("compares nothing: `values` or `notValues` is required");
    }
    fields.finish();
    Some(())
}

fn lists(fields: &mut Fields<'_>, names: &'static [&'static str]) {
    for name in names {
        fields.optional(name, list_of(string));
    }
}
