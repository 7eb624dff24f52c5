//! Istio's kinds that are not served yet: read as Istio's schema has them, so that a mistake is found all the same.

mod authorization_policy;
mod envoy_filter;
mod peer_authentication;
mod proxy_config;
mod request_authentication;
mod selector;
mod telemetry;
mod wasm_plugin;
mod workload_group;

use crate::decode::Fields;

/// A kind that is not served yet.
pub(crate) struct Checked {
    group: &'static str,
    kind: &'static str,
    /// What that means for requests.
    pub(crate) consequence: &'static str,
    /// Finds what Istio would refuse.
    pub(crate) check: fn(&mut Fields<'_>) -> Option<()>,
}

impl Checked {
    /// The kind of that name, if it is one of these.
    pub(crate) fn of(group: &str, kind: &str) -> Option<&'static Self> {
        let mut kinds = KINDS.iter();
        kinds.find(|known| (known.group, known.kind) == (group, kind))
    }
}

const NO_EFFECT: &str = "the document has no effect";

const KINDS: &[Checked] = &[
    Checked {
        group: "networking.istio.io",
        kind: "EnvoyFilter",
        consequence: NO_EFFECT,
        check: envoy_filter::check,
    },
    Checked {
        group: "networking.istio.io",
        kind: "ProxyConfig",
        consequence: NO_EFFECT,
        check: proxy_config::check,
    },
    Checked {
        group: "networking.istio.io",
        kind: "WorkloadGroup",
        consequence: NO_EFFECT,
        check: workload_group::check,
    },
    Checked {
        group: "security.istio.io",
        kind: "AuthorizationPolicy",
        consequence: "requests that it denies are let through",
        check: authorization_policy::check,
    },
    Checked {
        group: "security.istio.io",
        kind: "PeerAuthentication",
        consequence: "what a listener takes is said by its Gateway alone",
        check: peer_authentication::check,
    },
    Checked {
        group: "security.istio.io",
        kind: "RequestAuthentication",
        consequence: "requests with bad tokens are let through",
        check: request_authentication::check,
    },
    Checked {
        group: "telemetry.istio.io",
        kind: "Telemetry",
        consequence: NO_EFFECT,
        check: telemetry::check,
    },
    Checked {
        group: "extensions.istio.io",
        kind: "WasmPlugin",
        consequence: NO_EFFECT,
        check: wasm_plugin::check,
    },
];
