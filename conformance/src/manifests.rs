//! The documents of a case, and what the harness adds to them: addresses, certificates, endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::yaml::{self, Document};

/// What the suite's manifests have where a Gateway's class belongs.
const CLASS_PLACEHOLDER: &str = "{GATEWAY_CLASS_NAME}";

/// The class that all Gateways are of.
const CLASS: &str = "dalbi";

/// Documents of several files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifests {
    pub(crate) documents: Vec<Document>,
}

impl Manifests {
    /// Reads files below `folder`.
    pub(crate) fn read(folder: &Path, files: &[String]) -> Result<Self> {
        let mut documents = Vec::new();
        for file in files {
            let path = folder.join(file);
            let said = || format!("read {}", path.display());
            let text = std::fs::read_to_string(&path).with_context(said)?;
            documents.extend(
                yaml::documents(&text.replace(CLASS_PLACEHOLDER, CLASS)).with_context(said)?,
            );
        }
        Ok(Self { documents })
    }

    /// The documents of a kind.
    pub(crate) fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let values = self.documents.iter().map(|document| &document.value);
        values.filter(move |value| value["kind"] == kind)
    }

    /// The first host name of the route of this kind whose name contains a text.
    pub(crate) fn host_of(&self, kind: &str, part: &str) -> Option<&str> {
        let mut routes = self.of(kind);
        let route = routes.find(|route| {
            let name = route["metadata"]["name"].as_str();
            name.is_some_and(|name| name.contains(part))
                && route["spec"]["hostnames"][0].is_string()
        })?;
        route["spec"]["hostnames"][0].as_str()
    }

    /// Without the documents of a kind.
    pub(crate) fn without(&self, kind: &str) -> Self {
        let mut rest = self.clone();
        rest.documents
            .retain(|document| document.value["kind"] != kind);
        rest
    }

    /// Of documents with the same kind and name keeps the last, as applying them one after the other does.
    pub(crate) fn keep_last(&mut self) {
        let key = |document: &Document| {
            let value = &document.value;
            (
                value["apiVersion"].to_string(),
                value["kind"].to_string(),
                name_of(value),
            )
        };
        let keys: Vec<_> = self.documents.iter().map(key).collect();
        let mut index = 0;
        self.documents.retain(|_| {
            index += 1;
            !keys[index..].contains(&keys[index - 1])
        });
    }

    /// As one file. What the harness did not change stands there as it was.
    pub(crate) fn text(&self) -> String {
        let texts: Vec<&str> = self
            .documents
            .iter()
            .map(|document| document.text.as_str())
            .collect();
        texts.join("---\n")
    }

    pub(crate) fn push(&mut self, value: Value) {
        let text = format!("{value}\n");
        self.documents.push(Document { text, value });
    }

    /// Adds the classes that a cluster would have. Says whether there are any.
    pub(crate) fn add_classes(&mut self) -> bool {
        let named = self
            .of("Gateway")
            .filter_map(|gateway| gateway["spec"]["gatewayClassName"].as_str());
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        for name in &named {
            self.push(json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
                "metadata": {"name": name},
                "spec": {"controllerName": "dalbi.io/gateway-controller"},
            }));
        }
        !named.is_empty()
    }

    /// The ports of Istio's Gateways.
    pub(crate) fn istio_ports(&self) -> BTreeSet<u16> {
        let servers = self
            .of("Gateway")
            .filter_map(|gateway| gateway["spec"]["servers"].as_array());
        let ports = servers
            .flatten()
            .filter_map(|server| server["port"]["number"].as_u64());
        ports.filter_map(|port| u16::try_from(port).ok()).collect()
    }

    /// Gives every Gateway that names none an address of its own. Returns each Gateway's, by `namespace/name`.
    pub(crate) fn give_addresses(&mut self) -> Result<BTreeMap<String, Gateway>> {
        let mut gateways = BTreeMap::new();
        for document in &mut self.documents {
            // Istio's kind of the same name has servers instead, on addresses of the whole process.
            if document.value["kind"] != "Gateway" || document.value["spec"]["listeners"].is_null()
            {
                continue;
            }
            let named = document.value["spec"]["addresses"][0]["value"].as_str();
            let address = match named.and_then(|address| address.parse().ok()) {
                Some(address) => address,
                None => {
                    let address = next_address();
                    let list = json!([{"type": "IPAddress", "value": address.to_string()}]);
                    document.value["spec"]["addresses"] = list;
                    document.text = format!("{}\n", document.value);
                    address
                }
            };
            let gateway = Gateway::of(&document.value, address);
            gateways.insert(
                name_of(&document.value).context("a Gateway without a name")?,
                gateway,
            );
        }
        Ok(gateways)
    }
}

/// Where a Gateway listens.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) address: Ipv4Addr,
    /// Name and port of its listeners, in their order.
    pub(crate) listeners: Vec<(String, u16)>,
}

impl Gateway {
    fn of(value: &Value, address: Ipv4Addr) -> Self {
        let listeners = value["spec"]["listeners"].as_array().into_iter().flatten();
        let listener = |listener: &Value| {
            let port = listener["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())?;
            Some((listener["name"].as_str()?.to_owned(), port))
        };
        Self {
            address,
            listeners: listeners.filter_map(listener).collect(),
        }
    }
}

/// `namespace/name`.
pub(crate) fn name_of(value: &Value) -> Option<String> {
    let namespace = value["metadata"]["namespace"].as_str().unwrap_or("default");
    let name = value["metadata"]["name"].as_str()?;
    Some(format!("{namespace}/{name}"))
}

/// Counts the addresses given out in this process.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// An address of 127.0.0.0/8 that nothing else of this process has; other processes take theirs elsewhere.
fn next_address() -> Ipv4Addr {
    let process = std::process::id().to_le_bytes();
    let [high, low] = GIVEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 2 + process[0] % 250, high + 1, low)
}

/// An EndpointSlice for ports of a Service, each with where it leads.
pub(crate) fn slice(
    namespace: &str,
    service: &str,
    pod: &str,
    ports: &[(Option<&str>, u16)],
) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port)| json!({"name": name.unwrap_or_default(), "port": port, "protocol": "TCP"}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{pod}"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "ports": ports,
        "endpoints": [{
            "addresses": ["127.0.0.1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace},
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_get_addresses_of_their_own_and_keep_the_ones_they_name() {
        let text = "kind: Gateway\nmetadata: {namespace: a, name: one}\nspec:\n  listeners: [{name: http, port: 80}]\n\
            ---\nkind: Gateway\nmetadata: {namespace: a, name: two}\nspec: {listeners: [], addresses: [{value: 127.9.9.9}]}\n";
        let mut manifests = Manifests {
            documents: yaml::documents(text).unwrap(),
        };
        let gateways = manifests.give_addresses().unwrap();
        let one = &gateways["a/one"];
        assert!(one.address.is_loopback() && one.address != gateways["a/two"].address);
        assert_eq!(one.listeners, [("http".to_owned(), 80)]);
        assert_eq!(gateways["a/two"].address, Ipv4Addr::new(127, 9, 9, 9));
        assert!(manifests.text().contains(&one.address.to_string()));
        let istio =
            "kind: Gateway\nmetadata: {name: one}\nspec: {servers: [{port: {number: 31400}}]}\n";
        let mut manifests = Manifests {
            documents: yaml::documents(istio).unwrap(),
        };
        assert!(manifests.give_addresses().unwrap().is_empty());
        assert_eq!(manifests.istio_ports(), BTreeSet::from([31400]));
    }
}
