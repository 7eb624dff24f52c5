//! The suite's tests: what each expects, and by which of the suite's helpers it is asked for.
//!
//! `cases.jsonl` has the expectations; how each request is to be sent (over TLS, naming whom, to which listener, with
//! whose certificate) is in the calls that `cases/*.yaml` lists. A row and its call hold the same expectation.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::overrides;
use crate::check::{Check, Outcome, Probe, TlsAsk};
use crate::manifests::Manifests;
use crate::site::Target;
use crate::yaml;

/// One of the suite's tests.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
    /// The suite does not demand it of anybody yet.
    pub(crate) provisional: bool,
    pub(crate) manifests: Manifests,
    /// In the order of the suite, which matters where a step changes the documents.
    pub(crate) checks: Vec<Check>,
}

/// A line of `cases.jsonl`, apart from its expectation.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    kind: String,
    subtest: Option<String>,
    gateway: Option<Value>,
}

/// Fields of a row that are no part of its expectation.
const META: [&str; 9] = [
    "id",
    "kind",
    "subtest",
    "features",
    "manifests",
    "gateway",
    "status_codes",
    "complete",
    "incomplete",
];

/// A file of `cases`.
#[derive(Debug, Deserialize)]
pub(crate) struct CaseFile {
    short_name: String,
    features: Vec<String>,
    provisional: Option<bool>,
    manifests: Vec<String>,
    #[serde(default)]
    pub(crate) expectations: Vec<Expectation>,
    #[serde(default)]
    assertion_calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Expectation {
    pub(crate) line: u32,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) expect: Value,
}

#[derive(Debug, Deserialize)]
struct Call {
    call: String,
    test: String,
    args: Vec<Value>,
}

/// Reads all tests below `folder`, which is the suite's own of the conformance data.
pub(crate) fn read(folder: &Path) -> Result<Vec<Test>> {
    let rows = std::fs::read_to_string(folder.join("cases.jsonl")).context("read cases.jsonl")?;
    let mut by_test: HashMap<String, Vec<Value>> = HashMap::new();
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).context("a line of cases.jsonl")?;
        let test = row["id"].as_str().and_then(|id| id.split_once('/'));
        let (test, _) = test.context("a row without an id")?;
        by_test.entry(test.to_owned()).or_default().push(row);
    }
    let files = std::fs::read_dir(folder.join("cases")).context("read the folder of cases")?;
    let mut paths: Vec<_> = files
        .map(|file| Ok(file?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    let mut tests = Vec::new();
    for path in paths {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let file =
            yaml::value(&text).and_then(|value| Ok(serde_json::from_value::<CaseFile>(value)?));
        let file = file.with_context(|| format!("read {}", path.display()))?;
        let rows = by_test.remove(&file.short_name).unwrap_or_default();
        tests.push(test(folder, &file, rows)?);
    }
    anyhow::ensure!(
        by_test.is_empty(),
        "rows without a case: {:?}",
        by_test.keys()
    );
    Ok(tests)
}

fn test(folder: &Path, file: &CaseFile, rows: Vec<Value>) -> Result<Test> {
    let base = match file.features.iter().any(|feature| feature == "Mesh") {
        true => "mesh-base-manifests.yaml",
        false => "base-manifests.yaml",
    };
    let files: Vec<String> = std::iter::once(base.to_owned())
        .chain(file.manifests.iter().cloned())
        .collect();
    let manifests = Manifests::read(folder, &files)?;
    let mut test = Test {
        name: file.short_name.clone(),
        features: file.features.clone(),
        provisional: file.provisional.unwrap_or(false),
        checks: Vec::new(),
        manifests,
    };
    let mut free: Vec<&Call> = file.assertion_calls.iter().collect();
    for row in rows {
        let (row, expected) = apart(row)?;
        let title = row.subtest.clone().unwrap_or_default();
        let call = take(&mut free, &title, &expected);
        let check = check(&test, file, &row, call, expected).with_context(|| row.id.clone())?;
        test.checks.extend(check);
    }
    // What the suite asks for with an expectation it has asked for before, or with none.
    for call in free {
        if let Some(probe) = further(&test.manifests, call) {
            let id = format!("{}/{}", test.name, test.checks.len());
            test.checks.push(Check::new(id, call.test.clone(), probe));
        }
    }
    test.checks.extend(overrides::further(&test, file)?);
    number(&mut test.checks);
    Ok(test)
}

/// A row's own fields, and its expectation.
fn apart(row: Value) -> Result<(Row, Value)> {
    let mut expected = row.clone();
    if let Some(fields) = expected.as_object_mut() {
        fields.retain(|name, _| !META.contains(&name.as_str()));
    }
    Ok((serde_json::from_value(row)?, expected))
}

/// The first call that has this expectation, rather one of the same title.
fn take<'c>(free: &mut Vec<&'c Call>, title: &str, expected: &Value) -> Option<&'c Call> {
    let has = |call: &&Call| call.args.contains(expected);
    let same = free.iter().position(|call| call.test == title && has(call));
    let index = same.or_else(|| free.iter().position(has))?;
    Some(free.remove(index))
}

