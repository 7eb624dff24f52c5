//! One configuration in force, shared by the workers and joined with what is each worker's own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mesh::{ClusterId, ListenerKind, Mesh, UserLocality};

use crate::cluster::Cluster;
use crate::dispatcher::ApplyError;
use crate::options::Options;
use crate::places::Places;
use crate::pool::Pool;
use crate::telemetry::metrics::{Registry, Service, ServiceMetrics};
use crate::transport::tls::ServerTls;

/// What all workers share. Never changed once built, but for certificates read anew.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Counts the snapshots of this process; 0 is the empty one that it starts from.
    pub(crate) number: u64,
    /// Its generation's shown id; empty where there is none.
    pub(crate) generation: Arc<str>,
    pub(crate) mesh: Arc<Mesh>,
    /// Indexed by [`ClusterId`].
    pub(crate) clusters: Vec<Arc<Cluster>>,
    /// In the order of the mesh's listeners.
    pub(crate) listeners: Vec<Listener>,
    /// MaxMind databases by their files.
    places: BTreeMap<PathBuf, Arc<Places>>,
}

/// A listener with what serving it needs.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<ArcSwap<ServerTls>>,
}

impl Snapshot {
    /// Builds the snapshot of a mesh; clusters that `previous` has too keep what was learned.
    pub(crate) fn build(
        mesh: Arc<Mesh>,
        generation: &str,
        options: &Options,
        previous: Option<&Self>,
        addresses: &dyn Fn(&str, u16) -> Vec<SocketAddr>,
    ) -> Result<Self, ApplyError> {
        let known: std::collections::HashMap<&str, &Arc<Cluster>> = previous
            .iter()
            .flat_map(|previous| &previous.clusters)
            .map(|cluster| (cluster.config.name.as_str(), cluster))
            .collect();
        let mut places: BTreeMap<PathBuf, Arc<Places>> = BTreeMap::new();
        for cluster in &mesh.clusters {
            if let Some(UserLocality::MaxMind(path)) = &cluster.user_locality
                && !places.contains_key(path)
            {
                let open = previous.and_then(|previous| previous.places.get(path));
                let opened = match open {
                    Some(open) => Arc::clone(open),
                    None => Arc::new(Places::open(path)?),
                };
                places.insert(path.clone(), opened);
            }
        }
        let mut clusters = Vec::with_capacity(mesh.clusters.len());
        for config in &mesh.clusters {
            let before = known.get(config.name.as_str());
            clusters.push(match before {
                // An unchanged cluster is shared as it is, unless it may have to read files again.
                Some(before) if before.config == *config && config.tls.is_none() => {
                    Arc::clone(before)
                }
                _ => Arc::new(Cluster::build(
                    config,
                    options,
                    match &config.user_locality {
                        Some(UserLocality::MaxMind(path)) => places.get(path).cloned(),
                        _ => None,
                    },
                    before.map(|before| &***before),
                    addresses,
                )?),
            });
        }
        let mut listeners = Vec::with_capacity(mesh.listeners.len());
        for listener in &mesh.listeners {
            let tls = listener.tls.as_ref().map(ServerTls::build).transpose()?;
            listeners.push(Listener {
                address: address(listener, options)?,
                tls: tls.map(ArcSwap::from_pointee),
            });
        }
        Ok(Self {
            number: previous.map_or(0, |previous| previous.number + 1),
            generation: generation.into(),
            mesh,
            clusters,
            listeners,
            places,
        })
    }

    /// Reads databases again whose files have changed.
    pub(crate) fn reload_places(&self) {
        for places in self.places.values() {
            places.reload();
        }
    }

    /// Reads certificates again where a file has changed. A broken file is logged and the old certificate stays.
    pub(crate) fn reload_certificates(&self) {
        for (listener, config) in self.listeners.iter().zip(&self.mesh.listeners) {
            let (Some(tls), Some(termination)) = (&listener.tls, &config.tls) else {
                continue;
            };
            if !tls.load().is_stale() {
                continue;
            }
            match ServerTls::build(termination) {
                Ok(fresh) => {
                    tls.store(Arc::new(fresh));
                    tracing::info!(listener = config.name, "certificates read again");
                }
                Err(error) => {
                    tracing::warn!(listener = config.name, %error, "changed certificate can't be used; the old one stays");
                }
            }
        }
    }
}

/// Where a listener binds.
fn address(listener: &mesh::Listener, options: &Options) -> Result<SocketAddr, ApplyError> {
    let default = match listener.kind {
        ListenerKind::Gateway => options.bind,
        ListenerKind::Mesh => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let port = listener.port.checked_add(options.port_offset);
    let port = port.ok_or_else(|| ApplyError::Port {
        listener: listener.name.clone(),
        port: listener.port,
        offset: options.port_offset,
    })?;
    Ok(SocketAddr::new(listener.address.unwrap_or(default), port))
}

/// A snapshot with a worker's pools and metrics. A request holds one from its first byte to its last.
#[derive(Debug)]
pub(crate) struct LocalSnapshot {
    pub(crate) shared: Arc<Snapshot>,
    clusters: Vec<Rc<LocalCluster>>,
    /// Requests that no route took.
    pub(crate) unrouted: Rc<ServiceMetrics>,
}

/// A cluster with a worker's pool and metrics.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    pub(crate) shared: Arc<Cluster>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) metrics: Rc<ServiceMetrics>,
}

impl LocalSnapshot {
    /// Joins a snapshot with the pools of the one before.
    pub(crate) fn join(
        shared: Arc<Snapshot>,
        previous: Option<&Self>,
        registry: &Arc<Registry>,
    ) -> Self {
        let known: std::collections::HashMap<&str, &Rc<LocalCluster>> = previous
            .iter()
            .flat_map(|previous| &previous.clusters)
            .map(|cluster| (cluster.shared.config.name.as_str(), cluster))
            .collect();
        let clusters = shared.clusters.iter().map(|cluster| {
            let before = known.get(cluster.config.name.as_str());
            if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.shared, cluster)) {
                return Rc::clone(before);
            }
            let reusable = before.filter(|before| before.shared.shares_connections_with(cluster));
            Rc::new(LocalCluster {
                shared: cluster.clone(),
                pool: reusable.map_or_else(Rc::default, |before| before.pool.clone()),
                metrics: before.map_or_else(
                    || {
                        Rc::new(ServiceMetrics::new(
                            registry.clone(),
                            service(&cluster.config),
                        ))
                    },
                    |before| before.metrics.clone(),
                ),
            })
        });
        let unrouted = previous.map_or_else(
            || Rc::new(ServiceMetrics::new(registry.clone(), Service::default())),
            |previous| previous.unrouted.clone(),
        );
        Self {
            clusters: clusters.collect(),
            shared,
            unrouted,
        }
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.shared.mesh
    }

    pub(crate) fn cluster(&self, id: ClusterId) -> &Rc<LocalCluster> {
        &self.clusters[id.0 as usize]
    }

    pub(crate) fn clusters(&self) -> &[Rc<LocalCluster>] {
        &self.clusters
    }

    /// The position of the listener at that address, if this snapshot still has it.
    pub(crate) fn listener(&self, address: SocketAddr) -> Option<usize> {
        self.shared
            .listeners
            .iter()
            .position(|listener| listener.address == address)
    }
}

fn service(cluster: &mesh::Cluster) -> Service {
    let host = &cluster.host;
    let name = host
        .split_once(".svc.")
        .and_then(|(name, _)| name.split('.').next());
    Service {
        host: host.clone(),
        name: name.unwrap_or(host).to_owned(),
        namespace: cluster.namespace.clone(),
    }
}
