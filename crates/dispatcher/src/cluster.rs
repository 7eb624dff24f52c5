//! What all workers share about a cluster: who its endpoints are, how they fare, and its limits.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use alba::{
    Balancer, Completion, EndpointId, Learned, Locality, Pick, PickRequest, Policy, Rng, Settings,
};
use arc_swap::ArcSwap;
use mesh::{EndpointAddress, UpstreamProtocol};
use rustls::pki_types::ServerName;

use crate::admission::Gate;
use crate::clock;
use crate::load_report::Asked;
use crate::options::Options;
use crate::places::Places;
use crate::pool::IdHash;
use crate::transport::connect::{ClientTls, Target};
use crate::transport::tls::{self, TlsError};

/// One cluster of the snapshot in force.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// As the mesh has it.
    pub(crate) config: mesh::Cluster,
    /// TLS towards its endpoints.
    pub(crate) tls: Option<ClientTls>,
    /// What is in use of its limits; survives reloads.
    pub(crate) usage: Arc<Usage>,
    /// Whether its balancer has a use for endpoints' load reports.
    pub(crate) reads_reports: bool,
    /// Where requests wait under overload; survives reloads that do not change it.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Where users are, by their addresses.
    places: Option<Arc<Places>>,
    settings: Settings,
    /// The same for all clusters whose endpoints share their state: what one learns, the others know.
    pub(crate) lineage: u64,
    /// Replaced when endpoints come and go, which makes no new snapshot.
    members: ArcSwap<Members>,
}

/// The endpoints of a moment. Positions in `targets` are the balancer's.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) balancer: Balancer,
    pub(crate) targets: Vec<Target>,
    pub(crate) ids: HashSet<EndpointId, IdHash>,
}

impl Members {
    fn new(balancer: Balancer, endpoints: &[alba::Endpoint], targets: Vec<Target>) -> Self {
        Self {
            balancer,
            targets,
            ids: endpoints.iter().map(|endpoint| endpoint.id).collect(),
        }
    }
}

/// Counts towards a cluster's limits, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) connections: AtomicU32,
    pub(crate) pending: AtomicU32,
    pub(crate) requests: AtomicU32,
    pub(crate) retries: AtomicU32,
}

/// A counted use of a limit, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    usage: Arc<Usage>,
    counter: fn(&Usage) -> &AtomicU32,
}

impl Permit {
    /// Counts one more, unless `limit` is reached.
    pub(crate) fn acquire(
        usage: &Arc<Usage>,
        counter: fn(&Usage) -> &AtomicU32,
        limit: u32,
    ) -> Option<Self> {
        let taken = counter(usage).fetch_add(1, Ordering::Relaxed);
        let permit = Self {
            usage: usage.clone(),
            counter,
        };
        (taken < limit).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.counter)(&self.usage).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The cluster of the same name that another one is made after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ancestor<'c> {
    pub(crate) cluster: &'c Cluster,
    /// It goes on serving beside the new one.
    pub(crate) stays: bool,
}

impl Ancestor<'_> {
    /// Whether the two may share their endpoints' states. One that serves all requests must not lose endpoints to what
    /// another one, still to be proved, checks or ejects.
    fn shares_state(
        &self,
        config: &mesh::Cluster,
        settings: &Settings,
        endpoints: &[alba::Endpoint],
    ) -> bool {
        let before = self.cluster;
        let judged = settings.outlier_detection.is_some() || settings.slow_start.is_some();
        let same_endpoints = || {
            let ids = &before.members().ids;
            ids.len() == endpoints.len() && endpoints.iter().all(|one| ids.contains(&one.id))
        };
        !self.stays
            || (before.config.health_check == config.health_check
                && before.settings.outlier_detection == settings.outlier_detection
                && before.settings.slow_start == settings.slow_start
                // What is due by the clock is done once for all that share it, by the list of whoever does it.
                && (!judged || same_endpoints()))
    }
}

