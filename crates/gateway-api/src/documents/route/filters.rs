//! Filters of rules and backends.

use manifests::decode::{
    Context, Fields, Finding, boolean, did_you_mean, integer, non_empty, one_of, port, url_text,
};
use manifests::yaml::Node;

use super::RouteKind;
use super::matches::ANY_OR_METHODS;
use crate::attached::{
    Cors, Filters, Fraction, HeaderChanges, Mirror, PathModifier, Redirect, Rewrite, Scheme,
};
use crate::documents::names::{header_name, precise_hostname};
use crate::documents::reference::{BackendRef, backend_ref};

/// Each filter's type and the field that holds it.
const TYPES: &[(&str, &str)] = &[
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestMirror", "requestMirror"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
    ("ExtensionRef", "extensionRef"),
];

/// Those that `GRPCRoute` has.
const OF_GRPC: &[&str] = &[
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "ExtensionRef",
];

/// `filters` of a rule or a backend.
pub(super) fn decode(fields: &mut Fields<'_>, kind: RouteKind) -> Filters<BackendRef> {
    let mut filters = Filters::default();
    let mut seen = Vec::new();
    let context = fields.context;
    for node in fields.list("filters", |node, _| Some(node)) {
        filter(node, context, kind, &mut seen, &mut filters);
    }
    if filters.redirect.is_some() && filters.rewrite.is_some() {
        let message = "a RequestRedirect and a URLRewrite filter must not stand together";
        fields.error_at("filters", message);
    }
    filters
}

fn filter<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
    kind: RouteKind,
    seen: &mut Vec<&'static str>,
    filters: &mut Filters<BackendRef>,
) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    let written = fields.required("type", non_empty)?;
    let known = TYPES
        .iter()
        .filter(|(name, _)| kind == RouteKind::Http || OF_GRPC.contains(name));
    let Some(&(name, field)) = known.clone().find(|(name, _)| *name == written) else {
        let names = known.map(|(name, _)| *name);
        let list = names.clone().collect::<Vec<_>>().join(", ");
        let finding = Finding::error(format!("must be one of {list}, but is `{written}`"));
        fields.report_at("type", finding.maybe_help(did_you_mean(&written, names)));
        return None;
    };
    for (_, other) in TYPES.iter().filter(|(_, other)| *other != field) {
        if fields.node(other).is_some() {
            let message = format!("must not be written with type {name}");
            fields.error_at(other, message);
        }
    }
    if seen.contains(&name) && !matches!(name, "RequestMirror" | "ExtensionRef") {
        fields.error(format!("a {name} filter is there twice"));
    }
    seen.push(name);
    match name {
        "RequestHeaderModifier" => {
            filters.request_headers = fields.required(field, header_changes)?;
        }
        "ResponseHeaderModifier" => {
            filters.response_headers = fields.required(field, header_changes)?;
        }
        "RequestMirror" => filters.mirrors.push(fields.required(field, mirror)?),
        "RequestRedirect" => filters.redirect = Some(fields.required(field, redirect)?),
        "URLRewrite" => filters.rewrite = Some(fields.required(field, rewrite)?),
        "CORS" => filters.cors = Some(fields.required(field, cors)?),
        _ => {
            fields.node(field);
            let finding = Finding::warning(format!(
                "{name} is not served: its requests are answered with 500"
            ));
            let finding = finding.help("leave the filter out, if requests may go without it");
            fields.report_at("type", finding);
            filters.refused = Some(name.to_owned());
        }
    }
    fields.finish();
    Some(())
}

fn header_changes<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HeaderChanges> {
    let pair = |node: &'d Node<'d>, context: Context<'d>| {
        let mut fields = Fields::of(node, context)?;
        let name = fields.required("name", header_name);
        let value = fields.required("value", header_value);
        fields.finish();
        Some((name?, value?))
    };
    let mut fields = Fields::of(node, context)?;
    let changes = HeaderChanges {
        set: fields.list("set", pair),
        add: fields.list("add", pair),
        remove: fields.list("remove", header_name),
    };
    fields.finish();
    Some(changes)
}

fn header_value<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let value = non_empty(node, context)?;
    if value.len() > 4096
        || value
            .bytes()
            .any(|byte| byte < b' ' && byte != b'\t' || byte == 127)
    {
        context.error(
            node.place,
            "must be up to 4096 characters without control characters",
        );
        return None;
    }
    Some(value)
}

fn mirror<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Mirror<BackendRef>> {
    let mut fields = Fields::of(node, context)?;
    let backend = fields.required("backendRef", backend_ref);
    let percent = fields.optional("percent", integer::<u32>(0..=100));
    let fraction = fields.optional("fraction", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let numerator = fields.required("numerator", integer(0..=i64::from(i32::MAX)));
        let denominator = match fields.node("denominator") {
            Some(node) => integer(1..=i64::from(i32::MAX))(node, context),
            None => Some(100),
        };
        fields.finish();
        let fraction = Fraction {
            numerator: numerator?,
            denominator: denominator?,
        };
        if fraction.numerator > fraction.denominator {
            let message = format!(
                "{} must not be more than the denominator, which is {}",
                fraction.numerator, fraction.denominator
            );
            context.error(node.place, message);
            return None;
        }
        Some(fraction)
    });
    if fields.is_written("percent") && fields.is_written("fraction") {
        fields.error_at("fraction", "must not stand beside `percent`");
    }
    fields.finish();
    let share = match (percent, fraction) {
        (_, Some(fraction)) => fraction,
        (Some(percent), None) => Fraction {
            numerator: percent,
            denominator: 100,
        },
        (None, None) => Fraction {
            numerator: 1,
            denominator: 1,
        },
    };
    Some(Mirror {
        backend: backend?,
        share,
    })
}

