//! From YAML to test cases, with every mistake told at its place.

use std::sync::Arc;
use std::time::Duration;

use manifests::decode::{
    Context, Decode, Fields, Finding, Report, boolean, decimal, duration, integer, kind_of,
    list_of, located, map_of, non_empty, owned, port, string, string_map,
};
use manifests::yaml::{self, Node, Value};
use mesh::{
    Abort, Diagnostic, Fault, Fraction, HeaderEdits, HeaderOperations, PathRewrite, RegexRewrite,
    Rewrite, SourceFile,
};

use super::case::Case;
use super::expected::{Destination, Expected, RedirectTo};
use super::names::Name;
use crate::explain::{Client, Request};

/// What tells a document with test cases from others.
const TEST_CASES: &str = "testCases";
/// Requests that one case may unfold to; more would be a mistake.
const MAX_REQUESTS: usize = 10_000;

/// Whether a file holds test cases and nothing else.
pub(crate) fn is_test_file(text: &str) -> bool {
    // Most files don't have the word, and need not be read twice.
    if !text.contains(TEST_CASES) {
        return false;
    }
    let text = yaml::with_yaml_escapes(text);
    let documents = yaml::documents(&text);
    let mut roots = documents
        .iter()
        .filter_map(|document| document.root.as_ref());
    let is_test = |root: &Node<'_>| root.get(TEST_CASES).is_some() && root.get("kind").is_none();
    roots.clone().next().is_some() && roots.all(is_test)
}

/// The test cases of a file, and what is wrong with it.
pub(crate) fn decode(file: &SourceFile) -> (Vec<Case>, Vec<Diagnostic>) {
    let report = Report::default();
    let path = Arc::from(file.path.as_path());
    let text = yaml::with_yaml_escapes(&file.text);
    let mut cases = Vec::new();
    for (number, parsed) in (1..).zip(yaml::documents(&text)) {
        let nothing = Node {
            place: yaml::Place { line: 1, column: 1 },
            value: Value::Null,
        };
        let context = Context {
            file: &path,
            document: number,
            root: parsed.root.as_ref().unwrap_or(&nothing),
            object: "",
            report: &report,
        };
        for error in &parsed.errors {
            context.error(error.place, error.message.clone());
        }
        let Some(mut fields) = parsed
            .root
            .as_ref()
            .and_then(|root| Fields::of(root, context))
        else {
            continue;
        };
        cases.extend(
            fields
                .required(TEST_CASES, list_of(case))
                .unwrap_or_default(),
        );
        fields.finish();
    }
    (cases, report.into_diagnostics())
}

fn case<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Case> {
    let mut fields = Fields::of(node, context)?;
    let description = fields.required("description", non_empty);
    let wanted = fields.optional("wantMatch", boolean);
    let requests = fields.required("request", requests);
    let gateway = fields.optional("gateway", gateway);
    let from = fields.optional("from", client);
    let mut expected = Vec::new();
    expected.extend(
        fields
            .optional("route", list_of(destination))
            .map(Expected::Route),
    );
    expected.extend(
        fields
            .optional("redirect", redirect)
            .map(Expected::Redirect),
    );
    expected.extend(fields.optional("rewrite", rewrite).map(Expected::Rewrite));
    expected.extend(fields.optional("fault", fault).map(Expected::Fault));
    expected.extend(fields.optional("headers", headers).map(Expected::Headers));
    expected.extend(fields.optional("delegate", delegate));
    let ours = fields.optional("expect", expect);
    let wanted = match (wanted, &ours) {
        (Some(wanted), _) => Some(wanted),
        (None, Some(_)) => Some(true),
        (None, None) if fields.is_written("wantMatch") => None,
        (None, None) => {
            let finding = Finding::error("is required");
            let help = "write true if the requests are to be served like this, false if they are not to be";
            fields.report_at("wantMatch", finding.help(help));
            None
        }
    };
    const PARTS: [&str; 7] = [
        "route", "redirect", "rewrite", "fault", "headers", "delegate", "expect",
    ];
    if !PARTS.iter().any(|part| fields.is_written(part)) {
        let finding = Finding::error("expects nothing, so it can't fail");
        context.report(
            node.place,
            finding.help(format!("add one of {}", PARTS.join(", "))),
        );
    }
    expected.extend(ours.unwrap_or_default());
    let source = context.source(node.place);
    fields.finish();
    Some(Case {
        description: description?,
        source,
        wanted: wanted?,
        gateway,
        from,
        requests: requests?,
        expected,
    })
}

