//! What the documents refer to and nobody wrote: gateways and delegates that live in another repository. Rules
//! behind them can be tried all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use manifests::yaml::{self, Node, Value};
use mesh::SourceFile;
use serde_json::json;

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
    owners: BTreeMap<(PathBuf, u32), FullName>,
}

/// Looks through the files for what their VirtualServices refer to.
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
    found.owners.append(&mut assumed.owners);
    assumed.owners = found.owners;
    assumed
}

impl Assumed {
    fn add(
        &mut self,
        kind: &str,
        (namespace, name): &FullName,
        spec: &serde_json::Value,
        what: &str,
    ) {
        let path = PathBuf::from(format!("(assumed {kind} {namespace}/{name})"));
        let document = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        });
        self.notes.push(format!(
            "{kind} {namespace}/{name} is not in the folder; assumed {what}"
        ));
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
        let of_istio = text(root.get("apiVersion"))
            .is_some_and(|version| version.starts_with("networking.istio.io/"));
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
            _ => {}
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
