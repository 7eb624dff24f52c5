//! What a rule does with requests.

use mesh::{
    Abort, Action, Cors, DestinationFilters, Fault, Fraction, HeaderOperations, Mesh, Mirror,
    NoCluster, PathRewrite, Redirect, RedirectPort, RetryOn, RetryPolicy, Rewrite, Route,
    WeightedDestination,
};

use super::{duration, limit, percent};

/// Everything that a rule does, by name. Rules that do the same have the same settings.
pub(crate) fn route_settings(mesh: &Mesh, route: &Route) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| settings.push((name.to_owned(), value));
    match &route.action {
        Action::Forward(destinations) => {
            add("to", shares(mesh, destinations));
            add("timeout", limit(route.timeout));
            add("retries", retries(&route.retries));
        }
        Action::Redirect(to) => add("redirect", redirect(to)),
        Action::DirectResponse { status, body } => add("answer", direct_response(*status, body)),
    }
    if let Some(change) = &route.rewrite {
        add("rewrite", rewrite(change));
    }
    for (of, operations) in [
        ("request headers", &route.headers.request),
        ("response headers", &route.headers.response),
    ] {
        if *operations != HeaderOperations::default() {
            add(of, headers(operations));
        }
    }
    if let Some(fault) = &route.fault {
        let Fault {
            delay: slow,
            abort: failed,
        } = &**fault;
        if let Some((share, time)) = slow {
            add("fault delay", delay(*share, *time));
        }
        if let Some((share, answer)) = failed {
            add("fault abort", abort(*share, *answer));
        }
    }
    if !route.mirrors.is_empty() {
        add("mirrors", mirrors(mesh, &route.mirrors));
    }
    if let Some(rules) = &route.cors {
        add("CORS", cors(rules));
    }
    if let Action::Forward(destinations) = &route.action {
        for destination in destinations {
            settings.extend(destination_settings(mesh, destination));
        }
    }
    settings
}

/// What one destination has of its own.
fn destination_settings(mesh: &Mesh, of: &WeightedDestination) -> Vec<(String, String)> {
    let name = destination(mesh, &of.cluster);
    let mut settings = Vec::new();
    let mut add = |what: &str, value: String| settings.push((format!("{what} of {name}"), value));
    for (what, operations) in [
        ("request headers", &of.headers.request),
        ("response headers", &of.headers.response),
    ] {
        if *operations != HeaderOperations::default() {
            add(what, headers(operations));
        }
    }
    for (what, value) in destination_filters(mesh, of) {
        add(&what, value);
    }
    settings
}

/// Redirect, rewrite, mirrors and CORS that one destination has of its own.
pub(crate) fn destination_filters(mesh: &Mesh, of: &WeightedDestination) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut add = |what: &str, value: String| settings.push((what.to_owned(), value));
    if let Some(filters) = &of.filters {
        let DestinationFilters {
            redirect: to,
            rewrite: change,
            mirrors: copies,
            cors: rules,
        } = &**filters;
        if let Some(to) = to {
            add("redirect", redirect(to));
        }
        if let Some(change) = change {
            add("rewrite", rewrite(change));
        }
        if !copies.is_empty() {
            add("mirrors", mirrors(mesh, copies));
        }
        if let Some(rules) = rules {
            add("CORS", cors(rules));
        }
    }
    settings
}

/// `reviews.default.svc.cluster.local:9080/v1`, or what is missing.
pub(crate) fn destination(mesh: &Mesh, cluster: &Result<mesh::ClusterId, NoCluster>) -> String {
    match cluster {
        Ok(id) => cluster_name(mesh.cluster(*id)),
        Err(missing) => format!(
            "nothing ({}, answered with {})",
            missing.reason, missing.status
        ),
    }
}

/// `reviews.default.svc.cluster.local:9080/v1`
fn cluster_name(cluster: &mesh::Cluster) -> String {
    let subset = match cluster.subset.as_str() {
        "" => String::new(),
        subset => format!("/{subset}"),
    };
    format!("{}:{}{subset}", cluster.host, cluster.port)
}

/// Destinations with their shares. How large their weights are makes no difference, what they are to each other does.
pub(crate) fn shares(mesh: &Mesh, destinations: &[WeightedDestination]) -> String {
    if let [only] = destinations {
        return destination(mesh, &only.cluster);
    }
    let total: u64 = destinations.iter().map(|to| u64::from(to.weight)).sum();
    let share = |to: &WeightedDestination| {
        let share = f64::from(to.weight) / total.max(1) as f64 * 100.0;
        format!("{} {}", percent(share), destination(mesh, &to.cluster))
    };
    destinations
        .iter()
        .map(share)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Status and place.
pub(crate) fn redirect(redirect: &Redirect) -> String {
    let Redirect {
        status,
        uri,
        authority,
        scheme,
        port,
        prefix,
    } = redirect;
    let mut parts = vec![status.to_string()];
    let mut add = |what: &str, value: &Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{what} {value}"));
        }
    };
    add("scheme", scheme);
    add("host", authority);
    add("path", uri);
    add("matched path to", prefix);
    match port {
        RedirectPort::Kept => {}
        RedirectPort::Default => parts.push("the scheme's port".to_owned()),
        RedirectPort::Number(port) => parts.push(format!("port {port}")),
    }
    parts.join(", ")
}

/// Status and how the body begins.
pub(crate) fn direct_response(status: u16, body: &[u8]) -> String {
    const SHOWN_CHARACTERS: usize = 60;
    let body = String::from_utf8_lossy(body);
    let mut shown: String = body.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < body.len() {
        shown.push('…');
    }
    match body.len() {
        0 => format!("{status} without a body"),
        length => format!("{status}, {length} bytes: {shown:?}"),
    }
}

