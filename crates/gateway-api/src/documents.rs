//! The documents as typed values, one file per kind, each field named once.

pub(crate) mod backend_tls_policy;
pub(crate) mod gateway;
pub(crate) mod gateway_class;
pub(crate) mod listener_set;
pub(crate) mod names;
pub(crate) mod reference;
pub(crate) mod reference_grant;
pub(crate) mod route;

use manifests::Object;
use manifests::decode::Fields;

/// `gateway.networking.k8s.io`.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Where kinds are that may still change: `XListenerSet`.
pub const GROUP_EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";

/// A kind of the Gateway API that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(Of);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    GatewayClass,
    Gateway,
    ListenerSet { is_experimental: bool },
    HttpRoute,
    GrpcRoute,
    TlsRoute { needs_hostnames: bool },
    TcpRoute,
    ReferenceGrant,
    BackendTlsPolicy,
}

/// Kinds with the versions that they have had.
const KINDS: &[(&str, &str, &[&str], Of)] = &[
    (GROUP, "GatewayClass", &["v1", "v1beta1"], Of::GatewayClass),
    (GROUP, "Gateway", &["v1", "v1beta1"], Of::Gateway),
    (
        GROUP,
        "ListenerSet",
        &["v1"],
        Of::ListenerSet {
            is_experimental: false,
        },
    ),
    (
        GROUP_EXPERIMENTAL,
        "XListenerSet",
        &["v1alpha1"],
        Of::ListenerSet {
            is_experimental: true,
        },
    ),
    (GROUP, "HTTPRoute", &["v1", "v1beta1"], Of::HttpRoute),
    (GROUP, "GRPCRoute", &["v1", "v1alpha2"], Of::GrpcRoute),
    (
        GROUP,
        "TLSRoute",
        &["v1", "v1alpha3", "v1alpha2"],
        Of::TlsRoute {
            needs_hostnames: true,
        },
    ),
    (GROUP, "TCPRoute", &["v1", "v1alpha2"], Of::TcpRoute),
    (
        GROUP,
        "ReferenceGrant",
        &["v1", "v1beta1"],
        Of::ReferenceGrant,
    ),
    (
        GROUP,
        "BackendTLSPolicy",
        &["v1", "v1alpha3"],
        Of::BackendTlsPolicy,
    ),
];

/// What a document of one of the kinds says.
#[derive(Debug)]
pub struct Spec(Content);

#[derive(Debug)]
enum Content {
    GatewayClass(gateway_class::GatewayClass),
    Gateway(gateway::Gateway),
    ListenerSet(listener_set::ListenerSet),
    Route(route::Route),
    ReferenceGrant(reference_grant::ReferenceGrant),
    BackendTlsPolicy(backend_tls_policy::BackendTlsPolicy),
}

impl Kind {
    /// The kind of a document by its `apiVersion`, cut at the `/`, and `kind`; `None` for others.
    ///
    /// # Errors
    /// The kind is known, but not in this version: says which are.
    pub fn of(group: &str, version: &str, kind: &str) -> Option<Result<Self, String>> {
        let (_, _, versions, of) = KINDS
            .iter()
            .find(|(known, name, ..)| (*known, *name) == (group, kind))?;
        if !versions.contains(&version) {
            let known = versions.join(", ");
            return Some(Err(format!(
                "{kind} has version `{version}`; known versions are {known}"
            )));
        }
        Some(Ok(Self(match of {
            // Host names were optional before.
            Of::TlsRoute { .. } => Of::TlsRoute {
                needs_hostnames: version == "v1",
            },
            other => *other,
        })))
    }

    /// Reads what a document says besides its metadata. `None` where there were errors, which are reported.
    pub fn decode(self, fields: &mut Fields<'_>) -> Option<Spec> {
        let content = match self.0 {
            Of::GatewayClass => gateway_class::decode(fields).map(Content::GatewayClass),
            Of::Gateway => gateway::decode(fields).map(Content::Gateway),
            Of::ListenerSet { is_experimental } => {
                listener_set::decode(fields, is_experimental).map(Content::ListenerSet)
            }
            Of::HttpRoute => route::http::decode(fields).map(Content::Route),
            Of::GrpcRoute => route::grpc::decode(fields).map(Content::Route),
            Of::TlsRoute { needs_hostnames } => {
                route::decode_tls(fields, needs_hostnames).map(Content::Route)
            }
            Of::TcpRoute => route::decode_tcp(fields).map(Content::Route),
            Of::ReferenceGrant => reference_grant::decode(fields).map(Content::ReferenceGrant),
            Of::BackendTlsPolicy => {
                backend_tls_policy::decode(fields).map(Content::BackendTlsPolicy)
            }
        };
        content.map(Spec)
    }
}

/// Every document of the Gateway API.
#[derive(Debug, Default)]
pub struct Documents {
    pub(crate) classes: Vec<Object<gateway_class::GatewayClass>>,
    pub(crate) gateways: Vec<Object<gateway::Gateway>>,
    pub(crate) listener_sets: Vec<Object<listener_set::ListenerSet>>,
    pub(crate) routes: Vec<Object<route::Route>>,
    pub(crate) grants: Vec<Object<reference_grant::ReferenceGrant>>,
    pub(crate) tls_policies: Vec<Object<backend_tls_policy::BackendTlsPolicy>>,
}

impl Documents {
    /// Takes in a document.
    pub fn push(&mut self, object: Object<Spec>) {
        let Object { meta, spec } = object;
        match spec.0 {
            Content::GatewayClass(spec) => self.classes.push(Object { meta, spec }),
            Content::Gateway(spec) => self.gateways.push(Object { meta, spec }),
            Content::ListenerSet(spec) => self.listener_sets.push(Object { meta, spec }),
            Content::Route(spec) => self.routes.push(Object { meta, spec }),
            Content::ReferenceGrant(spec) => self.grants.push(Object { meta, spec }),
            Content::BackendTlsPolicy(spec) => self.tls_policies.push(Object { meta, spec }),
        }
    }

    /// Whether there is nothing that serves anything.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty()
            && self.routes.is_empty()
            && self.tls_policies.is_empty()
            && self.classes.is_empty()
            && self.listener_sets.is_empty()
    }

    /// Oldest first, and by namespace and name, so that nothing depends on where documents stand.
    pub fn sort(&mut self) {
        fn by_age<T>(objects: &mut [Object<T>]) {
            objects.sort_by(|a, b| a.meta.age().cmp(&b.meta.age()));
        }
        by_age(&mut self.classes);
        by_age(&mut self.gateways);
        by_age(&mut self.grants);
        by_age(&mut self.tls_policies);
        // Two kinds in one list may have an object of the same name each.
        let routes = &mut self.routes;
        routes.sort_by(|a, b| (a.meta.age(), a.spec.kind).cmp(&(b.meta.age(), b.spec.kind)));
        self.listener_sets.sort_by(|a, b| {
            let (of_a, of_b) = (a.spec.is_experimental, b.spec.is_experimental);
            (a.meta.age(), of_a).cmp(&(b.meta.age(), of_b))
        });
    }
}