fn redirect<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Redirect> {
    const SCHEMES: &[(&str, Scheme)] = &[("http", Scheme::Http), ("https", Scheme::Https)];
    const CODES: &[u16] = &[301, 302, 303, 307, 308];
    let mut fields = Fields::of(node, context)?;
    let scheme = fields.optional("scheme", one_of(SCHEMES));
    let host = fields.optional("hostname", precise_hostname);
    let path = fields.optional("path", path_modifier);
    let port = fields.optional("port", port);
    let status = fields.optional("statusCode", integer(100..=599));
    if let Some(status) = status.filter(|status| !CODES.contains(status)) {
        let message = format!("must be 301, 302, 303, 307 or 308, but is {status}");
        fields.error_at("statusCode", message);
    }
    fields.finish();
    Some(Redirect {
        scheme,
        hostname: host,
        path,
        port,
        status: status.unwrap_or(302),
    })
}

fn rewrite<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Rewrite> {
    let mut fields = Fields::of(node, context)?;
    let rewrite = Rewrite {
        hostname: fields.optional("hostname", precise_hostname),
        path: fields.optional("path", path_modifier),
    };
    fields.finish();
    Some(rewrite)
}

fn path_modifier<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<PathModifier> {
    const TYPES: &[(&str, bool)] = &[("ReplaceFullPath", false), ("ReplacePrefixMatch", true)];
    let mut fields = Fields::of(node, context)?;
    let is_prefix = fields.required("type", one_of(TYPES));
    let full = fields.optional("replaceFullPath", path);
    let prefix = fields.optional("replacePrefixMatch", path);
    let (wanted, other) = match is_prefix? {
        true => ("replacePrefixMatch", "replaceFullPath"),
        false => ("replaceFullPath", "replacePrefixMatch"),
    };
    if fields.is_written(other) {
        fields.error_at(other, "must not be written with this type");
    }
    if !fields.is_written(wanted) {
        fields.error_at(wanted, "is required with this type");
    }
    fields.finish();
    match is_prefix? {
        true => Some(PathModifier::Prefix(prefix.unwrap_or_default())),
        false => Some(PathModifier::Full(full.unwrap_or_default())),
    }
}

/// A path that is put in place of another. Without a `/` in front it would become part of the host in a redirect.
fn path<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let path = url_text(node, context)?;
    if path.contains('#') {
        context.error(node.place, format!("must not hold `#`, but is `{path}`"));
        return None;
    }
    match path.is_empty() || path.starts_with('/') {
        true => Some(path),
        false => Some(format!("/{path}")),
    }
}

fn cors<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Cors> {
    let mut fields = Fields::of(node, context)?;
    let methods = fields.list("allowMethods", one_of(ANY_OR_METHODS));
    let cors = Cors {
        allow_origins: fields.list("allowOrigins", origin),
        allow_credentials: fields
            .optional("allowCredentials", boolean)
            .unwrap_or(false),
        allow_methods: methods.into_iter().map(str::to_owned).collect(),
        allow_headers: fields.list("allowHeaders", star_or_header),
        expose_headers: fields.list("exposeHeaders", star_or_header),
        max_age_s: fields
            .optional("maxAge", integer(1..=i64::from(i32::MAX)))
            .unwrap_or(5),
    };
    for (name, list) in [
        ("allowOrigins", &cors.allow_origins),
        ("allowMethods", &cors.allow_methods),
        ("allowHeaders", &cors.allow_headers),
    ] {
        if list.len() > 1 && list.iter().any(|item| item == "*") {
            fields.error_at(name, "`*` must stand alone");
        }
    }
    fields.finish();
    Some(cors)
}

fn star_or_header<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    if node.text() == Some("*") {
        return Some("*".to_owned());
    }
    header_name(node, context)
}

/// `*`, or `scheme://host` with a port, whose host may begin with `*.`.
fn origin<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = url_text(node, context)?;
    if text == "*" {
        return Some(text);
    }
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .map(|rest| match rest.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => rest,
        });
    let known = match host {
        Some("*") => true,
        Some(host) => hostname_text(host),
        // Other schemes are those of applications; only their shape can be said.
        None => text
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.is_empty()),
    };
    if !known {
        let message = format!("must be `*` or like `https://*.example.com:8443`, but is `{text}`");
        context.error(node.place, message);
        return None;
    }
    Some(text)
}

fn hostname_text(host: &str) -> bool {
    let host = host.strip_prefix("*.").unwrap_or(host);
    !host.is_empty()
        && host.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'[' | b']' | b':')
        })
}
