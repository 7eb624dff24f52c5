//! Whether an answer is what a case expects, by the rules of the suite's own comparison.

use http::{HeaderMap, Uri};
use serde_json::Value;

use crate::certificates::{Certificates, fingerprint};
use crate::client::{Answer, Reply};
use crate::expected::{Grpc, Http, Redirect, SeenRequest, Tcp};

/// What is wrong, as a sentence; nothing if all is well.
pub(crate) type Verdict = Result<(), String>;

/// A request that an upstream says it saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    server_name: String,
    peer_certificates: Vec<String>,
}

impl Seen {
    /// Reads an echo's answer. One that is no echo's is as if an upstream had seen nothing but the method, as in the
    /// suite: a gateway may answer some requests itself.
    pub(crate) fn of(answer: &Answer, method: &str) -> Self {
        let Ok(Value::Object(said)) = serde_json::from_slice(&answer.body) else {
            return Self {
                method: method.to_owned(),
                ..Self::default()
            };
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let field = |name: &str| said.get(name).map(text).unwrap_or_default();
        let mut headers = Vec::new();
        for (name, values) in said
            .get("headers")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let values = values.as_array().into_iter().flatten();
            headers.extend(values.map(|value| (name.to_lowercase(), text(value))));
        }
        let tls = said.get("tls").unwrap_or(&Value::Null);
        let peers = tls["peerCertificates"].as_array().into_iter().flatten();
        Self {
            host: field("host"),
            method: field("method"),
            path: field("path"),
            namespace: field("namespace"),
            pod: field("pod"),
            headers,
            server_name: text(&tls["serverName"]),
            peer_certificates: peers.map(text).collect(),
        }
    }
}

/// Judges an answer. `asked` is the URL that the request was for, without what the case leaves to the harness.
pub(crate) fn http(
    expected: &Http,
    answer: &Answer,
    asked: &Uri,
    certificates: &Certificates,
) -> Verdict {
    let (statuses, status) = (expected.statuses(), answer.status);
    let timeout = |status: &u16| matches!(status, 408 | 504);
    if timeout(&status) && statuses.iter().any(timeout) {
        return Ok(());
    }
    if !statuses.contains(&status) {
        let body = String::from_utf8_lossy(&answer.body);
        let body: String = body.chars().take(200).collect();
        return Err(format!(
            "expected status {statuses:?}, got {status} {body:?}"
        ));
    }
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        return match &expected.redirect_request {
            Some(redirect) => redirected(redirect, answer, asked),
            None => Ok(()),
        };
    }
    response_headers(expected, &answer.headers)?;
    match status {
        200 => upstream_saw(expected, &Seen::of(answer, &method(expected)), certificates),
        _ => Ok(()),
    }
}

/// GET, if the case names none.
pub(crate) fn method(expected: &Http) -> String {
    match expected.request.method.as_str() {
        "" => "GET".to_owned(),
        method => method.to_owned(),
    }
}

fn upstream_saw(expected: &Http, seen: &Seen, certificates: &Certificates) -> Verdict {
    let as_sent = SeenRequest {
        request: expected.request.clone(),
        absent_headers: None,
    };
    let wanted = expected.expected_request.as_ref().unwrap_or(&as_sent);
    let request = &wanted.request;
    if !request.host.is_empty() {
        same("host", &request.host, &seen.host)?;
    }
    same("path", &request.path, &seen.path)?;
    let method = if request.method.is_empty() {
        "GET"
    } else {
        &request.method
    };
    same("method", method, &seen.method)?;
    if let Some(namespace) = &expected.namespace {
        same("namespace", namespace, &seen.namespace)?;
    }
    if let Some(backend) = &expected.backend
        && !seen.pod.starts_with(backend.as_str())
    {
        return Err(format!(
            "expected backend {backend}, got pod {:?}",
            seen.pod
        ));
    }
    for (name, value) in request.headers.iter().flatten() {
        let got = joined(&seen.headers, name);
        let got =
            got.ok_or_else(|| format!("the upstream saw no header {name}, expected {value:?}"))?;
        same(&format!("request header {name}"), value, &got)?;
    }
    for name in wanted.absent_headers.iter().flatten() {
        if let Some(value) = joined(&seen.headers, name) {
            return Err(format!(
                "the upstream saw header {name} with {value:?}, expected none"
            ));
        }
    }
    if !request.sni.is_empty() {
        same(
            "server name that the upstream saw",
            &request.sni,
            &seen.server_name,
        )?;
    }
    if let Some(secret) = &request.client_cert {
        let pair = certificates
            .pair(secret)
            .map_err(|error| error.to_string())?;
        if seen.peer_certificates.first() != Some(&fingerprint(&pair.der())) {
            let got = seen.peer_certificates.len();
            return Err(format!(
                "expected that the upstream sees the certificate of Secret {secret}, it saw {got} certificates, \
                 the first of which is not it"
            ));
        }
    }
    Ok(())
}

