//! The status conditions that the Gateway API's conformance suite expects, where its data is at hand:
//! `DALBI_CONFORMANCE_DIR` names the folder.
//!
//! The suite changes documents while it runs; here each case is loaded once, so what it expects after a change is
//! left out, by name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manifests::yaml::{self, Node, Value};
use mesh::gateway_api::{CONTROLLER, Condition, ListenerStatus, Status, StatusOf};
use mesh::{Loaded, Options, Severity, SourceFile, load};

const NAMESPACE: &str = "gateway-conformance-infra";

/// Secrets and ConfigMaps that the suite makes at run time.
const MADE_BY_THE_SUITE: &[(&str, &str, &str)] = &[
    ("ConfigMap", NAMESPACE, "mismatch-ca-certificate"),
    ("ConfigMap", NAMESPACE, "tls-checks-ca-certificate"),
    ("ConfigMap", NAMESPACE, "tls-validity-checks-ca-certificate"),
    (
        "ConfigMap",
        NAMESPACE,
        "tls-validity-checks-per-port-ca-certificate",
    ),
    (
        "ConfigMap",
        "gateway-conformance-web-backend",
        "web-backend-cm",
    ),
    ("Secret", NAMESPACE, "tls-terminate-checks-certificate"),
    ("Secret", NAMESPACE, "tls-validity-checks-certificate"),
    ("Secret", NAMESPACE, "tls-checks-client-certificate"),
    ("Secret", "gateway-conformance-web-backend", "certificate"),
];

/// Cases that are not about one set of documents, or expect something not to be served that is.
const LEFT_OUT: &[(&str, &str)] = &[
    ("GatewayModifyListeners", "listeners come and go"),
    ("TCPRouteReferenceGrant", "the grant goes away"),
    ("TCPRouteMultipleRoutesAttachment", "a route is added"),
    (
        "TLSRouteListenerMixedTerminationNotSupported",
        "both modes may share a port",
    ),
    (
        "TLSRouteListenerTerminateNotSupported",
        "TLS is terminated for TLSRoutes",
    ),
];

fn folder() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("DALBI_CONFORMANCE_DIR") else {
        eprintln!(
            "SKIPPED: DALBI_CONFORMANCE_DIR is not set, so the Gateway API's status conditions were not compared"
        );
        return None;
    };
    Some(Path::new(&folder).join("gateway-api"))
}

