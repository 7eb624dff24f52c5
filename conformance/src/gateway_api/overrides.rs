//! Where the data is put right or completed, each time with the reason.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cases::{CaseFile, Test};
use crate::check::{Check, Outcome, Probe, UNIQUE};
use crate::expected::{Http, Tcp};
use crate::manifests::name_of;
use crate::site::Target;

/// Rows that carry no status, hence 200, while their subtest's title says that an error is to come. The suite sends
/// them with helpers of its own, whose expectation is in Go code; the title is right.
const TITLE_IS_RIGHT: [(&str, &str); 4] = [
    (
        "BackendTLSPolicy/154.0",
        "mismatched cert should return HTTP error",
    ),
    (
        "BackendTLSPolicySANValidation/87.0",
        "mismatched dns SAN should return an HTTP error",
    ),
    (
        "BackendTLSPolicySANValidation/120.0",
        "mismatched uri SAN should return an HTTP error",
    ),
    (
        "BackendTLSPolicySANValidation/153.0",
        "mismatched multi SAN should return an HTTP error",
    ),
];

/// The same, but its request names a host that its route does not have: nobody can answer but with 404.
const TITLE_IS_RIGHT_AND_HOST_UNKNOWN: &str = "BackendTLSPolicy/137.0";

/// Checks before which the suite takes documents away.
const WITHOUT: [(&str, &str); 1] = [("HTTPRouteReferenceGrant/76.0", "ReferenceGrant")];

/// The test that picks the listener by the port in each request's host; the data names the first one for all.
const BY_HOST: &str = "HTTPRouteListenerPortMatching/";

/// The check that asks a pod by its address, past its Service.
const POD_ADDRESS: &str = "MeshFrontend/44.1";

/// From where the mesh's requests come, other than from the namespace of the echoes.
const CLIENTS: [(&str, &str); 1] = [(
    "MeshConsumerRoute/44.0",
    "gateway-conformance-mesh-consumer",
)];

/// Where they come from otherwise.
const CLIENT: &str = "gateway-conformance-mesh";

/// Puts into a row's expectation what the suite computes from the table of its subtests.
pub(crate) fn complete(test: &str, title: &str, file: &CaseFile, expected: &mut Value) {
    let table = file
        .expectations
        .iter()
        .find(|part| part.kind == "[]struct");
    let entries = table.and_then(|table| table.expect.as_array());
    if test.starts_with("HTTPRouteRetry") {
        // Titles are `INDEX request to …`; the entry of that index says how the upstream is to fail.
        let index = title
            .split(' ')
            .next()
            .and_then(|index| index.parse::<usize>().ok());
        let entry = index.and_then(|index| entries?.get(index));
        if let Some(arguments) = entry.map(|entry| &entry["args"]) {
            let config = arguments["retrySimulationConfig"].as_object();
            let pairs = config
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some(format!("{name}={}", value[0].as_str()?)));
            let query = pairs
                .chain([format!("uuid={UNIQUE}")])
                .collect::<Vec<_>>()
                .join("&");
            let path = arguments["path"].as_str().unwrap_or_default();
            expected["Request"]["Path"] = json!(format!("{path}?{query}"));
        }
    }
    if test == "MeshGRPCRouteRequestHeaderModifier" {
        // The headers that the client sends besides the one that is matched.
        let entry = entries
            .into_iter()
            .flatten()
            .find(|entry| entry["name"] == title);
        for (name, value) in entry
            .and_then(|entry| entry["headers"].as_object())
            .into_iter()
            .flatten()
        {
            expected["Request"]["Headers"][name] = value.clone();
        }
    }
}

/// A row that a loop of the suite asks for several times.
pub(crate) fn spread(test: &str, expected: Value) -> Vec<Value> {
    if test != "HTTPRouteServiceTypes" {
        return vec![expected];
    }
    // One Service of each type, which the route's paths are named after.
    let types = [
        "manual-endpointslices",
        "headless",
        "headless-manual-endpointslices",
    ];
    let with_path = |kind: &str| {
        let mut expected = expected.clone();
        expected["Request"]["Path"] = json!(format!("/{kind}"));
        expected
    };
    types.into_iter().map(with_path).collect()
}