fn check(
    test: &Test,
    file: &CaseFile,
    row: &Row,
    call: Option<&Call>,
    mut expected: Value,
) -> Result<Vec<Check>> {
    let manifests = &test.manifests;
    let title = match row.subtest.as_deref() {
        None | Some("") => call.map(|call| call.test.clone()).unwrap_or_default(),
        Some(title) => title.to_owned(),
    };
    overrides::complete(&test.name, &title, file, &mut expected);
    fill(&mut expected, manifests);
    let title = match expected["TestCaseName"].as_str() {
        Some(name) => name.to_owned(),
        None => title,
    };
    let mut checks = Vec::new();
    for expected in overrides::spread(&test.name, expected) {
        let probe = match placeholder(&expected) {
            Some(what) => Err(format!("the case's data holds {what}")),
            None => Ok(probe(row, call, expected, manifests)?),
        };
        checks.push(Check::new(row.id.clone(), title.clone(), probe));
    }
    for check in &mut checks {
        overrides::adjust(check);
    }
    Ok(checks)
}

/// Tells apart checks of one id: the second becomes `ID#2`.
fn number(checks: &mut [Check]) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for check in checks {
        let count = seen.entry(check.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            check.id = format!("{}#{count}", check.id);
        }
    }
}

fn probe(row: &Row, call: Option<&Call>, expected: Value, manifests: &Manifests) -> Result<Probe> {
    let helper = call.map_or("", |call| call.call.as_str());
    let (target, rest) = match call.and_then(|call| addressed(&call.args)) {
        Some((target, rest)) => (target, rest),
        None => (row.target(), &[][..]),
    };
    Ok(match row.kind.as_str() {
        "grpc" => Probe::Grpc {
            target,
            expected: Box::new(serde_json::from_value(expected)?),
            fails: helper.ends_with("Failure"),
        },
        "tcp" => {
            let within_tls = rest.get(2) == Some(&Value::Bool(true));
            let name = rest
                .get(1)
                .map(|name| text(name, manifests))
                .filter(|_| within_tls);
            Probe::Tcp {
                target,
                server_name: name.transpose().map_err(anyhow::Error::msg)?,
                expected: serde_json::from_value(expected)?,
            }
        }
        _ => Probe::Http {
            target,
            tls: helper
                .starts_with("tls.")
                .then(|| TlsAsk::of(rest))
                .transpose()?,
            expected: Box::new(serde_json::from_value(expected)?),
            outcome: match helper.ends_with("FailureResponse") {
                true => Outcome::Failure,
                false => Outcome::AsExpected,
            },
        },
    })
}

/// A call that no row stands for; nothing if it sends no request.
fn further(manifests: &Manifests, call: &Call) -> Option<Result<Probe, String>> {
    let (target, rest) = addressed(&call.args)?;
    if call.call.starts_with("udp.") {
        return Some(Err("UDP is not served".to_owned()));
    }
    if call.call.ends_with("ConnectionRejection") {
        let name = text(rest.first()?, manifests);
        return Some(name.map(|server_name| Probe::Refused {
            target,
            server_name,
        }));
    }
    let tls = call.call.starts_with("tls.Make");
    if !tls && call.call != "http.MakeRequestAndExpectEventuallyConsistentResponse" {
        return None;
    }
    let expected = rest
        .last()
        .filter(|expected| placeholder(expected).is_none())?;
    let probe = || -> Result<Probe> {
        Ok(Probe::Http {
            target,
            tls: tls.then(|| TlsAsk::of(rest)).transpose()?,
            expected: Box::new(serde_json::from_value(expected.clone())?),
            outcome: Outcome::AsExpected,
        })
    };
    Some(probe().map_err(|error| format!("{error:#}")))
}

