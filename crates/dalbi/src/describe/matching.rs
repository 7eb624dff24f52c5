//! Conditions on requests.

use mesh::{RequestMatch, Route};

/// What a rule asks of a request.
pub(crate) fn conditions(route: &Route) -> String {
    match &route.matches[..] {
        [] => "every request".to_owned(),
        entries => entries.iter().map(entry).collect::<Vec<_>>().join(" or "),
    }
}

/// What one entry of a rule's `match` asks, all of it together.
fn entry(entry: &RequestMatch) -> String {
    let RequestMatch {
        name: _,
        uri,
        scheme,
        method,
        authority,
        headers,
        query_params,
    } = entry;
    let mut parts = Vec::new();
    if let Some(uri) = uri {
        let fold = if uri.ignore_case {
            " ignoring case"
        } else {
            ""
        };
        parts.push(format!("uri {}{fold}", uri.matcher));
    }
    for (what, matcher) in [
        ("method", method),
        ("scheme", scheme),
        ("authority", authority),
    ] {
        if let Some(matcher) = matcher {
            parts.push(format!("{what} {matcher}"));
        }
    }
    for header in headers {
        let without = if header.invert { "without " } else { "" };
        parts.push(format!(
            "{without}header {} {}",
            header.name, header.matcher
        ));
    }
    for query in query_params {
        parts.push(format!("query parameter {} {}", query.name, query.matcher));
    }
    if parts.is_empty() {
        "every request".to_owned()
    } else {
        parts.join(", ")
    }
}
