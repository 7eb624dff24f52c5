//! What the documents refer to and nobody wrote: gateways and delegates that live in another repository. Rules
//! behind them can be tried all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use manifests::yaml::{self, Node, Value};
use mesh::SourceFile;
use mesh::gateway_api::{CONTROLLER, GROUP};
use serde_json::json;

const ISTIO: &str = "networking.istio.io";
/// Of the assumed gateways.
const CLASS: &str = "assumed-for-tests";
/// Of an assumed gateway's listeners, where routes name none.
const FIRST_PORT: u16 = 80;

/// Name and port of a listener, as far as a route says them.
type Section = (Option<String>, Option<u16>);
/// Namespace and name.
type FullName = (String, String);

/// What is known of VirtualServices before they are loaded.
#[derive(Debug, Default)]
pub(crate) struct Assumed {
    /// Documents for what is not there: gateways that take HTTP for every host, and delegates that answer 503.
    pub(crate) files: Vec<SourceFile>,
    /// The same for people.
    pub(crate) notes: Vec<String>,
    /// Which VirtualService a document is, by its file and its number there.
    pub(crate) owners: BTreeMap<(PathBuf, u32), FullName>,
}

#[derive(Default)]
struct Found {
    gateways: BTreeSet<FullName>,
    virtual_services: BTreeSet<FullName>,
    wanted_gateways: BTreeSet<FullName>,
    wanted_delegates: BTreeSet<FullName>,
    services: BTreeSet<FullName>,
    /// Those that routes of the Gateway API lead to, by port. Istio's say what they want where it is missing.
    wanted_services: BTreeMap<FullName, BTreeSet<u16>>,
    /// The Gateway API's gateways.
    parents: BTreeSet<FullName>,
    /// Those that routes attach to, by which listener and port.
    wanted_parents: BTreeMap<FullName, BTreeSet<Section>>,
    owners: BTreeMap<(PathBuf, u32), FullName>,
}

/// Looks through the files for what their VirtualServices and routes refer to.
pub(crate) fn assumed(files: &[SourceFile], default_namespace: &str) -> Assumed {
    let mut found = Found::default();
    for file in files {
        let text = yaml::with_yaml_escapes(&file.text);
        for (number, parsed) in (1..).zip(yaml::documents(&text)) {
            if let Some(root) = &parsed.root {
                found.document(root, (file.path.clone(), number), default_namespace);
            }
        }
    }
    let mut assumed = Assumed::default();
    for name in found.wanted_gateways.difference(&found.gateways) {
        let servers = json!([{ "port": { "number": 80, "name": "http", "protocol": "HTTP" }, "hosts": ["*"] }]);
        assumed.add(
            "Gateway",
            name,
            &json!({ "servers": servers }),
            "one that takes HTTP on port 80 for every host",
        );
    }
    for name in found.wanted_delegates.difference(&found.virtual_services) {
        let rule = json!({ "directResponse": { "status": 503, "body": { "string": "delegate is not in the folder" } } });
        assumed.add(
            "VirtualService",
            name,
            &json!({ "http": [rule] }),
            "one that answers 503",
        );
    }
    for (name, ports) in &found.wanted_services {
        if !found.services.contains(name) {
            let ports = ports
                .iter()
                .map(|port| json!({ "name": format!("http-{port}"), "port": port }));
            let spec = json!({ "ports": ports.collect::<Vec<_>>() });
            let (of, service) = name;
            assumed.notes.push(format!(
                "Service {of}/{service} is not in the folder; assumed one without endpoints"
            ));
            assumed.document("", "Service", name, &spec);
        }
    }
    let mut class = false;
    for (name, sections) in &found.wanted_parents {
        if !found.parents.contains(name) {
            assumed.parent(name, sections);
            class = true;
        }
    }
    if class {
        let spec = json!({ "controllerName": CONTROLLER });
        assumed.document(
            GROUP,
            "GatewayClass",
            &(String::new(), CLASS.to_owned()),
            &spec,
        );
    }
    found.owners.append(&mut assumed.owners);
    assumed.owners = found.owners;
    assumed
}

impl Assumed {
    fn add(&mut self, kind: &str, name: &FullName, spec: &serde_json::Value, what: &str) {
        self.notes.push(format!(
            "{kind} {}/{} is not in the folder; assumed {what}",
            name.0, name.1
        ));
        self.document(ISTIO, kind, name, spec);
    }

    /// A Gateway of the Gateway API with the listeners that routes name. Two on one port would be in conflict.
    fn parent(&mut self, name: &FullName, sections: &BTreeSet<Section>) {
        let listeners: Vec<_> = (FIRST_PORT..)
            .zip(sections)
            .map(|(free, (section, port))| {
                let section = section.clone().unwrap_or_else(|| format!("http-{free}"));
                json!({
                    "name": section,
                    "port": port.unwrap_or(free),
                    "protocol": "HTTP",
                    "allowedRoutes": { "namespaces": { "from": "All" } },
                })
            })
            .collect();
        let (of, gateway) = name;
        self.notes.push(format!(
            "Gateway {of}/{gateway} is not in the folder; assumed one that takes HTTP for every host"
        ));
        let spec = json!({ "gatewayClassName": CLASS, "listeners": listeners });
        self.document(GROUP, "Gateway", name, &spec);
    }

