//! `HTTPRoute`.

use manifests::decode::{Fields, non_empty};

use super::{Route, RouteKind, Rule, WeightedBackend, backend, filters, matches, retries};
use crate::attached::{HttpMatch, PathMatch, PathModifier};

pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Route> {
    super::decode(object, RouteKind::Http, rule)
}

fn rule(fields: &mut Fields<'_>) -> Option<Rule> {
    let name = fields.optional("name", non_empty);
    let mut matches = fields.list("matches", matches::http);
    let written = fields.node("matches").map_or(0, |node| node.len());
    if matches.is_empty() && written == 0 {
        matches.push(HttpMatch::default());
    }
    let filters = filters::decode(fields, RouteKind::Http);
    let backends = fields.list("backendRefs", |node, context| {
        backend(node, context, RouteKind::Http)
    });
    let timeouts = fields
        .optional("timeouts", retries::timeouts)
        .unwrap_or_default();
    let retry = fields.optional("retry", retries::retry);
    super::session_persistence(fields);
    if filters.redirect.is_some() && fields.is_written("backendRefs") && !backends.is_empty() {
        let message = "a RequestRedirect filter must not stand beside backends";
        fields.error_at("backendRefs", message);
    }
    check_prefixes(fields, &matches, written, &filters, &backends);
    Some(Rule {
        name,
        matches,
        filters,
        backends,
        timeouts,
        retry,
        place: fields.place,
    })
}

/// A prefix can only be replaced where there is exactly one.
fn check_prefixes<R>(
    fields: &Fields<'_>,
    matches: &[HttpMatch],
    written: usize,
    filters: &crate::attached::Filters<R>,
    backends: &[WeightedBackend],
) {
    let one_prefix = written <= 1
        && matches
            .iter()
            .all(|one| matches!(one.path, PathMatch::Prefix(_)));
    let replaces = |path: Option<&PathModifier>| matches!(path, Some(PathModifier::Prefix(_)));
    let of_rule = [
        filters.redirect.as_ref().and_then(|of| of.path.as_ref()),
        filters.rewrite.as_ref().and_then(|of| of.path.as_ref()),
    ];
    let of_backends = backends.iter().flat_map(|backend| {
        let filters = &backend.filters;
        [
            filters.redirect.as_ref().and_then(|of| of.path.as_ref()),
            filters.rewrite.as_ref().and_then(|of| of.path.as_ref()),
        ]
    });
    if !one_prefix && of_rule.into_iter().chain(of_backends).any(replaces) {
        let message = "with `replacePrefixMatch` exactly one match of type PathPrefix is needed";
        fields.error_at("matches", message);
    }
}