impl Row {
    /// The row's Gateway, at its first listener.
    fn target(&self) -> Target {
        match self.gateway.as_ref().and_then(namespaced) {
            Some(name) => Target::Gateway {
                name,
                listener: None,
                port: None,
            },
            None => Target::Mesh,
        }
    }
}

impl TlsAsk {
    /// From what follows the address: the server's certificate, the client's, its key, the server's name.
    fn of(rest: &[Value]) -> Result<Self> {
        Ok(Self {
            server: rest.first().and_then(secret),
            client: rest.get(1).and_then(secret),
            server_name: rest
                .get(3)
                .and_then(Value::as_str)
                .context("no server name")?
                .to_owned(),
        })
    }
}

/// `kubernetes.GetTLSSecret(…)` as `namespace/name`.
fn secret(value: &Value) -> Option<String> {
    (value["$call"] == "kubernetes.GetTLSSecret").then(|| namespaced(&value["args"][0]))?
}

/// `{Name, Namespace}` as `namespace/name`.
fn namespaced(value: &Value) -> Option<String> {
    let namespace = &value["Namespace"];
    // Some are wrapped in a conversion.
    let namespace = namespace
        .as_str()
        .or_else(|| namespace["args"][0].as_str())?;
    Some(format!("{namespace}/{}", value["Name"].as_str()?))
}

/// The first argument that is an address, and what follows it.
fn addressed(args: &[Value]) -> Option<(Target, &[Value])> {
    let mut found = args.iter().enumerate();
    found.find_map(|(index, arg)| Some((target(arg)?, &args[index + 1..])))
}

fn target(arg: &Value) -> Option<Target> {
    let of = |name: &Value, listener: Option<&str>| {
        Some(Target::Gateway {
            name: namespaced(name)?,
            listener: listener.map(str::to_owned),
            port: None,
        })
    };
    if let Some(gateway) = arg.get("$gateway_address_of") {
        return of(gateway, arg["listeners"][0].as_str());
    }
    let args = &arg["args"];
    match arg["$call"].as_str()? {
        "kubernetes.WaitForGatewayAddress" | "net.SplitHostPort" => target(&args[0]),
        "kubernetes.NewGatewayRef" => of(&args[0], args[1].as_str()),
        "net.JoinHostPort" => match target(&args[0])? {
            Target::Gateway { name, listener, .. } => Some(Target::Gateway {
                name,
                listener,
                port: args[1].as_str()?.parse().ok(),
            }),
            Target::Mesh | Target::Port(_) => None,
        },
        _ => None,
    }
}

/// A text, or the host name of a route that it stands for.
fn text(value: &Value, manifests: &Manifests) -> Result<String, String> {
    let mut value = value.clone();
    fill(&mut value, manifests);
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| format!("the case's data holds {value}"))
}

/// Puts values where the data has the Go expressions that made them.
fn fill(value: &mut Value, manifests: &Manifests) {
    let known = match (value["$go"].as_str(), value["$call"].as_str()) {
        (Some("hostnames[0]"), _) => manifests.host_of("TLSRoute", "").map(Value::from),
        (Some("hostnamesTerminate[0]"), _) => {
            manifests.host_of("TLSRoute", "terminate").map(Value::from)
        }
        (Some("hostnamesPassthrough[0]"), _) => manifests
            .host_of("TLSRoute", "passthrough")
            .map(Value::from),
        (_, Some("new(int32")) => Some(value["args"][0].clone()),
        (_, Some("kubernetes.GetTLSSecret")) => secret(value).map(Value::from),
        _ => None,
    };
    match (known, value) {
        (Some(known), value) => *value = known,
        (None, Value::Object(fields)) => {
            for value in fields.values_mut() {
                fill(value, manifests);
            }
        }
        (None, Value::Array(items)) => {
            for value in items {
                fill(value, manifests);
            }
        }
        _ => {}
    }
}

/// A Go expression that was not turned into data.
fn placeholder(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.contains("«go:") => Some(text.clone()),
        Value::Object(fields) if fields.contains_key("$go") || fields.contains_key("$call") => {
            Some(value.to_string())
        }
        Value::Object(fields) => fields.values().find_map(placeholder),
        Value::Array(items) => items.iter().find_map(placeholder),
        _ => None,
    }
}