/// A name, or a port.
fn gateway<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    match &node.value {
        Value::Plain(text) if text.parse::<u16>().is_ok() => Some(text.clone().into_owned()),
        _ => non_empty(node, context),
    }
}

fn client<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Client> {
    let mut fields = Fields::of(node, context)?;
    let client = Client {
        workload: fields.optional("workload", non_empty),
        namespace: fields.optional("namespace", non_empty),
        labels: fields.optional("labels", string_map).unwrap_or_default(),
    };
    fields.finish();
    Some(client)
}

/// Every combination of authority, method and URI.
fn requests<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Vec<Request>> {
    let mut fields = Fields::of(node, context)?;
    let authorities = fields.required("authority", one_or_more(located(non_empty)));
    let methods = fields.optional("method", one_or_more(located(non_empty)));
    let uris = fields.optional("uri", one_or_more(located(non_empty)));
    let schemes = fields.optional("scheme", one_or_more(located(scheme)));
    let headers = fields
        .optional("headers", map_of(string))
        .unwrap_or_default();
    let query = fields
        .optional("queryParams", map_of(string))
        .unwrap_or_default();
    fields.finish();
    let authorities = authorities?;
    let methods: Vec<&str> = match &methods {
        Some(methods) => methods.iter().map(|method| method.value.as_str()).collect(),
        None => vec!["GET"],
    };
    let schemes: Vec<&str> = match &schemes {
        Some(schemes) => schemes.iter().map(|scheme| scheme.value).collect(),
        None => vec!["http"],
    };
    let root = || manifests::decode::Located {
        value: "/".to_owned(),
        place: node.place,
    };
    let uris = uris.unwrap_or_else(|| vec![root()]);
    let count = [authorities.len(), methods.len(), uris.len(), schemes.len()]
        .into_iter()
        .fold(1, usize::saturating_mul);
    if count > MAX_REQUESTS {
        context.error(
            node.place,
            format!("stands for {count} requests, the limit is {MAX_REQUESTS}; split the case"),
        );
        return None;
    }
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let mut requests = Vec::with_capacity(count);
    for authority in &authorities {
        for uri in &uris {
            let target = with_query(&uri.value, &query);
            for scheme in &schemes {
                for method in &methods {
                    let url = format!("{scheme}://{}{target}", authority.value);
                    match Request::new(method, &url, &lines) {
                        Ok(request) => requests.push(request),
                        Err(error) => {
                            let finding =
                                Finding::error(format!("{method} {url} is no request: {error}"));
                            let help = "`authority` is a host, `uri` begins with a slash, `headers` are names and values";
                            context.report(uri.place, finding.help(help));
                            return None;
                        }
                    }
                }
            }
        }
    }
    Some(requests)
}

/// A path that begins without a slash is a host's end to a URL.
fn with_query(uri: &str, query: &[(&str, &str)]) -> String {
    let slash = if uri.starts_with('/') { "" } else { "/" };
    let mut target = format!("{slash}{uri}");
    let mut separator = if uri.contains('?') { '&' } else { '?' };
    for (name, value) in query {
        target.push_str(&format!("{separator}{name}={value}"));
        separator = '&';
    }
    target
}

