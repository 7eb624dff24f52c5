//! Backends as clusters.

use ::gateway_api::{Backend, Name, ServiceTarget, Target};

use super::super::Input;
use super::super::clusters::{Clusters, Unresolved};
use super::super::registry::service_host;
use super::{Linked, filters, tls};
use crate::model::{ClusterId, DestinationName, NoCluster, UpstreamProtocol, WeightedDestination};

/// How the requests of a rule reach their backends.
#[derive(Clone, Copy)]
pub(super) struct Towards<'a> {
    pub(super) linked: &'a Linked,
    /// HTTP/2, whatever the port says: gRPC has no other.
    pub(super) is_grpc: bool,
    /// Secret with the certificate that a Gateway shows to Services with TLS, and that Gateway.
    pub(super) client_certificate: Option<(&'a Name, &'a Name)>,
}

/// The share that can't be sent anywhere, as the specification answers it.
pub(super) fn error(reason: impl Into<String>) -> NoCluster {
    NoCluster {
        status: 500,
        reason: reason.into(),
        wanted: None,
    }
}

impl Towards<'_> {
    /// Backends by weight. Without any, or without weight, all requests are answered with 500.
    pub(super) fn destinations(
        self,
        backends: &[Backend],
        port: filters::OfListener,
        clusters: &mut Clusters<'_>,
    ) -> Vec<WeightedDestination> {
        let nothing = if backends.is_empty() {
            "the rule has no backends"
        } else {
            "all backends of the rule have weight 0"
        };
        if backends.iter().all(|backend| backend.weight == 0) {
            return vec![WeightedDestination {
                weight: 1,
                cluster: Err(error(nothing)),
                headers: crate::model::HeaderEdits::default(),
                filters: None,
            }];
        }
        let backends = backends.iter();
        backends
            .map(|backend| {
                let refused = backend.filters.refused.as_ref();
                let cluster = match refused {
                    Some(filter) => Err(error(format!("a filter {filter} is not served"))),
                    None => self.cluster(&backend.target, clusters),
                };
                WeightedDestination {
                    weight: backend.weight,
                    cluster,
                    headers: filters::headers(&backend.filters),
                    filters: filters::of_destination(&backend.filters, port, self, clusters),
                }
            })
            .collect()
    }

    /// The cluster of a backend.
    pub(super) fn cluster(
        self,
        target: &Target,
        clusters: &mut Clusters<'_>,
    ) -> Result<ClusterId, NoCluster> {
        let target = target.as_ref().map_err(error)?;
        self.of_service(target, clusters).map_err(|reason| {
            let Name { namespace, name } = &target.service;
            let domain = &clusters.input.options.cluster_domain;
            error(reason).wanting(DestinationName {
                host: service_host(name, namespace, domain),
                port: Some(target.port),
                subset: String::new(),
            })
        })
    }

    fn of_service(
        self,
        target: &ServiceTarget,
        clusters: &mut Clusters<'_>,
    ) -> Result<ClusterId, String> {
        let input = clusters.input;
        let registry = clusters.registry;
        let Name { namespace, name } = &target.service;
        let host = service_host(name, namespace, &input.options.cluster_domain);
        let found = registry.find(&host).and_then(|position| {
            let mut ports = registry.services[position].ports.iter();
            Some((position, ports.find(|port| port.number == target.port)?))
        });
        let (position, port) =
            found.ok_or_else(|| format!("Service {} is not there", target.service))?;
        // Grants and policies were judged for the Service, so nobody else's endpoints may stand in for it.
        let known = &registry.services[position];
        if known.kubernetes_name.is_none() {
            return Err(format!(
                "Service {} can't be reached: namespace {} has a ServiceEntry for its host name, and the Service is \
                 not exported here",
                target.service, known.namespace
            ));
        }
        let tls = self.tls(target, input)?;
        let needs_http2 = self.is_grpc && port.protocol.upstream() != UpstreamProtocol::Http2;
        let reason = |unresolved| match unresolved {
            Unresolved::Unsafe(why) => why,
            Unresolved::NoSubset => "the whole service is a subset that is missing".to_owned(),
        };
        if tls.is_none() && !needs_http2 {
            return clusters.cluster(position, port, "").map_err(reason);
        }
        let mut variant = String::new();
        if needs_http2 {
            variant.push_str("|grpc");
        }
        if let Some((name, _)) = &tls {
            variant.push_str(name);
        }
        let change = |cluster: &mut crate::model::Cluster| {
            if needs_http2 {
                cluster.protocol = UpstreamProtocol::Http2;
            }
            if let Some((_, tls)) = tls {
                cluster.tls = Some(tls);
            }
        };
        clusters
            .variant(position, port, &variant, change)
            .map_err(reason)
    }

    /// TLS by a BackendTLSPolicy, with what tells the cluster from others of the same port; `Err` where it can't be
    /// had as it says.
    fn tls(
        self,
        target: &ServiceTarget,
        input: Input<'_>,
    ) -> Result<Option<(String, crate::model::TlsOrigination)>, String> {
        let service = self.linked.world.services.get(&target.service);
        let port = service.and_then(|service| {
            let mut ports = service.ports.iter();
            ports.find(|port| port.number == target.port)
        });
        let policies = &self.linked.attached.backend_tls;
        let of = |section: Option<String>| policies.get(&(target.service.clone(), section));
        let policy = port
            .and_then(|port| of(Some(port.name.clone())))
            .or_else(|| of(None));
        let Some(policy) = policy else {
            return Ok(None);
        };
        let policy = policy.as_ref().map_err(|why| {
            format!(
                "the BackendTLSPolicy of Service {} can't be done: {why}",
                target.service
            )
        })?;
        let mut name = format!("|tls={}", policy.policy);
        let mut certificate = None;
        if let Some((secret, gateway)) = self.client_certificate {
            name.push_str(&format!("|gateway={gateway}"));
            certificate = tls::certificate(secret, input);
        }
        Ok(Some((name, tls::origination(policy, certificate, input))))
    }
}