fn response_headers(expected: &Http, headers: &HeaderMap) -> Verdict {
    let response = &expected.response;
    let got = |name: &str| {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    for (name, value) in &response.headers {
        let got =
            got(name).ok_or_else(|| format!("no response header {name}, expected {value:?}"))?;
        same(&format!("response header {name}"), value, &got)?;
    }
    for name in &response.absent_headers {
        if let Some(value) = got(name) {
            return Err(format!(
                "response header {name} is {value:?}, expected none"
            ));
        }
    }
    for (name, values) in &response.valid_header_values {
        let got = got(name)
            .ok_or_else(|| format!("no response header {name}, expected one of {values:?}"))?;
        let trimmed = |text: &str| match response.ignore_whitespace {
            true => text.split_whitespace().collect(),
            false => text.to_owned(),
        };
        if !values.iter().any(|value| trimmed(value) == trimmed(&got)) {
            return Err(format!(
                "expected response header {name} to be one of {values:?}, got {got:?}"
            ));
        }
    }
    Ok(())
}

/// Where the answer leads. A host that the case does not name is not looked at; scheme and path are then the
/// request's, and the port may be missing or the scheme's own.
fn redirected(expected: &Redirect, answer: &Answer, asked: &Uri) -> Verdict {
    let location = answer
        .headers
        .get("location")
        .and_then(|location| location.to_str().ok());
    let location = location.ok_or("a redirect without `location`")?;
    let uri: Uri = location
        .parse()
        .map_err(|_| format!("location {location:?} is no URL"))?;
    if !expected.host.is_empty() {
        same(
            "redirect's host",
            &expected.host,
            uri.host().unwrap_or_default(),
        )?;
    }
    let or_asked = |wanted: &str, asked: &str| match wanted {
        "" => asked.to_owned(),
        wanted => wanted.to_owned(),
    };
    let asked_scheme = asked.scheme_str().unwrap_or_default();
    // A relative URL keeps what it does not name.
    let scheme = uri.scheme_str().unwrap_or(asked_scheme);
    same(
        "redirect's scheme",
        &or_asked(&expected.scheme, asked_scheme),
        scheme,
    )?;
    same(
        "redirect's path",
        &or_asked(&expected.path, asked.path()),
        uri.path(),
    )?;
    let port = uri
        .port()
        .map(|port| port.as_str().to_owned())
        .unwrap_or_default();
    match (expected.port.as_str(), scheme) {
        ("", "http") if port == "80" || port.is_empty() => Ok(()),
        ("", "https") if port == "443" || port.is_empty() => Ok(()),
        ("", _) => Err(format!(
            "expected the redirect to {scheme}'s own port, got {port:?} in {location:?}"
        )),
        (expected, _) => same("redirect's port", expected, &port),
    }
}

/// Judges a reply. Only the code is compared unless it is OK.
pub(crate) fn grpc(expected: &Grpc, reply: &Reply) -> Verdict {
    let code = expected.code()?;
    if code != reply.code {
        return Err(format!(
            "expected gRPC code {code}, got {} {:?}",
            reply.code, reply.message
        ));
    }
    if code != 0 {
        return Ok(());
    }
    let path = format!("{}{}", crate::echo::METHOD_PREFIX, expected.method());
    same("method", &path, &reply.path)?;
    if let Some(namespace) = &expected.namespace {
        same("namespace", namespace, &reply.namespace)?;
    }
    match &expected.backend {
        Some(backend) if !reply.pod.starts_with(backend.as_str()) => Err(format!(
            "expected backend {backend}, got pod {:?}",
            reply.pod
        )),
        _ => Ok(()),
    }
}

/// Judges what the TCP echo said of itself.
pub(crate) fn tcp(expected: &Tcp, said: &Value) -> Verdict {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    same("namespace", &expected.namespace, &text(&said["namespace"]))?;
    let pod = text(&said["pod"]);
    if !pod.starts_with(&format!("{}-", expected.backend)) {
        return Err(format!(
            "expected backend {}, got pod {pod:?}",
            expected.backend
        ));
    }
    if said["isTLS"] != expected.backend_is_tls {
        return Err(format!(
            "expected that TLS reaches the upstream: {}, got {}",
            expected.backend_is_tls, said["isTLS"]
        ));
    }
    if !expected.hostname.is_empty() {
        same(
            "server name",
            &expected.hostname,
            &text(&said["tls"]["serverName"]),
        )?;
    }
    Ok(())
}

/// Judges how often each backend was reached. One with a share of nothing must not be reached at all.
pub(crate) fn shares(
    expected: &std::collections::BTreeMap<String, f64>,
    pods: &[String],
) -> Verdict {
    let total = pods.len() as f64;
    for (backend, share) in expected {
        let hits = pods.iter().filter(|pod| belongs(pod, backend)).count();
        let got = hits as f64 / total;
        let wrong = if *share == 0.0 {
            hits > 0
        } else {
            (got - share).abs() > TOLERANCE
        };
        if wrong {
            return Err(format!(
                "expected {share} of the requests at {backend}, got {got:.3} of {total}"
            ));
        }
    }
    match pods
        .iter()
        .find(|pod| !expected.keys().any(|backend| belongs(pod, backend)))
    {
        Some(pod) => Err(format!("a request reached {pod:?}, which has no share")),
        None => Ok(()),
    }
}

/// How far a share may be off, as in the suite.
pub(crate) const TOLERANCE: f64 = 0.05;

/// Whether a pod is of that Deployment.
fn belongs(pod: &str, backend: &str) -> bool {
    pod.strip_prefix(backend)
        .is_some_and(|rest| rest.starts_with('-'))
}

/// A header's values with commas between them.
pub(crate) fn joined(headers: &[(String, String)], name: &str) -> Option<String> {
    let wanted = |(header, _): &&(String, String)| header.eq_ignore_ascii_case(name);
    let values: Vec<_> = headers
        .iter()
        .filter(wanted)
        .map(|(_, value)| value.as_str())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn same(what: &str, expected: &str, got: &str) -> Verdict {
    match expected == got {
        true => Ok(()),
        false => Err(format!("expected {what} {expected:?}, got {got:?}")),
    }
}

#[cfg(test)]
mod tests;
