//! `http[].match`.

use std::collections::BTreeMap;

use crate::decode::{
    Context, Fields, Finding, boolean, list_of, map_of, owned, port, string, string_map,
};
use crate::documents::names::check_label;
use crate::route::{HeaderMatch, Pattern, QueryMatch, RequestMatch, StringMatch, UriMatch};
use crate::yaml::{Node, Place, Value};

/// One entry of `match`.
#[derive(Debug, Clone)]
pub(crate) struct MatchEntry {
    pub(crate) place: Place,
    /// Only on these gateways; empty is all of the VirtualService's.
    pub(crate) gateways: Vec<String>,
    /// Only on this listener's (or mesh service's) port.
    pub(crate) port: Option<u16>,
    /// Only for clients with these labels. They and the namespace say nothing where gateways are named.
    pub(crate) source_labels: BTreeMap<String, String>,
    /// Only for clients of this namespace.
    pub(crate) source_namespace: Option<String>,
    /// `ignoreUriCase`, which a delegate and its root must agree about.
    pub(crate) ignore_uri_case: bool,
    /// What the request must look like.
    pub(crate) request: RequestMatch,
    /// False for an entry with a condition that can't be tested: taking it as fulfilled would let in requests
    /// that the rule is not for.
    pub(crate) can_match: bool,
}

const NEVER_MATCHES: &str = "the match entry never matches";

pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<MatchEntry> {
    let mut fields = Fields::of(node, context)?;
    let ignore_case = fields.optional("ignoreUriCase", boolean).unwrap_or(false);
    let request = RequestMatch {
        name: fields.optional("name", owned),
        uri: fields
            .optional("uri", string_match)
            .map(|matcher| UriMatch {
                matcher,
                ignore_case,
            }),
        scheme: fields.optional("scheme", not_empty_prefix),
        method: fields.optional("method", not_empty_prefix),
        authority: fields.optional("authority", not_empty_prefix),
        headers: headers(&mut fields),
        query_params: query_params(&mut fields),
    };
    let gateways = fields
        .optional("gateways", list_of(string))
        .unwrap_or_default();
    let port = fields.optional("port", port);
    let source_labels = fields
        .optional("sourceLabels", string_map)
        .unwrap_or_default();
    let source_namespace = fields
        .optional("sourceNamespace", owned)
        .filter(|namespace| !namespace.is_empty());
    if let Some(Err(why)) = source_namespace.as_deref().map(check_label) {
        fields.error_at("sourceNamespace", why);
    }
    for (name, is_set) in [
        ("sourceLabels", !source_labels.is_empty()),
        ("sourceNamespace", source_namespace.is_some()),
    ] {
        if is_set && !gateways.is_empty() {
            let finding = Finding::warning("has no effect beside `gateways`, as in Istio");
            fields.report_at(name, finding);
        }
    }
    let mut can_match = true;
    if request
        .headers
        .iter()
        .any(|header| header.name.starts_with('@'))
    {
        let message = format!("`@request.auth.claims` is not served yet: {NEVER_MATCHES}");
        fields.report_at("headers", Finding::warning(message));
        can_match = false;
    }
    // A name for statistics only.
    fields.accept(&["statPrefix"]);
    fields.finish();
    let gateways = gateways.into_iter().map(str::to_owned).collect();
    Some(MatchEntry {
        place: node.place,
        gateways,
        port,
        source_labels,
        source_namespace,
        ignore_uri_case: ignore_case,
        request,
        can_match,
    })
}

fn headers(fields: &mut Fields<'_>) -> Vec<HeaderMatch> {
    let mut headers = Vec::new();
    for (field, invert) in [("headers", false), ("withoutHeaders", true)] {
        for (name, matcher) in fields
            .optional(field, map_of(present_or_match))
            .unwrap_or_default()
        {
            let name = name.to_ascii_lowercase();
            if name.is_empty() {
                fields.error_at(field, "header name must not be empty");
            }
            headers.push(HeaderMatch {
                name,
                matcher,
                invert,
            });
        }
    }
    headers
}

fn query_params(fields: &mut Fields<'_>) -> Vec<QueryMatch> {
    let pairs = fields
        .optional("queryParams", map_of(present_or_match))
        .unwrap_or_default();
    pairs
        .into_iter()
        .map(|(name, matcher)| QueryMatch {
            name: name.to_owned(),
            matcher,
        })
        .collect()
}

fn present_or_match<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<StringMatch> {
    if matches!(node.value, Value::Null) {
        let finding = Finding::error("must not be null");
        context.report(
            node.place,
            finding.help("write `{}` to ask only that it is there"),
        );
        return None;
    }
    not_empty_prefix(node, context)
}

/// Envoy takes an empty prefix on paths only.
fn not_empty_prefix<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<StringMatch> {
    let matcher = string_match(node, context)?;
    if matches!(&matcher, StringMatch::Prefix(prefix) if prefix.is_empty()) {
        let finding = Finding::error("`prefix` must not be empty");
        context.report(
            node.place,
            finding.help("write `{}` to ask only that it is there"),
        );
        return None;
    }
    Some(matcher)
}

/// `exact`, `prefix` or `regex`; none of them asks only that there is a value.
pub(super) fn string_match<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<StringMatch> {
    let mut fields = Fields::of(node, context)?;
    let written = ["exact", "prefix", "regex"]
        .iter()
        .filter(|name| fields.is_written(name))
        .count();
    if written > 1 {
        fields.error("only one of `exact`, `prefix` and `regex` can be set");
    }
    let is_written = written > 0;
    let exact = fields
        .optional("exact", string)
        .map(|text| StringMatch::Exact(text.into()));
    let prefix = fields
        .optional("prefix", string)
        .map(|text| StringMatch::Prefix(text.into()));
    let regex = fields.optional("regex", |node, context| match string(node, context)? {
        // Not a regular expression, but what Istio takes for "any value".
        "*" => Some(StringMatch::Present),
        text => pattern(text, node, context).map(StringMatch::Regex),
    });
    fields.finish();
    let matcher = exact.or(prefix).or(regex);
    if is_written {
        matcher
    } else {
        Some(StringMatch::Present)
    }
}

fn pattern(text: &str, node: &Node<'_>, context: Context<'_>) -> Option<Pattern> {
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            let finding = Finding::error(format!("is not a regular expression: {why}"));
            context.report(node.place, finding.code("IST0122"));
            None
        }
    }
}
