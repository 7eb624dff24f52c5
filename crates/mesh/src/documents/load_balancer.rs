//! `loadBalancer` of a `DestinationRule`: the algorithm, what it hashes, and warm-up.

use std::time::Duration;

use super::consistent_hash;
use super::locality_setting::{self, LocalitySetting};
use crate::affinity::HashKey;
use crate::decode::{Context, Fields, Finding, decimal, duration, one_of, positive_duration};
use crate::yaml::Node;

/// The algorithm, where one that is served was named, and what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct LoadBalancer {
    /// `None` leaves the choice to a `BalancingPolicy`, and without one to the learned algorithm.
    pub(crate) policy: Option<alba::Policy>,
    pub(crate) hash: Vec<HashKey>,
    pub(crate) slow_start: Option<alba::SlowStart>,
    pub(crate) locality: Option<LocalitySetting>,
}

#[derive(Clone, Copy)]
enum Simple {
    Unspecified,
    RoundRobin,
    LeastRequest,
    Random,
    Passthrough,
}

const SIMPLE: &[(&str, Simple)] = &[
    ("UNSPECIFIED", Simple::Unspecified),
    ("ROUND_ROBIN", Simple::RoundRobin),
    ("LEAST_REQUEST", Simple::LeastRequest),
    ("LEAST_CONN", Simple::LeastRequest),
    ("RANDOM", Simple::Random),
    ("PASSTHROUGH", Simple::Passthrough),
];

/// `loadBalancer`.
pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<LoadBalancer> {
    let mut fields = Fields::of(node, context)?;
    let simple = fields.optional("simple", one_of(SIMPLE));
    let consistent_hash = fields.optional("consistentHash", consistent_hash::decode);
    if simple.is_some() && fields.is_written("consistentHash") {
        fields.error_at(
            "simple",
            "only one of `simple` and `consistentHash` can be set",
        );
    }
    if let Some(Simple::Passthrough) = simple {
        let message = "PASSTHROUGH is not served yet: requests are balanced over the endpoints";
        fields.report_at("simple", Finding::warning(message));
    }
    let warmup = fields.optional("warmup", slow_start);
    let deprecated = fields.optional("warmupDurationSecs", duration);
    if deprecated.is_some() && fields.is_written("warmup") {
        let message = "has no effect beside `warmup`, which takes its place";
        fields.report_at("warmupDurationSecs", Finding::warning(message));
    }
    let deprecated = deprecated.filter(|duration| !duration.is_zero());
    let slow_start = warmup.or_else(|| deprecated.map(linear));
    let is_written = |name: &&&str| fields.is_written(name);
    if let Some(name) = ["warmup", "warmupDurationSecs"].iter().find(is_written)
        && consistent_hash.is_some()
    {
        let message = "has no effect beside `consistentHash`: it would move hashes all the time";
        fields.report_at(name, Finding::warning(message));
    }
    let locality = fields.optional("localityLbSetting", locality_setting::decode);
    fields.finish();
    let (policy, hash) = match (simple, consistent_hash) {
        (_, Some((policy, hash))) => (Some(policy), hash),
        (Some(simple), None) => (simple.policy(), Vec::new()),
        (None, None) => (None, Vec::new()),
    };
    Some(LoadBalancer {
        policy,
        hash,
        slow_start,
        locality,
    })
}

impl Simple {
    fn policy(self) -> Option<alba::Policy> {
        match self {
            Self::Unspecified | Self::Passthrough => None,
            Self::RoundRobin => Some(alba::Policy::RoundRobin),
            // Envoy's default number of choices.
            Self::LeastRequest => Some(alba::Policy::LeastRequest { choices: 2 }),
            Self::Random => Some(alba::Policy::Random),
        }
    }
}

/// `warmup`, which a `BalancingPolicy` has as `slowStart`.
pub(super) fn slow_start<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<alba::SlowStart> {
    let mut fields = Fields::of(node, context)?;
    let duration = fields.required("duration", positive_duration);
    let minimum_percent = fields.optional("minimumPercent", decimal(0.0..=100.0));
    let aggression = fields.optional("aggression", decimal(1.0..=f64::MAX));
    fields.finish();
    let linear = linear(duration?);
    Some(alba::SlowStart {
        minimum_percent: minimum_percent.unwrap_or(linear.minimum_percent),
        aggression: aggression.unwrap_or(linear.aggression),
        ..linear
    })
}

/// Istio's defaults: a tenth of the weight at once, so that a new endpoint is tried at all, and linear from there.
fn linear(duration: Duration) -> alba::SlowStart {
    alba::SlowStart {
        duration,
        aggression: 1.0,
        minimum_percent: 10.0,
    }
}
