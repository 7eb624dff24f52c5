//! The labels of a workload by its name, for those who ask what it sees.

use std::collections::BTreeMap;

use manifests::yaml::{self, Node, Value};

use crate::load::{Options, SourceFile};

/// Kinds whose pods have the labels of `spec.template`.
const TEMPLATED: &[&str] = &[
    "DaemonSet",
    "Deployment",
    "Job",
    "ReplicaSet",
    "StatefulSet",
    "WorkloadGroup",
];

/// The labels of the workload with that name: a `Pod`, a `WorkloadEntry`, or what a `Deployment` or the like makes.
/// `None` if the documents have none. They make [`Options::labels`] for a question such as "what would that workload
/// see?"; what is wrong with the documents is for [`crate::load`] to say.
pub fn workload_labels(
    files: &[SourceFile],
    options: &Options,
    namespace: &str,
    name: &str,
) -> Option<BTreeMap<String, String>> {
    let mut found: Option<(usize, BTreeMap<String, String>)> = None;
    for file in files {
        let text = yaml::with_yaml_escapes(&file.text);
        for parsed in yaml::documents(&text) {
            let Some(root) = &parsed.root else { continue };
            for object in objects(root) {
                let of = |key| at(object, &["metadata", key]).and_then(Node::text);
                let own = of("namespace").unwrap_or(&options.default_namespace);
                if of("name") != Some(name) || own != namespace {
                    continue;
                }
                // The nearest to a running workload first, whatever the order of the files.
                let kind = object.get("kind").and_then(Node::text).unwrap_or_default();
                let (rank, path): (_, &[&str]) = match kind {
                    "Pod" => (0, &["metadata", "labels"]),
                    "WorkloadEntry" => (1, &["spec", "labels"]),
                    "WorkloadGroup" => (2, &["spec", "template", "labels"]),
                    kind => match TEMPLATED.binary_search(&kind) {
                        Ok(place) => (3 + place, &["spec", "template", "metadata", "labels"]),
                        Err(_) => continue,
                    },
                };
                if found.as_ref().is_none_or(|(best, _)| rank < *best) {
                    found = Some((rank, at(object, path).map(labels).unwrap_or_default()));
                }
            }
        }
    }
    found.map(|(_, labels)| labels)
}

/// A document, or the items of a `List`.
fn objects<'n, 't>(root: &'n Node<'t>) -> Vec<&'n Node<'t>> {
    match root.get("items").map(|items| &items.value) {
        Some(Value::Sequence(items)) => items.iter().collect(),
        _ => vec![root],
    }
}

fn at<'n, 't>(node: &'n Node<'t>, path: &[&str]) -> Option<&'n Node<'t>> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

fn labels(node: &Node<'_>) -> BTreeMap<String, String> {
    let Value::Mapping(entries) = &node.value else {
        return BTreeMap::new();
    };
    let pairs = entries.iter();
    let pairs =
        pairs.filter_map(|entry| Some((entry.key.to_string(), entry.value.text()?.to_owned())));
    pairs.collect()
}