fn scheme<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<&'static str> {
    match string(node, context)? {
        "http" => Some("http"),
        "https" => Some("https"),
        other => {
            context.error(
                node.place,
                format!("must be http or https, but is `{other}`"),
            );
            None
        }
    }
}

/// A list that says something, or its only item.
fn one_or_more<'d, T>(decode: impl Decode<'d, T>) -> impl Decode<'d, Vec<T>> {
    move |node: &'d Node<'d>, context: Context<'d>| {
        let Value::Sequence(items) = &node.value else {
            return Some(vec![decode(node, context)?]);
        };
        if items.is_empty() {
            context.error(node.place, "must not be empty");
        }
        let decoded: Vec<T> = items
            .iter()
            .filter_map(|item| decode(item, context))
            .collect();
        (!decoded.is_empty()).then_some(decoded)
    }
}

fn destination<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Destination> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("destination", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let host = fields.required("host", non_empty);
        let subset = fields.optional("subset", owned).unwrap_or_default();
        let port = fields.optional("port", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let number = fields.optional("number", port);
            fields.finish();
            number
        });
        fields.finish();
        Some(Name {
            host: host?,
            port,
            subset,
        })
    });
    let weight = fields.optional("weight", integer(0..=i64::from(u32::MAX)));
    fields.finish();
    Some(Destination {
        name: name?,
        weight,
    })
}

fn redirect<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<RedirectTo> {
    let mut fields = Fields::of(node, context)?;
    let redirect = RedirectTo {
        uri: fields.optional("uri", owned),
        authority: fields.optional("authority", owned),
        scheme: fields.optional("scheme", owned),
        port: fields.optional("port", port),
        status: fields.optional("redirectCode", status),
    };
    // What comes of it depends on the request; `expect.location` has it.
    fields.accept(&["derivePort"]);
    fields.finish();
    Some(redirect)
}

fn status<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<u16> {
    integer(100..=599)(node, context)
}

fn rewrite<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Rewrite> {
    let mut fields = Fields::of(node, context)?;
    let uri = fields.optional("uri", owned).map(PathRewrite::Uri);
    let authority = fields.optional("authority", owned);
    let regex = fields.optional("uriRegexRewrite", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let pattern = fields.required("match", non_empty);
        let substitution = fields.required("rewrite", owned);
        fields.finish();
        match RegexRewrite::new(&pattern?, &substitution?) {
            Ok(rewrite) => Some(PathRewrite::Regex(rewrite)),
            Err(error) => {
                context.error(node.place, error);
                None
            }
        }
    });
    fields.finish();
    Some(Rewrite {
        path: uri.or(regex),
        authority,
    })
}

fn fault<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Fault> {
    let mut fields = Fields::of(node, context)?;
    let delay = fields.optional("delay", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let share = percentage(&mut fields);
        let time = fields.required("fixedDelay", duration);
        fields.finish();
        Some((share, time?))
    });
    let abort = fields.optional("abort", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let share = percentage(&mut fields);
        let http = fields.optional("httpStatus", status).map(Abort::Http);
        let grpc = fields.optional("grpcStatus", grpc_status);
        let abort = http.or(grpc);
        if abort.is_none() {
            fields.error("needs `httpStatus` or `grpcStatus`");
        }
        fields.finish();
        Some((share, abort?))
    });
    fields.finish();
    Some(Fault { delay, abort })
}

/// Without one no request is meant, as in Istio.
fn percentage(fields: &mut Fields<'_>) -> Fraction {
    let value = fields.optional("percentage", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let value = fields.optional("value", decimal(0.0..=100.0));
        fields.finish();
        value
    });
    let whole = fields.optional("percent", integer::<u8>(0..=100));
    let percent = value.or(whole.map(f64::from)).unwrap_or_default();
    Fraction::from_percent(percent)
}

/// By number or by name.
fn grpc_status<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Abort> {
    let status = Abort::grpc(node.text().unwrap_or_default());
    if status.is_none() {
        context.error(
            node.place,
            format!(
                "must be a gRPC status such as UNAVAILABLE, but is {}",
                kind_of(node)
            ),
        );
    }
    status
}

