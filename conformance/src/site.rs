//! A folder of documents with upstreams behind its Services, served by the binary.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::dalbi::{Binary, Dalbi};
use crate::echo::{Log, Pod, Template};
use crate::manifests::{Gateway, Manifests, name_of, slice};

/// What all sites of a run share: upstreams of the base manifests, certificates, the log of what upstreams got.
pub(crate) struct World {
    pub(crate) binary: Binary,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) log: Arc<Log>,
    /// By the text of their Deployment.
    pods: Mutex<HashMap<String, Arc<Pod>>>,
}

impl World {
    pub(crate) fn new(binary: Binary) -> Result<Self> {
        Ok(Self {
            binary,
            certificates: Certificates::new()?,
            log: Arc::default(),
            pods: Mutex::default(),
        })
    }

    /// The pod of a Deployment, started once. Nothing if it runs none of the echoes.
    fn pod(&self, deployment: &Value) -> Result<Option<Arc<Pod>>> {
        let Some(template) = Template::of(deployment)? else {
            return Ok(None);
        };
        let mut pods = self
            .pods
            .lock()
            .expect("nothing panics while it holds the pods");
        let make = || {
            Pod::new(
                template,
                Arc::clone(&self.log),
                Arc::clone(&self.certificates),
            )
        };
        let pod = pods.entry(deployment.to_string()).or_insert_with(make);
        Ok(Some(Arc::clone(pod)))
    }
}

/// Where a case's requests go.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Gateway {
        /// `namespace/name`
        name: String,
        /// The first, if none is named.
        listener: Option<String>,
        /// That of the listener, if none is named.
        port: Option<u16>,
    },
    /// A port of Istio's gateways.
    Port(u16),
    Mesh,
}

/// One start of the binary.
pub(crate) struct Site {
    folder: TempDir,
    manifests: Manifests,
    gateways: BTreeMap<String, Gateway>,
    dalbi: Dalbi,
}

impl Site {
    /// Writes the folder, starts its upstreams and serves it. `namespace` is the one from which the mesh's requests
    /// come.
    pub(crate) async fn start(
        world: &World,
        mut manifests: Manifests,
        namespace: Option<&str>,
    ) -> Result<Self> {
        let gateways = manifests.give_addresses()?;
        if manifests.add_classes() {
            for document in world.certificates.documents() {
                manifests.push(document);
            }
        }
        add_endpoints(world, &mut manifests).await?;
        let folder = tempfile::tempdir().context("make a folder")?;
        write(folder.path(), &manifests)?;
        let of_gateways = gateways.values().flat_map(|gateway| {
            let ports = gateway.listeners.iter().map(|(_, port)| *port);
            ports.map(|port| (gateway.address, port))
        });
        let of_istio = manifests.istio_ports().into_iter();
        let places: Vec<(Ipv4Addr, u16)> = of_gateways
            .chain(of_istio.map(|port| (Ipv4Addr::LOCALHOST, port)))
            .collect();
        let arguments: Vec<&str> = namespace
            .iter()
            .flat_map(|name| ["--namespace", name])
            .collect();
        let dalbi = Dalbi::start(&world.binary, folder.path(), &places, &arguments).await?;
        Ok(Self {
            folder,
            manifests,
            gateways,
            dalbi,
        })
    }

    /// Where a target is.
    pub(crate) fn address(&self, target: &Target) -> Result<SocketAddr> {
        Ok(match target {
            Target::Mesh => self.dalbi.mesh(),
            Target::Port(port) => self.dalbi.address(Ipv4Addr::LOCALHOST, *port),
            Target::Gateway {
                name,
                listener,
                port,
            } => {
                let (address, port) = self.place(name, listener.as_deref(), *port)?;
                self.dalbi.address(address, port)
            }
        })
    }

    /// What the client calls a target: its address, with its documented port unless that is the scheme's own.
    pub(crate) fn host(&self, target: &Target, scheme_port: u16) -> Result<String> {
        let Target::Gateway {
            name,
            listener,
            port,
        } = target
        else {
            return Ok("localhost".to_owned());
        };
        let (address, port) = self.place(name, listener.as_deref(), *port)?;
        Ok(match port == scheme_port {
            true => address.to_string(),
            false => format!("{address}:{port}"),
        })
    }

