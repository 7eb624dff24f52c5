//! Who sends a request from within the mesh: where it runs and which labels it has decide about rules with
//! `sourceNamespace` and `sourceLabels`, and about what it sees at all.

use std::collections::BTreeMap;
use std::str::FromStr;

use manifests::yaml::{self, Node, Value};
use mesh::{Options, SourceFile};

/// A sender of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    /// Name of a Pod, WorkloadEntry or Deployment whose labels it has.
    pub(crate) workload: Option<String>,
    /// Where it runs; `None` is the default namespace.
    pub(crate) namespace: Option<String>,
    /// Labels besides the workload's.
    pub(crate) labels: BTreeMap<String, String>,
}

/// A client that can't be meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("`{0}` says nothing of a client; write workload=NAME,namespace=NAMESPACE,LABEL=VALUE")]
    Part(String),
    #[error(
        "there is no Pod, WorkloadEntry or Deployment `{name}` in namespace {namespace}; leave the workload out and \
         write its labels, as in namespace={namespace},app={name}"
    )]
    Workload { name: String, namespace: String },
}

impl FromStr for Client {
    type Err = ClientError;

    /// `workload=productpage-v1,namespace=prod,team=web`
    fn from_str(text: &str) -> Result<Self, ClientError> {
        let mut client = Self::default();
        for part in text.split(',') {
            let refused = || ClientError::Part(part.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(refused)?;
            let (key, value) = (key.trim(), value.trim().to_owned());
            match key {
                "" => return Err(refused()),
                "workload" => client.workload = Some(value),
                "namespace" => client.namespace = Some(value),
                label => {
                    client.labels.insert(label.to_owned(), value);
                }
            }
        }
        Ok(client)
    }
}

impl Client {
    /// How the documents are loaded for what this client sees.
    pub(crate) fn options(
        &self,
        base: &Options,
        files: &[SourceFile],
    ) -> Result<Options, ClientError> {
        let namespace = self.namespace.as_deref().unwrap_or(&base.default_namespace);
        let mut labels = BTreeMap::new();
        if let Some(name) = &self.workload {
            labels = workload_labels(name, namespace, &base.default_namespace, files).ok_or_else(
                || ClientError::Workload {
                    name: name.clone(),
                    namespace: namespace.to_owned(),
                },
            )?;
        }
        labels.extend(self.labels.clone());
        Ok(Options {
            labels: Some(labels),
            namespace: Some(namespace.to_owned()),
            ..base.clone()
        })
    }
}

fn workload_labels(
    name: &str,
    namespace: &str,
    default_namespace: &str,
    files: &[SourceFile],
) -> Option<BTreeMap<String, String>> {
    files.iter().find_map(|file| {
        let text = yaml::with_yaml_escapes(&file.text);
        let documents = yaml::documents(&text);
        let mut roots = documents
            .iter()
            .filter_map(|document| document.root.as_ref());
        roots.find_map(|root| {
            let path: &[&str] = match root.get("kind")?.text()? {
                "Pod" => &["metadata", "labels"],
                "WorkloadEntry" => &["spec", "labels"],
                "Deployment" | "StatefulSet" | "DaemonSet" => {
                    &["spec", "template", "metadata", "labels"]
                }
                _ => return None,
            };
            let metadata = root.get("metadata")?;
            let of = metadata.get("namespace").and_then(Node::text);
            let is_it = metadata.get("name")?.text()? == name
                && of.unwrap_or(default_namespace) == namespace;
            is_it.then(|| {
                let labels = path.iter().try_fold(root, |node, key| node.get(key));
                labels.map_or_else(BTreeMap::new, texts)
            })
        })
    })
}

fn texts(node: &Node<'_>) -> BTreeMap<String, String> {
    let Value::Mapping(entries) = &node.value else {
        return BTreeMap::new();
    };
    let pairs = entries.iter().filter_map(|entry| {
        let value = entry.value.text()?.to_owned();
        Some((entry.key.clone().into_owned(), value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_the_workload_and_the_command_line() {
        let file = SourceFile {
            path: "a.yaml".into(),
            text: "\
kind: Deployment
metadata: { name: web, namespace: prod }
spec: { template: { metadata: { labels: { app: web, version: v1 } } } }
---
kind: Pod
metadata: { name: web, labels: { app: other } }
"
            .to_owned(),
        };
        let options = |text: &str| {
            let client: Client = text.parse().unwrap();
            client.options(&Options::default(), std::slice::from_ref(&file))
        };
        let web = options("workload=web, namespace=prod,version=v2").unwrap();
        assert_eq!(web.own_namespace(), "prod");
        let labels: Vec<_> = web.labels.unwrap().into_iter().collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(labels, [pair("app", "web"), pair("version", "v2")]);
        let pod = options("workload=web").unwrap();
        assert_eq!(pod.labels.unwrap()["app"], "other");
        let missing = options("workload=web,namespace=test")
            .unwrap_err()
            .to_string();
        assert!(missing.contains("namespace=test,app=web"), "{missing}");
        assert!("web".parse::<Client>().is_err());
    }
}