/// A lineage that no cluster has yet.
fn new_lineage() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Cluster {
    /// Builds a cluster, taking over what its ancestor has learned.
    /// `addresses` are what is known so far of the names among its endpoints.
    pub(crate) fn build(
        config: &mesh::Cluster,
        options: &Options,
        places: Option<Arc<Places>>,
        ancestor: Option<Ancestor<'_>>,
        addresses: &dyn Fn(&str, u16) -> Vec<SocketAddr>,
    ) -> Result<Self, TlsError> {
        let alpn: &[u8] = match config.protocol {
            UpstreamProtocol::Http1 => b"http/1.1",
            UpstreamProtocol::Http2 => b"h2",
        };
        let tls = match &config.tls {
            None => None,
            Some(origination) => {
                let name = origination
                    .sni
                    .clone()
                    .unwrap_or_else(|| config.host.clone());
                let server_name =
                    ServerName::try_from(name).map_err(|error| TlsError::Settings {
                        origin: config.name.clone(),
                        reason: error.to_string(),
                    })?;
                Some(ClientTls {
                    config: tls::client_config(origination, &config.name, alpn)?,
                    server_name,
                })
            }
        };
        let (endpoints, targets) = members(config, addresses);
        let settings = settings(config, options);
        let now = clock::now();
        let previous = ancestor.map(|ancestor| ancestor.cluster);
        let sharing =
            ancestor.filter(|ancestor| ancestor.shares_state(config, &settings, &endpoints));
        let (balancer, lineage) = match sharing {
            Some(Ancestor { cluster, .. }) => {
                let before = cluster.members();
                let balancer = before.balancer.apply(settings.clone(), &endpoints, now);
                (balancer, cluster.lineage)
            }
            None => {
                let balancer = Balancer::new(settings.clone(), &endpoints, now);
                if let Some(Ancestor { cluster, .. }) = ancestor {
                    balancer.restore(&cluster.learned(now), now);
                }
                (balancer, new_lineage())
            }
        };
        if config.health_check.is_none() {
            trust_all(&balancer, &endpoints, now);
        }
        Ok(Self {
            config: config.clone(),
            tls,
            usage: previous.map_or_else(Arc::default, |previous| previous.usage.clone()),
            reads_reports: matches!(&settings.policy, Policy::Alba(alba) if !alba.without.reports),
            gate: gate(config.admission.as_ref(), previous),
            places,
            settings,
            lineage,
            members: ArcSwap::from_pointee(Members::new(balancer, &endpoints, targets)),
        })
    }

    /// What is known of its endpoints.
    pub(crate) fn learned(&self, now: alba::Time) -> Learned {
        self.members().balancer.learned(now)
    }

    /// Takes what an earlier process knew of them, before the first request.
    pub(crate) fn restore(&self, learned: &Learned) {
        let (members, now) = (self.members(), clock::now());
        members.balancer.restore(learned, now);
        if self.config.health_check.is_none() {
            let endpoints: Vec<_> = members
                .ids
                .iter()
                .copied()
                .map(alba::Endpoint::new)
                .collect();
            trust_all(&members.balancer, &endpoints, now);
        }
    }

    /// Whether connections made for `other` can be used for this cluster too.
    pub(crate) fn shares_connections_with(&self, other: &Self) -> bool {
        self.config.protocol == other.config.protocol
            && self.config.tls == other.config.tls
            && self.config.connection_pool.tcp_keepalive
                == other.config.connection_pool.tcp_keepalive
    }

    /// The endpoints now.
    pub(crate) fn members(&self) -> arc_swap::Guard<Arc<Members>> {
        self.members.load()
    }

    /// Picks an endpoint. The pick is in flight until [`Self::complete`].
    pub(crate) fn pick(
        &self,
        rng: &mut Rng,
        now: alba::Time,
        request: &PickRequest<'_>,
    ) -> Option<(Pick, Target)> {
        let members = self.members.load();
        let pick = members.balancer.pick(now, rng, request)?;
        let target = members.targets[pick.index() as usize].clone();
        Some((pick, target))
    }

    /// The endpoint to ask for its load now, if any; for after each pick.
    pub(crate) fn probe(&self, now: alba::Time) -> Option<Asked> {
        self.config.probe_path.as_ref()?;
        let members = self.members.load();
        let probe = members.balancer.probe(now)?;
        let members = Arc::clone(&members);
        Some(Asked { members, probe })
    }

    /// Where the user at an address is, if that is known.
    pub(crate) fn place_of(&self, address: IpAddr) -> Option<Locality> {
        self.places.as_ref()?.locate(address)
    }

    /// Ends a pick.
    pub(crate) fn complete(&self, pick: Pick, completion: Completion) {
        self.members.load().balancer.complete(pick, completion);
    }

    /// The names among its endpoints.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, u16)> {
        self.config
            .endpoints
            .iter()
            .filter_map(|endpoint| match &endpoint.address {
                EndpointAddress::Dns(name, port) | EndpointAddress::DnsFirst(name, port) => {
                    Some((name.as_str(), *port))
                }
                EndpointAddress::Ip(_) | EndpointAddress::Unix(_) => None,
            })
    }

    /// Takes the addresses that names have now; endpoints that stay keep what was learned of them.
    pub(crate) fn resolve(&self, addresses: &dyn Fn(&str, u16) -> Vec<SocketAddr>) {
        let (endpoints, targets) = members(&self.config, addresses);
        let current = self.members.load();
        if current.targets == targets {
            return;
        }
        let settings = self.settings.clone();
        let balancer = current.balancer.apply(settings, &endpoints, clock::now());
        self.members
            .store(Arc::new(Members::new(balancer, &endpoints, targets)));
    }
}

