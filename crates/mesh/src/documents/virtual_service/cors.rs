//! `http[].corsPolicy`.

use std::sync::Arc;
use std::time::Duration;

use super::condition::string_match;
use crate::decode::{Context, Fields, boolean, duration, list_of, non_empty, one_of, string};
use crate::model::Cors;
use crate::route::StringMatch;
use crate::yaml::Node;

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

/// Whether preflights of foreign origins are forwarded.
const UNMATCHED: &[(&str, bool)] = &[("UNSPECIFIED", true), ("FORWARD", true), ("IGNORE", false)];

pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Arc<Cors>> {
    let mut fields = Fields::of(node, context)?;
    let origins = fields.optional("allowOrigins", list_of(origin));
    let deprecated = fields.optional("allowOrigin", list_of(string));
    let deprecated = deprecated.map(|origins| origins.into_iter().map(exact).collect());
    let cors = Cors {
        allow_origins: origins.or(deprecated).unwrap_or_default(),
        allow_methods: fields.list("allowMethods", method),
        allow_headers: fields.list("allowHeaders", header_name),
        expose_headers: fields.list("exposeHeaders", header_name),
        max_age: fields.optional("maxAge", whole_seconds),
        allow_credentials: fields.optional("allowCredentials", boolean) == Some(true),
        forwards_unmatched: fields
            .optional("unmatchedPreflights", one_of(UNMATCHED))
            .unwrap_or(true),
    };
    fields.finish();
    Some(Arc::new(cors))
}

/// To Envoy `*` is any origin, as a whole value and as a prefix.
fn exact(text: &str) -> StringMatch {
    match text {
        "*" => StringMatch::Present,
        text => StringMatch::Exact(text.into()),
    }
}

fn origin<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<StringMatch> {
    let matcher = string_match(node, context)?;
    let is_empty = match &matcher {
        StringMatch::Exact(text) | StringMatch::Prefix(text) | StringMatch::Segments(text) => {
            text.is_empty()
        }
        StringMatch::Regex(pattern) => pattern.text().is_empty(),
        // The regular expression `*` is any; nothing at all says nothing.
        StringMatch::Present => node.get("regex").is_none(),
    };
    if is_empty {
        context.error(
            node.place,
            "must say which origins: `exact`, `prefix` or `regex` is required",
        );
        return None;
    }
    Some(match matcher {
        StringMatch::Exact(text) => exact(&text),
        StringMatch::Prefix(text) if &*text == "*" => StringMatch::Present,
        matcher => matcher,
    })
}

fn method<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    if !METHODS.contains(&text) {
        let known = METHODS.join(", ");
        context.error(
            node.place,
            format!("must be one of {known}, but is `{text}`"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn header_name<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let name = non_empty(node, context)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        context.error(node.place, format!("`{name}` is not a header name"));
        return None;
    }
    Some(name)
}

fn whole_seconds<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Duration> {
    let age = duration(node, context)?;
    if age.subsec_nanos() > 0 {
        context.error(node.place, format!("must be whole seconds, but is {age:?}"));
        return None;
    }
    Some(age)
}