    fn document(
        &mut self,
        group: &str,
        kind: &str,
        (namespace, name): &FullName,
        spec: &serde_json::Value,
    ) {
        let path = PathBuf::from(format!("(assumed {kind} {namespace}/{name})"));
        let document = json!({
            "apiVersion": match group {
                "" => "v1".to_owned(),
                group => format!("{group}/v1"),
            },
            "kind": kind,
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        });
        self.owners
            .insert((path.clone(), 1), (namespace.clone(), name.clone()));
        self.files.push(SourceFile {
            path,
            text: document.to_string(),
        });
    }
}

impl Found {
    fn document(&mut self, root: &Node<'_>, place: (PathBuf, u32), default_namespace: &str) {
        if root.get("kind").and_then(Node::text) == Some("List") {
            return;
        }
        let text = |node: Option<&Node<'_>>| node.and_then(Node::text).map(str::to_owned);
        let version = text(root.get("apiVersion")).unwrap_or_default();
        let group = version.split('/').next().unwrap_or_default();
        let of_istio = group == ISTIO;
        let metadata = root.get("metadata");
        let Some(name) = text(metadata.and_then(|metadata| metadata.get("name"))) else {
            return;
        };
        let namespace = text(metadata.and_then(|metadata| metadata.get("namespace")))
            .unwrap_or_else(|| default_namespace.to_owned());
        match root.get("kind").and_then(Node::text) {
            Some("Gateway") if of_istio => {
                self.gateways.insert((namespace, name));
            }
            Some("VirtualService") if of_istio => {
                if let Some(spec) = root.get("spec") {
                    self.references(spec, &namespace);
                }
                let full_name = (namespace, name);
                self.owners.insert(place, full_name.clone());
                self.virtual_services.insert(full_name);
            }
            Some("Service") if group == "v1" => {
                self.services.insert((namespace, name));
            }
            Some("Gateway") if group == GROUP => {
                self.parents.insert((namespace, name));
            }
            Some("HTTPRoute" | "GRPCRoute") if group == GROUP => {
                if let Some(spec) = root.get("spec") {
                    self.parent_references(spec, &namespace);
                    self.backend_references(spec, &namespace);
                }
            }
            _ => {}
        }
    }

    fn parent_references(&mut self, spec: &Node<'_>, namespace: &str) {
        for parent in items(spec.get("parentRefs")) {
            let text = |key: &str| parent.get(key).and_then(Node::text);
            let is_gateway = text("kind").is_none_or(|kind| kind == "Gateway")
                && text("group").is_none_or(|group| group == GROUP);
            if let (true, Some(name)) = (is_gateway, text("name")) {
                let of = text("namespace").unwrap_or(namespace);
                let port = text("port").and_then(|port| port.parse().ok());
                let section = text("sectionName").map(str::to_owned);
                let wanted = self.wanted_parents.entry((of.to_owned(), name.to_owned()));
                wanted.or_default().insert((section, port));
            }
        }
    }

    fn backend_references(&mut self, spec: &Node<'_>, namespace: &str) {
        let rules = items(spec.get("rules"));
        for backend in rules.flat_map(|rule| items(rule.get("backendRefs"))) {
            let text = |key: &str| backend.get(key).and_then(Node::text);
            let is_service = text("kind").is_none_or(|kind| kind == "Service")
                && text("group").is_none_or(str::is_empty);
            let port = text("port").and_then(|port| port.parse().ok());
            if let (true, Some(name), Some(port)) = (is_service, text("name"), port) {
                let of = text("namespace").unwrap_or(namespace);
                let wanted = self.wanted_services.entry((of.to_owned(), name.to_owned()));
                wanted.or_default().insert(port);
            }
        }
    }

    fn references(&mut self, spec: &Node<'_>, namespace: &str) {
        let in_full = |text: &str| match text.split_once('/') {
            Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
            None => (namespace.to_owned(), text.to_owned()),
        };
        let gateways = items(spec.get("gateways")).filter_map(Node::text);
        let gateways = gateways.filter(|name| *name != "mesh");
        self.wanted_gateways.extend(gateways.map(in_full));
        for delegate in items(spec.get("http")).filter_map(|rule| rule.get("delegate")) {
            let of = delegate.get("namespace").and_then(Node::text);
            if let Some(name) = delegate.get("name").and_then(Node::text) {
                let of = of.filter(|of| !of.is_empty()).unwrap_or(namespace);
                self.wanted_delegates
                    .insert((of.to_owned(), name.to_owned()));
            }
        }
    }
}

fn items<'n>(node: Option<&'n Node<'n>>) -> impl Iterator<Item = &'n Node<'n>> {
    let items = match node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.as_slice(),
        _ => &[],
    };
    items.iter()
}
