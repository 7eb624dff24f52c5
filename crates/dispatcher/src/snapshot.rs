//! One configuration in force, shared by the workers and joined with what is each worker's own.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mesh::{ClusterId, ListenerKind, Mesh, UserLocality};

use crate::cluster::{Ancestor, Cluster};
use crate::dispatcher::ApplyError;
use crate::options::Options;
use crate::places::Places;
use crate::pool::Pool;
use crate::telemetry::generation::GenerationMetrics;
use crate::telemetry::metrics::{Service, ServiceMetrics};
use crate::transport::tls::ServerTls;

/// What serves.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// Serves all requests that are not the canary's.
    pub(crate) base: Arc<Snapshot>,
    pub(crate) canary: Option<Canary>,
}

/// A snapshot that serves a share of requests.
#[derive(Debug, Clone)]
pub(crate) struct Canary {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Of all requests, 0 to 1.
    pub(crate) share: f64,
}

impl InForce {
    /// One snapshot for all requests.
    pub(crate) fn all(base: Arc<Snapshot>) -> Self {
        Self { base, canary: None }
    }

    /// The base, then the canary if there is one.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        let canary = self.canary.iter().map(|canary| &canary.snapshot);
        std::iter::once(&self.base).chain(canary)
    }

    /// The newest snapshot.
    pub(crate) fn newest(&self) -> &Arc<Snapshot> {
        let canary = self.canary.as_ref();
        canary.map_or(&self.base, |canary| &canary.snapshot)
    }

    /// Every cluster once, with its snapshot: the base's, then those that only the canary has.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = (&Arc<Snapshot>, &Arc<Cluster>)> {
        let shared: HashSet<*const Cluster> = match &self.canary {
            None => HashSet::new(),
            Some(_) => self.base.clusters.iter().map(Arc::as_ptr).collect(),
        };
        let canary = self.canary.iter().map(|canary| &canary.snapshot);
        let own = canary.flat_map(|snapshot| {
            let clusters = snapshot.clusters.iter();
            clusters.map(move |cluster| (snapshot, cluster))
        });
        let base = self.base.clusters.iter();
        base.map(|cluster| (&self.base, cluster))
            .chain(own.filter(move |(_, cluster)| !shared.contains(&Arc::as_ptr(cluster))))
    }

    /// Where either listens.
    pub(crate) fn addresses(&self) -> HashSet<SocketAddr> {
        let listeners = self.snapshots().flat_map(|snapshot| &snapshot.listeners);
        listeners.map(|listener| listener.address).collect()
    }
}

/// Which snapshot another one is made after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'s> {
    pub(crate) snapshot: &'s Snapshot,
    /// It goes on serving beside the new one.
    pub(crate) stays: bool,
}

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
    /// Builds the snapshot of a mesh; clusters that the one before has too keep what was learned.
    pub(crate) fn build(
        mesh: Arc<Mesh>,
        generation: &str,
        number: u64,
        options: &Options,
        before: Option<Before<'_>>,
        addresses: &dyn Fn(&str, u16) -> Vec<SocketAddr>,
    ) -> Result<Self, ApplyError> {
        let previous = before.map(|before| before.snapshot);
        let known: HashMap<&str, &Arc<Cluster>> = previous
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
            let known = known.get(config.name.as_str());
            clusters.push(match known {
                // An unchanged cluster is shared as it is, unless it may have to read files again.
                Some(known) if known.config == *config && config.tls.is_none() => Arc::clone(known),
                _ => Arc::new(Cluster::build(
                    config,
                    options,
                    match &config.user_locality {
                        Some(UserLocality::MaxMind(path)) => places.get(path).cloned(),
                        _ => None,
                    },
                    known.zip(before).map(|(cluster, before)| Ancestor {
                        cluster,
                        stays: before.stays,
                    }),
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
            number,
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
    /// Each cluster's, for this generation; many are never needed.
    metrics: Vec<OnceCell<Rc<ServiceMetrics>>>,
    generation: Rc<GenerationMetrics>,
    /// Requests that no route took.
    pub(crate) unrouted: Rc<ServiceMetrics>,
}

/// A cluster with a worker's pool.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    pub(crate) shared: Arc<Cluster>,
    pub(crate) pool: Rc<Pool>,
    service: Arc<Service>,
}

impl LocalSnapshot {
    /// Joins a snapshot with the pools of those before it.
    pub(crate) fn join(
        shared: Arc<Snapshot>,
        before: &[Rc<Self>],
        generation: Rc<GenerationMetrics>,
    ) -> Self {
        let mut known: HashMap<&str, Vec<&Rc<LocalCluster>>> = HashMap::new();
        for cluster in before.iter().flat_map(|before| &before.clusters) {
            let name = cluster.shared.config.name.as_str();
            known.entry(name).or_default().push(cluster);
        }
        let clusters: Vec<_> = shared
            .clusters
            .iter()
            .map(|cluster| {
                let known = known.get(cluster.config.name.as_str());
                let mut known = known.into_iter().flatten();
                if let Some(same) = known
                    .clone()
                    .find(|known| Arc::ptr_eq(&known.shared, cluster))
                {
                    return Rc::clone(same);
                }
                let reusable = known.find(|known| known.shared.shares_connections_with(cluster));
                Rc::new(LocalCluster {
                    shared: cluster.clone(),
                    pool: reusable.map_or_else(Rc::default, |known| known.pool.clone()),
                    service: Arc::new(service(&cluster.config)),
                })
            })
            .collect();
        Self {
            metrics: clusters.iter().map(|_| OnceCell::new()).collect(),
            clusters,
            unrouted: generation.service(&Arc::default()),
            generation,
            shared,
        }
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.shared.mesh
    }

    pub(crate) fn cluster(&self, id: ClusterId) -> &Rc<LocalCluster> {
        &self.clusters[id.0 as usize]
    }

    /// What is counted for a cluster under this snapshot's generation.
    pub(crate) fn metrics(&self, id: ClusterId) -> &Rc<ServiceMetrics> {
        let position = id.0 as usize;
        let service = || self.generation.service(&self.clusters[position].service);
        self.metrics[position].get_or_init(service)
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
