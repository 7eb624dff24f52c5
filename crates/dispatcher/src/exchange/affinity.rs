//! What the balancer is told of a request: which others it belongs with, and where its user is.

use alba::{Locality, Rng, TenantId};
use mesh::{Route, UserLocality};

use super::fields::Origin;
use crate::http::view::RequestView;
use crate::snapshot::LocalCluster;

/// What is known of one request. Empty, and free, for clusters that neither hash nor look for users.
#[derive(Debug, Default)]
pub(crate) struct Affinity {
    /// What consistent hashing goes by.
    pub(crate) hash: Option<u64>,
    /// The `Set-Cookie` that keeps the client's next requests together with this one.
    pub(crate) cookie: Option<String>,
    /// Whose request it is, and of which kind, where tenants have shares.
    pub(crate) tenant: Option<(TenantId, u32)>,
    /// Where the user is, if a policy names something that knows.
    pub(crate) user: Option<Box<Locality>>,
}

impl Affinity {
    pub(crate) fn of(
        cluster: &LocalCluster,
        route: &Route,
        head: &impl RequestView,
        origin: &Origin,
        rng: &mut Rng,
    ) -> Self {
        let config = &cluster.shared.config;
        let mut affinity = Self::default();
        if !config.hash.is_empty() {
            match mesh::affinity(&config.hash, head, Some(origin.address)) {
                mesh::Affinity::None => {}
                mesh::Affinity::Hash(hash) => affinity.hash = Some(hash),
                mesh::Affinity::NewCookie(key) => {
                    let made = key.new_cookie(rng.u64());
                    affinity.hash = made.as_ref().map(|(hash, _)| *hash);
                    affinity.cookie = made.map(|(_, cookie)| cookie);
                }
            }
        }
        if let Some(admission) = &config.admission {
            let name = mesh::RequestHead::header(head, &admission.tenant_header);
            let tenant = mesh::Admission::tenant(name.as_deref().unwrap_or_default());
            // A route's requests cost about the same.
            let class = mesh::stable_hash(route.name.as_bytes()) as u32;
            affinity.tenant = Some((tenant, class));
        }
        affinity.user = match &config.user_locality {
            None => None,
            Some(UserLocality::Header(name)) => mesh::RequestHead::header(head, name)
                .filter(|value| !value.is_empty())
                .map(|value| Box::new(mesh::locality(&String::from_utf8_lossy(&value)))),
            Some(UserLocality::MaxMind(_)) => cluster.shared.place_of(origin.address).map(Box::new),
        };
        affinity
    }
}