/// Changes what a row alone gets wrong.
pub(crate) fn adjust(check: &mut Check) {
    let is = |(id, _): &&(&str, &'static str)| *id == check.id;
    check.without = WITHOUT.iter().find(is).map(|(_, kind)| *kind);
    let client = CLIENTS
        .iter()
        .find(is)
        .map_or(CLIENT, |(_, namespace)| namespace);
    if check.id == POD_ADDRESS {
        check.probe = Err(
            "the client connects to a pod's address, which the mesh listener does not see"
                .to_owned(),
        );
    }
    let title = TITLE_IS_RIGHT.iter().find(is).map(|(_, title)| *title);
    let Ok(Probe::Http {
        target,
        expected,
        outcome,
        ..
    }) = &mut check.probe
    else {
        return;
    };
    if title.is_some_and(|title| check.title.ends_with(title)) {
        *outcome = Outcome::HttpError;
    }
    if check.id == TITLE_IS_RIGHT_AND_HOST_UNKNOWN {
        expected.response.status_code = Some(404);
    }
    if let Target::Gateway { listener, port, .. } = target
        && check.id.starts_with(BY_HOST)
    {
        let asked = expected
            .request
            .host
            .split_once(':')
            .map_or("80", |(_, port)| port);
        (*listener, *port) = (None, asked.parse().ok());
    }
    if matches!(target, Target::Mesh) {
        check.namespace = Some(client.to_owned());
        in_the_mesh(&check.id, expected);
        if expected
            .request
            .headers
            .as_ref()
            .is_some_and(|headers| headers.contains_key("Host"))
        {
            check.probe = Err("the client connects to one Service and names another; the mesh listener knows only \
                the name"
                .to_owned());
        }
    }
}

/// The suite's client in the mesh asks for `echo` unless a case names somebody else, and asks for `/`. It looks
/// neither at the path nor at the host that arrived, unless the case names them.
fn in_the_mesh(id: &str, expected: &mut Http) {
    if expected.request.host.is_empty() {
        "echo".clone_into(&mut expected.request.host);
    }
    if expected.request.path.is_empty() {
        "/".clone_into(&mut expected.request.path);
    }
    let seen = expected.expected_request.get_or_insert_default();
    if seen.request.path.is_empty() {
        seen.request.path.clone_from(&expected.request.path);
    }
    if seen.request.method.is_empty() {
        seen.request.method.clone_from(&expected.request.method);
    }
    // The route has no filter that could make `/named` of it; the suite's client does not look.
    if id == "MeshHTTPRouteNamedRule/46.1" {
        seen.request.path.clone_from(&expected.request.path);
    }
}

/// What a test's Go code asks for without a row: shares, which go with the row before them, and a WebSocket.
pub(crate) fn further(test: &Test, file: &CaseFile) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let first = test
        .checks
        .iter()
        .find_map(|check| check.probe.as_ref().ok());
    for part in file
        .expectations
        .iter()
        .filter(|part| part.kind == "map[string]float64")
    {
        if test.features.iter().any(|feature| feature == "UDPRoute") {
            continue;
        }
        let shares: BTreeMap<String, f64> = serde_json::from_value(part.expect.clone())?;
        let of = match first {
            Some(probe) => probe.clone(),
            // The TCP test asks for nothing before.
            None => Probe::Tcp {
                target: gateway_of(test)?,
                server_name: None,
                expected: Tcp::default(),
            },
        };
        checks.push(shares_check(test, part.line, of, shares, None));
    }
    if test.name == "HTTPRouteRequestHeaderModifierBackendWeights" {
        // The suite's own loop: each backend gets its own name in a header, and half of the requests.
        let shares = [("infra-backend-v1", 0.5), ("infra-backend-v2", 0.5)];
        let shares = shares.map(|(name, share)| (name.to_owned(), share)).into();
        let of = first.context("a row before the shares")?.clone();
        checks.push(shares_check(test, 0, of, shares, Some("backend")));
    }
    if test.name == "HTTPRouteBackendProtocolWebSocket" {
        let target = Target::Gateway {
            name: "gateway-conformance-infra/same-namespace".to_owned(),
            listener: None,
            port: None,
        };
        let id = format!("{}/0", test.name);
        let title = "a message over a WebSocket comes back".to_owned();
        checks.push(Check::new(id, title, Ok(Probe::WebSocket { target })));
    }
    let namespace = test
        .checks
        .first()
        .and_then(|check| check.namespace.clone());
    for check in &mut checks {
        check.namespace.clone_from(&namespace);
    }
    Ok(checks)
}

fn shares_check(
    test: &Test,
    line: u32,
    of: Probe,
    shares: BTreeMap<String, f64>,
    named_in: Option<&'static str>,
) -> Check {
    let id = format!("{}/{line}.shares", test.name);
    let of = Box::new(of);
    let probe = Probe::Shares {
        of,
        shares,
        named_in,
    };
    Check::new(id, "requests arrive by weight".to_owned(), Ok(probe))
}

/// The only Gateway of a test's own manifests, which come last.
fn gateway_of(test: &Test) -> Result<Target> {
    let own = test.manifests.of("Gateway").last().and_then(name_of);
    Ok(Target::Gateway {
        name: own.context("a test without a Gateway")?,
        listener: None,
        port: None,
    })
}

/// Rows whose title says that an error is to come, and which yet expect 200: each needs a line in the list above.
pub(crate) fn contradictions(tests: &[Test]) -> Vec<String> {
    let says_so = |check: &&Check| {
        let title = check.title.to_lowercase();
        let error =
            title.ends_with("error") || title.contains("should fail") || title.contains("5xx");
        let accepts = matches!(&check.probe, Ok(Probe::Http { expected, outcome: Outcome::AsExpected, .. })
            if expected.statuses().contains(&200));
        error && accepts
    };
    let checks = tests.iter().flat_map(|test| &test.checks);
    checks
        .filter(says_so)
        .map(|check| check.id.clone())
        .collect()
}