#[test]
fn statuses_are_those_that_the_conformance_suite_expects() {
    let Some(folder) = folder() else { return };
    let mut cases: Vec<_> = folder
        .join("cases")
        .read_dir()
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.sort();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for path in &cases {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let left_out = LEFT_OUT.iter().any(|(case, _)| *case == name) || name.starts_with("UDP");
        if !left_out {
            checked += check_case(&folder, path, &name, &mut wrong);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {checked}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Guards against a check of nothing.
    assert!(checked > 300, "only {checked} expectations were understood");
}

/// How many expectations were compared.
fn check_case(folder: &Path, path: &Path, name: &str, wrong: &mut Vec<String>) -> usize {
    let text = std::fs::read_to_string(path).expect("a case");
    let case = yaml::documents(&text)
        .remove(0)
        .root
        .expect("a case is YAML");
    let loaded = load_case(folder, &case);
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    wrong.extend(errors.map(|error| format!("{name}: {error}")));
    let mut checked = 0;
    let mut seen = BTreeSet::new();
    for call in items(case.get("assertion_calls")) {
        let function = call.get("call").and_then(Node::text).unwrap_or_default();
        let Some(function) = function.strip_prefix("kubernetes.") else {
            continue;
        };
        let arguments: Vec<_> = items(call.get("args")).collect();
        for expected in understood(function, &arguments) {
            // What is said of the same condition again is said after a change.
            if !seen.insert(expected.subject()) {
                continue;
            }
            checked += 1;
            if let Err(found) = expected.compare(&loaded.statuses) {
                wrong.push(format!("{name}: {expected:?}, but {found}"));
            }
        }
    }
    checked
}

fn load_case(folder: &Path, case: &Node<'_>) -> Loaded {
    let manifests = items(case.get("manifests")).filter_map(Node::text);
    let names: Vec<&str> = manifests.collect();
    let of_mesh = names.iter().any(|name| name.contains("mesh"));
    let base = match of_mesh {
        true => "mesh-base-manifests.yaml",
        false => "base-manifests.yaml",
    };
    let mut files: Vec<SourceFile> = std::iter::once(base)
        .chain(names)
        .map(|name| {
            let text = std::fs::read_to_string(folder.join(name)).expect("a manifest");
            SourceFile {
                path: name.into(),
                text: text
                    .replace("{GATEWAY_CLASS_NAME}", "ours")
                    .replace("{GATEWAY_CONTROLLER_NAME}", CONTROLLER),
            }
        })
        .collect();
    give_addresses(&mut files);
    files.push(SourceFile {
        path: "made.yaml".into(),
        text: made_by_the_suite(),
    });
    load(&files, &Options::default())
}

/// As a cluster does: each Gateway that names none gets an address of its own.
fn give_addresses(files: &mut [SourceFile]) {
    let mut next = 0;
    for file in files {
        let documents = file.text.split("\n---").map(|document| {
            if !document.contains("kind: Gateway\n") || document.contains("addresses:") {
                return document.to_owned();
            }
            next += 1;
            let line = "\n  gatewayClassName:";
            document.replacen(
                line,
                &format!("\n  addresses: [{{ value: 10.9.0.{next} }}]{line}"),
                1,
            )
        });
        file.text = documents.collect::<Vec<_>>().join("\n---");
    }
}

/// Nothing here reads what is within a PEM block.
fn made_by_the_suite() -> String {
    let block = |label: &str| format!("-----BEGIN {label}-----\\nAAAA\\n-----END {label}-----\\n");
    let (certificate, key) = (block("CERTIFICATE"), block("PRIVATE KEY"));
    let objects = MADE_BY_THE_SUITE.iter().map(|(kind, namespace, name)| {
        let data = match *kind {
            "Secret" => format!("stringData: {{ tls.crt: \"{certificate}\", tls.key: \"{key}\" }}"),
            _ => format!("data: {{ ca.crt: \"{certificate}\" }}"),
        };
        format!(
            "apiVersion: v1\nkind: {kind}\nmetadata: {{ name: {name}, namespace: {namespace} }}\n{data}\n"
        )
    });
    objects.collect::<Vec<_>>().join("---\n")
}

fn items<'n>(node: Option<&'n Node<'n>>) -> std::slice::Iter<'n, Node<'n>> {
    let items: &[Node<'_>] = match node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items,
        _ => &[],
    };
    items.iter()
}

/// A constant of the suite's, written as a call with its name or value as the only argument.
fn word<'n>(node: &'n Node<'n>) -> Option<&'n str> {
    match node.get("$call") {
        Some(_) => items(node.get("args")).next().and_then(word),
        None => node.text(),
    }
}

/// Namespace and name, where both are known.
fn named(node: &Node<'_>) -> Option<String> {
    if node.get("$call").is_some() {
        return items(node.get("args")).find_map(named);
    }
    let name = node.get("Name").and_then(word)?;
    let namespace = node.get("Namespace").and_then(word)?;
    Some(format!("{namespace}/{name}"))
}

/// One condition, or a number, that is expected.
#[derive(Debug, Clone)]
struct Expected {
    kind: &'static str,
    object: String,
    /// A listener, or the parent of a route or policy.
    within: Within,
    what: What,
}

#[derive(Debug, Clone)]
enum Within {
    Object,
    Listener(String),
    AnyListener,
    Parent(String),
    EveryParent,
}

#[derive(Debug, Clone)]
enum What {
    /// Type, status, and reason if one is asked for.
    Condition(String, String, String),
    AttachedRoutes(String),
    Kinds(Vec<String>),
    AttachedSets(String),
}

fn condition(node: &Node<'_>) -> Option<What> {
    let text = |key| node.get(key).and_then(word).map(str::to_owned);
    Some(What::Condition(
        text("Type")?,
        text("Status")?,
        text("Reason").unwrap_or_default(),
    ))
}

fn accepted() -> What {
    What::Condition("Accepted".into(), "True".into(), String::new())
}

/// What a call expects, as far as it is data.
fn understood(function: &str, arguments: &[&Node<'_>]) -> Vec<Expected> {
    let Some(object) = arguments.first().and_then(|node| named(node)) else {
        return Vec::new();
    };
    let expect = |kind, within, what| Expected {
        kind,
        object: object.clone(),
        within,
        what,
    };
    let parent = || arguments.get(1).and_then(|node| named(node));
    let of_parent = |kind| {
        let what = arguments.get(2).and_then(|node| condition(node));
        let expected = parent().zip(what);
        let expected = expected.map(|(parent, what)| expect(kind, Within::Parent(parent), what));
        expected.into_iter().collect()
    };
    let all_conditions = |kind, listener: Within, node: Option<&&Node<'_>>| {
        items(node.copied())
            .filter_map(condition)
            .map(|what| expect(kind, listener.clone(), what))
            .collect::<Vec<_>>()
    };
    let listener_names = |at: usize| match arguments.get(at).and_then(|node| word(node)) {
        Some(name) => Within::Listener(name.to_owned()),
        None => Within::AnyListener,
    };
    let one = |kind| {
        let what = arguments.get(1).and_then(|node| condition(node));
        what.map(|what| expect(kind, Within::Object, what))
            .into_iter()
            .collect()
    };
    match function {
        "GatewayMustHaveCondition" => one("Gateway"),
        "ListenerSetMustHaveCondition" => one("ListenerSet"),
        "HTTPRouteMustHaveCondition" => of_parent("HTTPRoute"),
        "TLSRouteMustHaveCondition" => of_parent("TLSRoute"),
        "TCPRouteMustHaveCondition" => of_parent("TCPRoute"),
        "BackendTLSPolicyMustHaveCondition" => of_parent("BackendTLSPolicy"),
        "HTTPRouteMustHaveResolvedRefsConditionsTrue"
        | "TLSRouteMustHaveResolvedRefsConditionsTrue" => {
            let kind = match function.starts_with("HTTP") {
                true => "HTTPRoute",
                false => "TLSRoute",
            };
            let what = What::Condition("ResolvedRefs".into(), "True".into(), String::new());
            let parent = parent().map(|parent| expect(kind, Within::Parent(parent), what));
            parent.into_iter().collect()
        }
        "HTTPRouteMustHaveNoAcceptedParents" | "TLSRouteMustHaveNoAcceptedParents" => {
            let kind = match function.starts_with("HTTP") {
                true => "HTTPRoute",
                false => "TLSRoute",
            };
            let what = What::Condition("Accepted".into(), "False".into(), String::new());
            vec![expect(kind, Within::EveryParent, what)]
        }
        "GatewayMustHaveZeroRoutes" => {
            let none = What::AttachedRoutes("0".into());
            vec![expect("Gateway", Within::AnyListener, none)]
        }
        "GatewayMustHaveAttachedListeners" => {
            let count = arguments.get(1).and_then(|node| node.text());
            let count = count.map(|count| What::AttachedSets(count.to_owned()));
            count
                .map(|what| expect("Gateway", Within::Object, what))
                .into_iter()
                .collect()
        }
        "GatewayStatusMustHaveListeners" | "ListenerSetStatusMustHaveListeners" => {
            let kind = match function.starts_with("Gateway") {
                true => "Gateway",
                false => "ListenerSet",
            };
            let listeners = items(arguments.get(1).copied());
            listeners
                .flat_map(|listener| listener_status(listener))
                .map(|(name, what)| expect(kind, Within::Listener(name), what))
                .collect()
        }
        "GatewayListenerMustHaveConditions" => {
            all_conditions("Gateway", listener_names(1), arguments.get(2))
        }
        "GatewayListenersMustHaveConditions" => {
            all_conditions("Gateway", listener_names(2), arguments.get(1))
        }
        "ListenerSetListenersMustHaveConditions" => {
            all_conditions("ListenerSet", listener_names(2), arguments.get(1))
        }
        "HTTPRouteMustHaveParents" | "TCPRouteMustHaveParents" => {
            let kind = match function.starts_with("HTTP") {
                true => "HTTPRoute",
                false => "TCPRoute",
            };
            let parents = items(arguments.get(1).copied());
            parents
                .flat_map(|parent| {
                    let name = parent.get("ParentRef").and_then(named);
                    let conditions = items(parent.get("Conditions")).filter_map(condition);
                    let name = name
                        .into_iter()
                        .flat_map(|name| conditions.clone().map(move |what| (name.clone(), what)));
                    name.map(|(name, what)| expect(kind, Within::Parent(name), what))
                        .collect::<Vec<_>>()
                })
                .collect()
        }
        "GatewayAndHTTPRoutesMustBeAccepted"
        | "GatewayAndTLSRoutesMustBeAccepted"
        | "GatewayAndTCPRoutesMustBeAccepted" => {
            let kind = match &function[10..13] {
                "HTT" => "HTTPRoute",
                "TLS" => "TLSRoute",
                _ => "TCPRoute",
            };
            let mut all = vec![expect("Gateway", Within::Object, accepted())];
            let routes = arguments[1..].iter().filter_map(|node| named(node));
            all.extend(routes.map(|route| Expected {
                kind,
                object: route,
                within: Within::Parent(object.clone()),
                what: accepted(),
            }));
            all
        }
        _ => Vec::new(),
    }
}

fn listener_status(listener: &Node<'_>) -> Vec<(String, What)> {
    let Some(name) = listener.get("Name").and_then(word) else {
        return Vec::new();
    };
    let mut found: Vec<What> = items(listener.get("Conditions"))
        .filter_map(condition)
        .collect();
    let count = listener.get("AttachedRoutes").and_then(Node::text);
    found.extend(count.map(|count| What::AttachedRoutes(count.to_owned())));
    if let Some(kinds) = listener.get("SupportedKinds") {
        let kinds = items(Some(kinds)).filter_map(|kind| kind.get("Kind").and_then(word));
        found.push(What::Kinds(kinds.map(str::to_owned).collect()));
    }
    found
        .into_iter()
        .map(|what| (name.to_owned(), what))
        .collect()
}

impl Expected {
    /// What it is about, without what is expected of it.
    fn subject(&self) -> String {
        let what = match &self.what {
            What::Condition(kind, ..) => kind.as_str(),
            What::AttachedRoutes(_) => "routes",
            What::Kinds(_) => "kinds",
            What::AttachedSets(_) => "sets",
        };
        format!("{} {} {:?} {what}", self.kind, self.object, self.within)
    }

    fn compare(&self, statuses: &[Status]) -> Result<(), String> {
        let status = statuses.iter().find(|status| {
            let namespace = status.namespace.as_deref().unwrap_or_default();
            status.kind == self.kind && format!("{namespace}/{}", status.name) == self.object
        });
        let Some(status) = status else {
            return Err("there is no such status".to_owned());
        };
        match (&status.status, &self.within) {
            (
                StatusOf::Gateway {
                    conditions,
                    attached_listener_sets,
                    ..
                },
                Within::Object,
            ) => match &self.what {
                What::AttachedSets(count) => same(count, &attached_listener_sets.to_string()),
                what => holds(what, conditions),
            },
            (StatusOf::ListenerSet { conditions, .. }, Within::Object) => {
                holds(&self.what, conditions)
            }
            (
                StatusOf::Gateway { listeners, .. } | StatusOf::ListenerSet { listeners, .. },
                within,
            ) => {
                let name = match within {
                    Within::Listener(name) => Some(name),
                    _ => None,
                };
                let mut of_name = listeners
                    .iter()
                    .filter(|listener| name.is_none_or(|name| *name == listener.name))
                    .peekable();
                if of_name.peek().is_none() {
                    return Err("there is no such listener".to_owned());
                }
                of_name.try_for_each(|listener| self.of_listener(listener))
            }
            (StatusOf::Route { parents }, within) => {
                let mut of_parent = parents
                    .iter()
                    .filter(|parent| {
                        let reference = &parent.parent_ref;
                        let name = format!("{}/{}", reference.namespace, reference.name);
                        !matches!(within, Within::Parent(wanted) if *wanted != name)
                    })
                    .peekable();
                if of_parent.peek().is_none() && !matches!(within, Within::EveryParent) {
                    return Err("there is no such parent".to_owned());
                }
                of_parent.try_for_each(|parent| holds(&self.what, &parent.conditions))
            }
            (StatusOf::Policy { ancestors }, Within::Parent(wanted)) => {
                let ancestor = ancestors.iter().find(|ancestor| {
                    let reference = &ancestor.ancestor_ref;
                    format!("{}/{}", reference.namespace, reference.name) == *wanted
                });
                match ancestor {
                    Some(ancestor) => holds(&self.what, &ancestor.conditions),
                    None => Err("there is no such ancestor".to_owned()),
                }
            }
            _ => Err("its status has another shape".to_owned()),
        }
    }

    fn of_listener(&self, listener: &ListenerStatus) -> Result<(), String> {
        match &self.what {
            What::AttachedRoutes(count) => same(count, &listener.attached_routes.to_string()),
            What::Kinds(kinds) => {
                let has = |kind: &String| {
                    let mut known = listener.supported_kinds.iter();
                    known.any(|known| known.kind == *kind)
                };
                // There may be more than a case knows of, but none where it wants none.
                let fits = match kinds.is_empty() {
                    true => listener.supported_kinds.is_empty(),
                    false => kinds.iter().all(has),
                };
                match fits {
                    true => Ok(()),
                    false => Err(format!("found {:?}", listener.supported_kinds)),
                }
            }
            what => holds(what, &listener.conditions),
        }
    }
}

fn same(expected: &str, found: &str) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("found {found}")),
    }
}

fn holds(what: &What, conditions: &[Condition]) -> Result<(), String> {
    let What::Condition(kind, status, reason) = what else {
        return Err("that is not a condition".to_owned());
    };
    let found = conditions.iter().find(|condition| condition.kind == kind);
    let fits = found.is_some_and(|condition| {
        condition.status == status && (reason.is_empty() || condition.reason == reason)
    });
    match fits {
        true => Ok(()),
        false => Err(format!("found {found:?}")),
    }
}
