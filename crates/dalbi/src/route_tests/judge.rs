//! Whether requests are served as a case describes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use mesh::{HostMatch, ListenerKind, Mesh, RequestHead};
use serde::Serialize;

use super::Case;
use super::expected::{Answer, Mismatch};
use crate::explain::{Arrived, Request, find_listener};

/// What came of a case.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// How many requests were tried.
    pub(crate) requests: usize,
    /// Those that are not served as they should be.
    pub(crate) failures: Vec<Failure>,
}

/// A request that is not served as it should be.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// `GET http://example.com/users`
    pub(crate) request: String,
    /// The listener that it reaches; `None` if no listener does.
    pub(crate) listener: Option<String>,
    /// Name and place of the rule that takes it.
    pub(crate) rule: Option<(String, String)>,
    /// What is not as expected; nothing, if it was not to be as described.
    pub(crate) mismatches: Vec<Mismatch>,
    /// What to look at, if anything is known.
    pub(crate) hint: Option<String>,
}

/// Namespace and name of the VirtualService that a document is, by file and number.
pub(crate) type Owners = BTreeMap<(PathBuf, u32), (String, String)>;

/// Tries every request of the case.
pub(crate) fn judge(case: &Case, mesh: &Mesh, owners: &Owners) -> Verdict {
    let failures = case
        .requests
        .iter()
        .filter_map(|request| failure(case, request, mesh, owners))
        .collect();
    Verdict {
        requests: case.requests.len(),
        failures,
    }
}

fn failure(case: &Case, request: &Request, mesh: &Mesh, owners: &Owners) -> Option<Failure> {
    let name = format!("{} {}", request.method(), request.url());
    let listener = match listener(mesh, case, request) {
        Ok(listener) => listener,
        Err(_) if !case.wanted => return None,
        Err(hint) => {
            return Some(Failure {
                request: name,
                listener: None,
                rule: None,
                mismatches: Vec::new(),
                hint: Some(hint),
            });
        }
    };
    let head = Arrived::new(mesh, listener, request);
    // Any draw will do: destinations are judged with their shares.
    let explanation = mesh.explain(listener, &head, 0);
    let mut answer = Answer {
        mesh,
        explanation: &explanation,
        path_and_query: request.path_and_query(),
        authority: request.authority(),
        owner: None,
    };
    let route = answer.route();
    answer.owner = route.and_then(|route| {
        let place = (route.source.file.to_path_buf(), route.source.document);
        owners.get(&place).cloned()
    });
    let mismatches: Vec<Mismatch> = case
        .expected
        .iter()
        .filter_map(|expected| expected.check(&answer))
        .collect();
    if mismatches.is_empty() == case.wanted {
        return None;
    }
    let redirected_to_https =
        !request.is_https() && route.is_some_and(|route| route.name.ends_with("#httpsRedirect"));
    let hint = if redirected_to_https {
        Some(
            "the gateway sends plain HTTP to https; write `scheme: https` in the request"
                .to_owned(),
        )
    } else if case.wanted {
        None
    } else {
        Some("it is served as described, which `wantMatch: false` says it is not to be".to_owned())
    };
    Some(Failure {
        request: name,
        listener: Some(mesh.listeners[listener].name.clone()),
        rule: route.map(|route| (route.name.clone(), route.source.to_string())),
        mismatches,
        hint,
    })
}

/// The listener that the case names, else the one that knows the host best: by its name before by a wildcard, and
/// gateways before the mesh.
fn listener(mesh: &Mesh, case: &Case, request: &Request) -> Result<usize, String> {
    if let Some(wanted) = &case.gateway {
        return named(mesh, wanted, request).ok_or_else(|| {
            let names: Vec<_> = mesh
                .listeners
                .iter()
                .map(|listener| listener.name.as_str())
                .collect();
            format!(
                "no listener is called `{wanted}`; there are {}",
                names.join(", ")
            )
        });
    }
    let candidates = mesh
        .listeners
        .iter()
        .enumerate()
        .filter_map(|(position, listener)| {
            if case.from.is_some() && listener.kind != ListenerKind::Mesh {
                return None;
            }
            if listener.tls.is_some() != request.is_https() && listener.kind != ListenerKind::Mesh {
                return None;
            }
            let (_, kind) = listener.hosts.lookup(request.authority(), listener.port)?;
            let rank = match kind {
                HostMatch::Exact => usize::MAX,
                HostMatch::Suffix(length) => length,
                HostMatch::Any => 0,
            };
            let is_gateway = listener.kind == ListenerKind::Gateway;
            Some(((rank, is_gateway, Reverse(position)), position))
        });
    match candidates.max_by_key(|(rank, _)| *rank) {
        Some((_, position)) => Ok(position),
        None => find_listener(mesh, request, None).map_err(|error| error.to_string()),
    }
}

/// By `NAME`, `NAMESPACE/NAME`, `mesh`, port or the listener's whole name; of several the one for the scheme.
fn named(mesh: &Mesh, wanted: &str, request: &Request) -> Option<usize> {
    let is_named = |name: &str| {
        let gateways = name.strip_prefix("gateway ").unwrap_or(name);
        let gateways = gateways
            .rsplit_once(':')
            .map_or(gateways, |(names, _)| names);
        gateways.split(',').any(|full| {
            full == wanted
                || full
                    .split_once('/')
                    .is_some_and(|(_, short)| short == wanted)
        })
    };
    let fitting = mesh.listeners.iter().enumerate().filter(|(_, listener)| {
        listener.name == wanted || listener.port.to_string() == wanted || is_named(&listener.name)
    });
    let best = fitting.max_by_key(|(position, listener)| {
        (
            listener.tls.is_some() == request.is_https(),
            Reverse(*position),
        )
    });
    best.map(|(position, _)| position)
}