/// Without checks nobody would ever call an endpoint healthy again that an earlier check put aside.
fn trust_all(balancer: &Balancer, endpoints: &[alba::Endpoint], now: alba::Time) {
    for endpoint in endpoints {
        balancer.set_health(endpoint.id, true, now);
    }
}

/// The balancer's and the connector's view of the same list.
fn members(
    config: &mesh::Cluster,
    addresses: &dyn Fn(&str, u16) -> Vec<SocketAddr>,
) -> (Vec<alba::Endpoint>, Vec<Target>) {
    let mut endpoints = Vec::with_capacity(config.endpoints.len());
    let mut targets = Vec::with_capacity(config.endpoints.len());
    for endpoint in &config.endpoints {
        let found = match &endpoint.address {
            EndpointAddress::Ip(address) => vec![Target::Tcp(*address)],
            EndpointAddress::Unix(path) => vec![Target::Unix(path.clone())],
            EndpointAddress::Dns(name, port) => {
                // Sorted: another order of the same addresses is no news.
                let mut found = addresses(name, *port);
                found.sort_unstable();
                found.into_iter().map(Target::Tcp).collect()
            }
            EndpointAddress::DnsFirst(name, port) => {
                let first = addresses(name, *port).into_iter().next();
                first.map(Target::Tcp).into_iter().collect()
            }
        };
        for target in found {
            endpoints.push(alba::Endpoint {
                weight: endpoint.weight,
                locality: endpoint.locality.clone(),
                priority: endpoint.priority,
                ..alba::Endpoint::new(endpoint_id(&target))
            });
            targets.push(target);
        }
    }
    (endpoints, targets)
}

/// The same for the same address in every snapshot, and in every dispatcher: consistent hashing needs them to agree.
fn endpoint_id(target: &Target) -> EndpointId {
    EndpointId(mesh::stable_hash(target.to_string().as_bytes()))
}

/// The gate as before, if nothing has changed.
fn gate(config: Option<&mesh::Admission>, previous: Option<&Cluster>) -> Option<Arc<Gate>> {
    let config = config?;
    let before = previous.and_then(|previous| previous.gate.as_ref());
    let same = before.filter(|before| before.config() == config);
    Some(same.map_or_else(|| Arc::new(Gate::new(config)), Arc::clone))
}

/// What the documents say, with what only this dispatcher knows.
fn settings(config: &mesh::Cluster, options: &Options) -> Settings {
    let mut settings = config.balancing.clone();
    settings.origin = options.locality.clone();
    if let Some(subset) = &mut settings.subset {
        subset.key = node_key(options);
    }
    if let Policy::Alba(alba) = &mut settings.policy
        && config.probe_path.is_none()
    {
        // Nobody is asked who has no answer.
        alba.probes_per_request = 0.0;
    }
    settings
}

/// Tells this dispatcher from others.
fn node_key(options: &Options) -> u64 {
    static RANDOM: OnceLock<u64> = OnceLock::new();
    match &options.node_id {
        Some(id) => mesh::stable_hash(id.as_bytes()),
        None => *RANDOM.get_or_init(|| RandomState::new().hash_one(std::process::id())),
    }
}
