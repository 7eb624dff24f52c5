//! How a cluster is balanced: a `BalancingPolicy` over a `DestinationRule` over the defaults.

use std::time::Duration;

use alba::LocalityPolicy;

use super::registry::Service;
use super::{Input, localities};
use crate::affinity::{HashKey, UserLocality};
use crate::decode::Finding;
use crate::documents::balancing_policy::BalancingPolicy;
use crate::documents::locality_setting::LocalitySetting;
use crate::documents::mesh_config::MeshConfig;
use crate::documents::traffic_policy::PortPolicy;
use crate::model::Admission;

/// What a cluster knows of its balancing.
pub(super) struct Balancing<'r> {
    pub(super) settings: alba::Settings,
    pub(super) hash: Vec<HashKey>,
    pub(super) user_locality: Option<UserLocality>,
    pub(super) probe_path: Option<String>,
    pub(super) admission: Option<Admission>,
    /// Where endpoints have levels by their labels.
    pub(super) priorities: Option<&'r LocalitySetting>,
}

/// What holds for a service, where `rule` is what its `DestinationRule`s say.
pub(super) fn resolve<'r>(
    rule: &'r PortPolicy,
    service: &Service,
    input: Input<'r>,
) -> Balancing<'r> {
    let mut settings = alba::Settings::default();
    let balancer = rule.load_balancer.as_ref();
    let named = balancer.and_then(|balancer| balancer.policy.clone());
    let mut hash = balancer.map_or_else(Vec::new, |balancer| balancer.hash.clone());
    settings.slow_start = balancer.and_then(|balancer| balancer.slow_start.clone());
    if let Some(detection) = &rule.outlier_detection {
        settings.outlier_detection = Some(detection.clone());
    }
    let Some(position) = service.balancing_policy else {
        settings.policy = named.unwrap_or(settings.policy);
        return Balancing {
            hash,
            user_locality: None,
            probe_path: None,
            admission: None,
            priorities: places(rule, None, &input.documents.mesh_config, &mut settings),
            settings,
        };
    };
    let document = &input.documents.balancing_policies[position];
    let policy = &document.spec;
    let context = document.context(input.files, input.report);
    settings.policy = match (&policy.algorithm, named) {
        (Some(algorithm), named) => {
            if named.is_some_and(|named| named != algorithm.value) {
                let message = format!(
                    "this algorithm is used, though a DestinationRule for {} names another",
                    service.host
                );
                let help = "remove `loadBalancer` there, or `algorithm` here";
                context.report(algorithm.place, Finding::warning(message).help(help));
            }
            algorithm.value.clone()
        }
        (None, Some(named)) => {
            if let Some(place) = policy.learned.place
                && !matches!(named, alba::Policy::Alba(_))
            {
                let message = format!(
                    "has no effect, as a DestinationRule for {} names another algorithm",
                    service.host
                );
                let help = "write `algorithm: Alba` to use this one";
                context.report(place, Finding::warning(message).help(help));
            }
            named
        }
        (None, None) if policy.learned.place.is_some() => {
            alba::Policy::Alba(policy.learned.parameters.clone())
        }
        (None, None) => settings.policy,
    };
    if let Some(keys) = &policy.hash {
        hash = keys.value.clone();
    }
    let hashes = matches!(
        settings.policy,
        alba::Policy::RingHash { .. } | alba::Policy::Maglev { .. }
    );
    if let Some(algorithm) = &policy.algorithm
        && hashes
        && hash.is_empty()
    {
        let finding = Finding::warning("there is nothing to hash, so requests go anywhere");
        context.report(algorithm.place, finding.help("set `hash`"));
    }
    if let Some(keys) = &policy.hash
        && policy.algorithm.is_none()
        && !hashes
    {
        let finding = Finding::warning("has no effect, as the algorithm does not hash");
        let help = "write `algorithm: RingHash` or `Maglev`";
        context.report(keys.place, finding.help(help));
    }
    if let Some(slow_start) = &policy.slow_start {
        if hashes {
            let message =
                "has no effect with RingHash and Maglev, which would move hashes all the time";
            context.report(slow_start.place, Finding::warning(message));
        }
        settings.slow_start = Some(slow_start.value.clone());
    }
    if let Some(detection) = &policy.outlier_detection {
        settings.outlier_detection = Some(detection.clone());
    }
    let priorities = places(
        rule,
        Some(policy),
        &input.documents.mesh_config,
        &mut settings,
    );
    if let Some(place) = policy.learned.prices_place
        && settings.locality != LocalityPolicy::Prices
    {
        let message = format!(
            "prices have no effect, as `localityLbSetting` of a DestinationRule for {} says where requests go",
            service.host
        );
        context.report(place, Finding::warning(message).help("keep one of the two"));
    }
    // Which part it is depends on the dispatcher, which puts its own key here.
    settings.subset = policy.subset_size.map(|size| alba::Subset { size, key: 0 });
    Balancing {
        settings,
        hash,
        user_locality: policy.user_locality.clone(),
        probe_path: policy.learned.probe_path.clone(),
        admission: policy.admission.clone(),
        priorities,
    }
}

/// What it matters where endpoints run. Outlier detection switches failover on, as in Istio, unless a setting or
/// prices are written. Returns the setting that endpoints have their levels by, if they have any.
fn places<'r>(
    rule: &'r PortPolicy,
    policy: Option<&BalancingPolicy>,
    config: &'r MeshConfig,
    settings: &mut alba::Settings,
) -> Option<&'r LocalitySetting> {
    let has_prices = policy.is_some_and(|policy| policy.learned.prices_place.is_some());
    let balancer = rule.load_balancer.as_ref();
    let own = balancer.and_then(|balancer| balancer.locality.as_ref());
    let Some(setting) = own.or(config.locality.as_ref().filter(|_| !has_prices)) else {
        if rule.outlier_detection.is_some() && !has_prices {
            settings.locality = LocalityPolicy::Failover(Vec::new());
        }
        return None;
    };
    settings.locality = localities::policy(setting, settings.outlier_detection.is_some());
    if !setting.enabled
        && !has_prices
        && let alba::Policy::Alba(learned) = &mut settings.policy
    {
        // It asks for endpoints of every place alike.
        learned.zone_price = Duration::ZERO;
        learned.region_price = Duration::ZERO;
    }
    let by_labels = !setting.priority.is_empty()
        && matches!(
            settings.locality,
            LocalityPolicy::Priorities | LocalityPolicy::Failover(_)
        );
    by_labels.then_some(setting)
}
