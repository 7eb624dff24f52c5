//! Conditions on requests.

use manifests::decode::{Context, Fields, non_empty, one_of, string};
use manifests::yaml::Node;

use crate::attached::{HttpMatch, PathMatch, TextMatch};
use crate::documents::names::header_name;

/// HTTP's methods.
const METHODS: &[(&str, &str)] = ANY_OR_METHODS.split_at(1).1;

/// The same behind `*`.
pub(super) const ANY_OR_METHODS: &[(&str, &str)] = &[
    ("*", "*"),
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("DELETE", "DELETE"),
    ("CONNECT", "CONNECT"),
    ("OPTIONS", "OPTIONS"),
    ("TRACE", "TRACE"),
    ("PATCH", "PATCH"),
];

/// `HTTPRoute`'s `matches[]`.
pub(super) fn http<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HttpMatch> {
    let mut fields = Fields::of(node, context)?;
    let path = match fields.node("path") {
        Some(node) => path(node, context),
        None => Some(PathMatch::Prefix("/".to_owned())),
    };
    let headers = headers(&mut fields);
    let query = named(&mut fields, "queryParams", non_empty);
    let method = fields.optional("method", one_of(METHODS));
    fields.finish();
    Some(HttpMatch {
        path: path?,
        headers,
        query,
        method: method.map(str::to_owned),
        service_length: 0,
    })
}

fn path<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<PathMatch> {
    #[derive(Clone, Copy, PartialEq)]
    enum Type {
        Exact,
        Prefix,
        Regex,
    }
    const TYPES: &[(&str, Type)] = &[
        ("Exact", Type::Exact),
        ("PathPrefix", Type::Prefix),
        ("RegularExpression", Type::Regex),
    ];
    let mut fields = Fields::of(node, context)?;
    let of_type = match fields.node("type") {
        Some(node) => one_of(TYPES)(node, context),
        None => Some(Type::Prefix),
    };
    let value = fields.optional("value", string).unwrap_or("/");
    let wrong = match of_type {
        Some(Type::Regex) => regex_error(value),
        Some(_) => path_error(value),
        None => None,
    };
    if let Some(wrong) = wrong {
        fields.error_at("value", wrong);
        return None;
    }
    fields.finish();
    let value = value.to_owned();
    Some(match of_type? {
        Type::Exact => PathMatch::Exact(value),
        Type::Prefix => PathMatch::Prefix(value),
        Type::Regex => PathMatch::Regex(value),
    })
}

/// What the CRD finds wrong with a path.
fn path_error(path: &str) -> Option<String> {
    if path.len() > 1024 {
        return Some(format!("has {} characters, the limit is 1024", path.len()));
    }
    if !path.starts_with('/') {
        return Some(format!("must begin with `/`, but is `{path}`"));
    }
    let never = ["//", "/./", "/../", "%2f", "%2F", "#"];
    if let Some(part) = never.into_iter().find(|part| path.contains(part)) {
        return Some(format!("must not contain `{part}`, but is `{path}`"));
    }
    if path.ends_with("/..") || path.ends_with("/.") {
        return Some(format!("must not end in `/.` or `/..`, but is `{path}`"));
    }
    let bytes = path.as_bytes();
    let odd = bytes.iter().enumerate().find(|&(at, &byte)| {
        let escape = || {
            let digits = bytes.get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        !(byte.is_ascii_alphanumeric()
            || b"-/._~!$&'()*+,;=:@".contains(&byte)
            || (byte == b'%' && escape()))
    });
    odd.map(|_| format!("has characters that a path must escape: `{path}`"))
}

fn regex_error(text: &str) -> Option<String> {
    let parsed = regex_syntax::ast::parse::Parser::new().parse(text);
    let error = parsed.err()?;
    Some(format!(
        "`{text}` is not a regular expression: {}",
        error.kind()
    ))
}

fn headers(fields: &mut Fields<'_>) -> Vec<(String, TextMatch)> {
    named(fields, "headers", header_name)
}

/// Conditions on named values. Of several with the same name the first counts, as the specification has it.
fn named(
    fields: &mut Fields<'_>,
    list: &'static str,
    name: impl for<'d> Fn(&'d Node<'d>, Context<'d>) -> Option<String>,
) -> Vec<(String, TextMatch)> {
    const TYPES: &[(&str, bool)] = &[("Exact", false), ("RegularExpression", true)];
    let found = fields.list(list, |node, context| {
        let mut fields = Fields::of(node, context)?;
        let name = fields.required("name", &name);
        let is_regex = match fields.node("type") {
            Some(node) => one_of(TYPES)(node, context),
            None => Some(false),
        };
        let value = fields.required("value", non_empty);
        if let (Some(true), Some(value)) = (is_regex, &value)
            && let Some(wrong) = regex_error(value)
        {
            fields.error_at("value", wrong);
            return None;
        }
        fields.finish();
        let value = value?;
        let matcher = match is_regex? {
            true => TextMatch::Regex(value),
            false => TextMatch::Exact(value),
        };
        Some((name?, matcher))
    });
    let mut kept: Vec<(String, TextMatch)> = Vec::with_capacity(found.len());
    for (name, matcher) in found {
        if kept.iter().any(|(before, _)| *before == name) {
            let message = format!("`{name}` is there twice: only the first counts");
            fields.report_at(list, manifests::decode::Finding::warning(message));
        } else {
            kept.push((name, matcher));
        }
    }
    kept
}

/// `GRPCRoute`'s `matches[]`.
pub(super) fn grpc<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HttpMatch> {
    let mut fields = Fields::of(node, context)?;
    let method = match fields.node("method") {
        Some(node) => grpc_method(node, context),
        None => Some((PathMatch::Prefix("/".to_owned()), 0)),
    };
    let headers = headers(&mut fields);
    fields.finish();
    let (path, service_length) = method?;
    Some(HttpMatch {
        path,
        headers,
        query: Vec::new(),
        method: None,
        service_length,
    })
}

/// The path of a service's method, and how many characters its service has.
fn grpc_method<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<(PathMatch, usize)> {
    const TYPES: &[(&str, bool)] = &[("Exact", false), ("RegularExpression", true)];
    let mut fields = Fields::of(node, context)?;
    let is_regex = match fields.node("type") {
        Some(node) => one_of(TYPES)(node, context),
        None => Some(false),
    };
    let service = fields.optional("service", non_empty);
    let method = fields.optional("method", non_empty);
    if !fields.is_written("service") && !fields.is_written("method") {
        fields.error("needs `service`, `method` or both");
        return None;
    }
    let is_regex = is_regex?;
    for (name, value) in [("service", &service), ("method", &method)] {
        let wrong = match value {
            Some(value) if is_regex => regex_error(value),
            Some(value) if !value.bytes().all(is_name_byte) => {
                Some(format!("`{value}` is not a name in gRPC"))
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            fields.error_at(name, wrong);
            return None;
        }
    }
    fields.finish();
    let length = service.as_ref().map_or(0, String::len);
    let any = "[^/]+".to_owned();
    let path = match (is_regex, service, method) {
        (true, service, method) => {
            let (service, method) = (service.unwrap_or(any.clone()), method.unwrap_or(any));
            PathMatch::Regex(format!("/(?:{service})/(?:{method})"))
        }
        (false, Some(service), Some(method)) => PathMatch::Exact(format!("/{service}/{method}")),
        (false, Some(service), None) => PathMatch::Prefix(format!("/{service}")),
        (false, None, Some(method)) => {
            PathMatch::Regex(format!("/{any}/{}", regex_syntax::escape(&method)))
        }
        (false, None, None) => return None,
    };
    Some((path, length))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}