fn headers<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HeaderEdits> {
    let mut fields = Fields::of(node, context)?;
    let edits = HeaderEdits {
        request: fields.optional("request", operations).unwrap_or_default(),
        response: fields.optional("response", operations).unwrap_or_default(),
    };
    fields.finish();
    Some(edits)
}

fn operations<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HeaderOperations> {
    let mut fields = Fields::of(node, context)?;
    let lower = |map: Option<Vec<(&str, &str)>>| {
        map.unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect()
    };
    let operations = HeaderOperations {
        set: lower(fields.optional("set", map_of(string))),
        add: lower(fields.optional("add", map_of(string))),
        remove: fields
            .list("remove", owned)
            .into_iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
    };
    fields.finish();
    Some(operations)
}

fn delegate<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Expected> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("name", non_empty);
    let namespace = fields.optional("namespace", non_empty);
    fields.finish();
    Some(Expected::Delegate {
        namespace,
        name: name?,
    })
}

/// What istio-config-validator has no words for.
fn expect<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Vec<Expected>> {
    let mut fields = Fields::of(node, context)?;
    let mut expected = Vec::new();
    expected.extend(fields.optional("status", status).map(Expected::Status));
    expected.extend(fields.optional("location", owned).map(Expected::Location));
    expected.extend(fields.optional("body", owned).map(Expected::Body));
    expected.extend(fields.optional("rule", owned).map(Expected::Rule));
    expected.extend(fields.optional("path", owned).map(Expected::Path));
    expected.extend(fields.optional("authority", owned).map(Expected::Authority));
    let tolerance = fields.optional("tolerance", decimal(0.0..=100.0));
    let shares = fields.optional("shares", map_of(percent));
    if let Some(shares) = shares {
        let names = named(shares, node, context);
        expected.push(Expected::Shares(names, tolerance.unwrap_or(0.5)));
    } else if tolerance.is_some() {
        fields.error_at("tolerance", "says nothing without `shares`");
    }
    let mirrors = fields.optional("mirrors", |node, context| {
        if matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
            return Some(Vec::new());
        }
        let all = map_of(|node, context| match &node.value {
            Value::Null => Some(None),
            _ => Some(Some(percent(node, context)?)),
        })(node, context)?;
        Some(named(all, node, context))
    });
    expected.extend(mirrors.map(Expected::Mirrors));
    expected.extend(fields.optional("timeout", timeout).map(Expected::Timeout));
    let retries = fields.optional("retries", integer(0..=i64::from(u32::MAX)));
    expected.extend(retries.map(Expected::Retries));
    if expected.is_empty() {
        fields.error("expects nothing; write for example `status: 404`");
    }
    fields.finish();
    Some(expected)
}

fn named<T>(all: Vec<(&str, T)>, node: &Node<'_>, context: Context<'_>) -> Vec<(Name, T)> {
    let decoded = all.into_iter().filter_map(|(text, value)| {
        let name = Name::parse(text);
        if name.is_none() {
            let message = format!("`{text}` names no destination");
            let finding = Finding::error(message).help("write HOST, HOST:PORT or HOST/SUBSET");
            context.report(node.place, finding);
        }
        Some((name?, value))
    });
    decoded.collect()
}

/// `80`, `12.5` or `80%`.
fn percent<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<f64> {
    let text = node.text().unwrap_or_default();
    let number = text.trim().trim_end_matches('%').parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    if number.is_none() {
        let message = format!("must be a share of 0% to 100%, but is {}", kind_of(node));
        context.error(node.place, message);
    }
    number
}

/// `none`, or how long.
fn timeout<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<Duration>> {
    if node.text() == Some("none") {
        return Some(None);
    }
    let time = duration(node, context)?;
    Some((!time.is_zero()).then_some(time))
}
