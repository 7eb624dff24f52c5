//! `.status` of the objects, in the shape that Kubernetes has it in, but for `lastTransitionTime`: there is no clock
//! here, so whoever writes a status to a cluster adds the time.

use serde::Serialize;

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `gateway.networking.k8s.io/v1`.
    pub api_version: String,
    /// `HTTPRoute`.
    pub kind: String,
    /// `None` for what belongs to no namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// What goes into `.status`.
    pub status: StatusOf,
}

/// `.status` by kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum StatusOf {
    /// `GatewayClass`.
    GatewayClass {
        /// `Accepted`.
        conditions: Vec<Condition>,
        /// By name, in order.
        supported_features: Vec<Feature>,
    },
    /// `Gateway`.
    Gateway {
        /// Where it listens, as far as it says so.
        addresses: Vec<Address>,
        /// `Accepted`, `Programmed`, `ResolvedRefs`, and others where they hold.
        conditions: Vec<Condition>,
        /// Its own listeners.
        listeners: Vec<ListenerStatus>,
        /// How many ListenerSets are attached with at least one listener.
        attached_listener_sets: usize,
    },
    /// `ListenerSet`.
    ListenerSet {
        /// `Accepted`, `Programmed`.
        conditions: Vec<Condition>,
        /// Its listeners.
        listeners: Vec<ListenerStatus>,
    },
    /// `HTTPRoute`, `GRPCRoute`, `TLSRoute`, `TCPRoute`.
    Route {
        /// One for each parent that is ours.
        parents: Vec<RouteParentStatus>,
    },
    /// `BackendTLSPolicy`.
    Policy {
        /// One for each Gateway whose routes lead to a target.
        ancestors: Vec<AncestorStatus>,
    },
}

/// A name in `supportedFeatures`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feature {
    /// `HTTPRouteMethodMatching`.
    pub name: &'static str,
}

/// An address of a Gateway.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Address {
    /// `IPAddress`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub value: String,
}

/// Kubernetes' `metav1.Condition`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// `metadata.generation` of what was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word.
    pub reason: &'static str,
    /// For people; may be empty.
    pub message: String,
}

impl Condition {
    pub(crate) fn new(
        kind: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
        generation: Option<i64>,
    ) -> Self {
        Self {
            kind,
            status: if holds { "True" } else { "False" },
            observed_generation: generation,
            reason,
            message: message.into(),
        }
    }
}

/// A listener of a Gateway or ListenerSet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Which kinds of routes may attach.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// How many routes are attached, whatever becomes of their references.
    pub attached_routes: usize,
    /// `Accepted`, `Programmed`, `ResolvedRefs`, `Conflicted`.
    pub conditions: Vec<Condition>,
}

/// A kind of route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteGroupKind {
    /// `gateway.networking.k8s.io`.
    pub group: &'static str,
    /// `HTTPRoute`.
    pub kind: &'static str,
}

/// A parent as a route names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Empty for a Service.
    pub group: String,
    /// `Gateway`, `ListenerSet` or `Service`.
    pub kind: String,
    /// The parent's.
    pub namespace: String,
    /// The parent's.
    pub name: String,
    /// As written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// As written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What became of a route at one parent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The parent.
    pub parent_ref: ParentReference,
    /// Who says so.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`, `PartiallyInvalid`.
    pub conditions: Vec<Condition>,
}

/// What became of a policy for one Gateway.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The Gateway.
    pub ancestor_ref: ParentReference,
    /// Who says so.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}
