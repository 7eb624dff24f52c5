//! How a cluster is balanced: a `BalancingPolicy` over a `DestinationRule` over the defaults.

use super::Input;
use super::registry::Service;
use crate::affinity::{HashKey, UserLocality};
use crate::decode::Finding;
use crate::documents::traffic_policy::PortPolicy;
use crate::model::Admission;

/// What a cluster knows of its balancing.
pub(super) struct Balancing {
    pub(super) settings: alba::Settings,
    pub(super) hash: Vec<HashKey>,
    pub(super) user_locality: Option<UserLocality>,
    pub(super) probe_path: Option<String>,
    pub(super) admission: Option<Admission>,
}

/// What holds for a service, where `rule` is what its `DestinationRule`s say.
pub(super) fn resolve(rule: &PortPolicy, service: &Service, input: Input<'_>) -> Balancing {
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
            settings,
            hash,
            user_locality: None,
            probe_path: None,
            admission: None,
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
    // Which part it is depends on the dispatcher, which puts its own key here.
    settings.subset = policy.subset_size.map(|size| alba::Subset { size, key: 0 });
    Balancing {
        settings,
        hash,
        user_locality: policy.user_locality.clone(),
        probe_path: policy.learned.probe_path.clone(),
        admission: policy.admission.clone(),
    }
}