    /// Address and documented port. A listener that the Gateway does not have is its first one: one case names none
    /// that exists, and all of its listeners share a port.
    fn place(
        &self,
        name: &str,
        listener: Option<&str>,
        port: Option<u16>,
    ) -> Result<(Ipv4Addr, u16)> {
        let gateway = self
            .gateways
            .get(name)
            .with_context(|| format!("no Gateway {name}"))?;
        let mut listeners = gateway.listeners.iter();
        let named = listeners.find(|(name, _)| listener == Some(name));
        let (_, of_listener) = named
            .or(gateway.listeners.first())
            .with_context(|| format!("Gateway {name} has no listener"))?;
        Ok((gateway.address, port.unwrap_or(*of_listener)))
    }

    /// Takes the documents of a kind away, and waits until that is served.
    pub(crate) async fn remove(&mut self, kind: &str) -> Result<()> {
        self.manifests = self.manifests.without(kind);
        write(self.folder.path(), &self.manifests)?;
        self.dalbi.reloaded().await
    }
}

/// In one step, as an editor that renames does.
fn write(folder: &Path, manifests: &Manifests) -> Result<()> {
    let fresh = folder.join(".manifests.new");
    std::fs::write(&fresh, manifests.text()).context("write the documents")?;
    std::fs::rename(fresh, folder.join("manifests.yaml")).context("rename the documents")
}

/// What a cluster's endpoint controller would add, and what the suite adds to slices without endpoints.
async fn add_endpoints(world: &World, manifests: &mut Manifests) -> Result<()> {
    let mut pods = Vec::new();
    for deployment in manifests.of("Deployment") {
        pods.extend(world.pod(deployment)?);
    }
    let mut slices = Vec::new();
    let mut added: BTreeMap<String, Value> = BTreeMap::new();
    for service in manifests.of("Service") {
        let name = name_of(service).context("a Service without a name")?;
        let (namespace, name) = name
            .split_once('/')
            .context("a Service without a namespace")?;
        let selector = &service["spec"]["selector"];
        for pod in pods
            .iter()
            .filter(|pod| pod.template().matches(namespace, selector))
        {
            let mut ports = Vec::new();
            for port in service["spec"]["ports"].as_array().into_iter().flatten() {
                let number = |field: &str| {
                    port[field]
                        .as_u64()
                        .and_then(|port| u16::try_from(port).ok())
                };
                let Some(target) = number("targetPort").or_else(|| number("port")) else {
                    continue;
                };
                if let Some(address) = pod.address(target).await? {
                    ports.push((port["name"].as_str(), address.port()));
                }
            }
            if !ports.is_empty() {
                slices.push(slice(namespace, name, &pod.name, &ports));
                added.insert(pod.name.clone(), pod.document());
            }
        }
    }
    fill_slices(&pods, manifests).await?;
    for document in slices.into_iter().chain(added.into_values()) {
        manifests.push(document);
    }
    Ok(())
}

/// The suite copies the addresses of this Deployment into slices that have none.
const COPIED: &str = "infra-backend-v1";

async fn fill_slices(pods: &[Arc<Pod>], manifests: &mut Manifests) -> Result<()> {
    let Some(pod) = pods.iter().find(|pod| pod.name.starts_with(COPIED)) else {
        return Ok(());
    };
    for document in &mut manifests.documents {
        let value = &mut document.value;
        if value["kind"] != "EndpointSlice" || !value["endpoints"].is_null() {
            continue;
        }
        // The upstreams are on 127.0.0.1 only. As in the suite, a slice of another family stays empty.
        if value["addressType"] != "IPv4" {
            value["endpoints"] = json!([]);
        } else {
            let asked = value["ports"][0]["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok());
            let address = pod
                .address(asked.context("a slice without a port")?)
                .await?;
            value["ports"][0]["port"] = json!(address.context("a port that an echo has")?.port());
            value["endpoints"] =
                json!([{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}]);
        }
        document.text = format!("{value}\n");
    }
    Ok(())
}