/// How often and on what.
fn retries(policy: &RetryPolicy) -> String {
    let RetryPolicy {
        attempts,
        per_try_timeout,
        on: _,
        statuses: _,
        backoff,
        prefer_other_localities,
        prefer_other_endpoints,
    } = policy;
    if *attempts == 0 {
        return "none".to_owned();
    }
    let mut text = format!("{attempts} on {}", retry_conditions(policy).join(","));
    if let Some(time) = per_try_timeout {
        text.push_str(&format!(", {} per try", duration(*time)));
    }
    // Istio's default, which most rules have.
    if backoff.as_millis() != 25 {
        text.push_str(&format!(", back-off from {}", duration(*backoff)));
    }
    if *prefer_other_localities {
        text.push_str(", in other localities first");
    }
    if !prefer_other_endpoints {
        text.push_str(", also at the endpoint that failed");
    }
    text
}

/// In Envoy's names, statuses after them.
pub(crate) fn retry_conditions(policy: &RetryPolicy) -> Vec<String> {
    let RetryOn {
        any_5xx,
        gateway_error,
        reset,
        reset_before_request,
        connect_failure,
        refused_stream,
        retriable_4xx,
        grpc_cancelled,
        grpc_deadline_exceeded,
        grpc_internal,
        grpc_resource_exhausted,
        grpc_unavailable,
    } = policy.on;
    let all = [
        (any_5xx, "5xx"),
        (gateway_error, "gateway-error"),
        (reset, "reset"),
        (reset_before_request, "reset-before-request"),
        (connect_failure, "connect-failure"),
        (refused_stream, "refused-stream"),
        (retriable_4xx, "retriable-4xx"),
        (grpc_unavailable, "unavailable"),
        (grpc_cancelled, "cancelled"),
        (grpc_deadline_exceeded, "deadline-exceeded"),
        (grpc_internal, "internal"),
        (grpc_resource_exhausted, "resource-exhausted"),
    ];
    let named = all.into_iter().filter(|(wanted, _)| *wanted);
    let named = named.map(|(_, name)| name.to_owned());
    named
        .chain(policy.statuses.iter().map(u16::to_string))
        .collect()
}

/// New path and authority.
pub(crate) fn rewrite(rewrite: &Rewrite) -> String {
    let Rewrite {
        path, authority, ..
    } = rewrite;
    let path = path.as_ref().map(|path| match path {
        PathRewrite::Uri(uri) => format!("matched path to {uri}"),
        PathRewrite::Full(path) => format!("whole path to {path}"),
        PathRewrite::Regex(regex) => format!("path by {regex}"),
    });
    let authority = authority.as_ref().map(|to| format!("host to {to}"));
    path.into_iter()
        .chain(authority)
        .collect::<Vec<_>>()
        .join(", ")
}

/// In the order in which they are done.
pub(crate) fn headers(operations: &HeaderOperations) -> String {
    let HeaderOperations { set, add, remove } = operations;
    let removed = remove.iter().map(|name| format!("remove {name}"));
    let set = set
        .iter()
        .map(|(name, value)| format!("set {name}: {value}"));
    let added = add
        .iter()
        .map(|(name, value)| format!("add {name}: {value}"));
    removed
        .chain(set)
        .chain(added)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Both parts of a fault.
pub(crate) fn fault(fault: &Fault) -> String {
    let waits = fault.delay.map(|(share, time)| delay(share, time));
    let fails = fault.abort.map(|(share, answer)| abort(share, answer));
    waits
        .into_iter()
        .chain(fails)
        .collect::<Vec<_>>()
        .join(", ")
}

/// How many requests wait how long.
fn delay(share: Fraction, time: std::time::Duration) -> String {
    format!(
        "{} of requests wait {}",
        percent(share.percent()),
        duration(time)
    )
}

/// How many requests are answered with what.
fn abort(share: Fraction, answer: Abort) -> String {
    let answer = match answer {
        Abort::Http(status) => status.to_string(),
        Abort::Grpc(status) => format!("gRPC status {status}"),
    };
    format!("{} of requests get {answer}", percent(share.percent()))
}

/// How many requests are copied where.
fn mirror(mesh: &Mesh, mirror: &Mirror) -> String {
    format!(
        "{} to {}",
        percent(mirror.share.percent()),
        destination(mesh, &mirror.cluster)
    )
}

fn mirrors(mesh: &Mesh, mirrors: &[Mirror]) -> String {
    mirrors
        .iter()
        .map(|copy| mirror(mesh, copy))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Who may read answers, and what of them.
pub(crate) fn cors(cors: &Cors) -> String {
    let Cors {
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        forwards_unmatched,
    } = cors;
    let origins: Vec<_> = allow_origins.iter().map(ToString::to_string).collect();
    let mut parts = vec![match &origins[..] {
        [] => "no origin".to_owned(),
        origins => format!("origins {}", origins.join(" or ")),
    }];
    for (what, list) in [
        ("methods", allow_methods),
        ("headers", allow_headers),
        ("exposed headers", expose_headers),
    ] {
        if !list.is_empty() {
            parts.push(format!("{what} {}", list.join(" ")));
        }
    }
    if let Some(age) = max_age {
        parts.push(format!("kept for {}", duration(*age)));
    }
    if *allow_credentials {
        parts.push("with credentials".to_owned());
    }
    if !forwards_unmatched {
        parts.push("others' preflights are not forwarded".to_owned());
    }
    parts.join(", ")
}
