//! What it matters where endpoints run: `localityLbSetting` and what it means without one.

use std::collections::BTreeMap;

use alba::LocalityPolicy;

use super::endpoints::Candidate;
use crate::documents::locality_setting::{
    LocalitySetting, REGION_LABEL, SUBZONE_LABEL, ZONE_LABEL,
};
use crate::load::Options;

/// The policy of a setting. Levels need outlier detection, as in Istio: nothing else would ever move requests to the
/// next one.
pub(super) fn policy(setting: &LocalitySetting, has_outlier_detection: bool) -> LocalityPolicy {
    if !setting.enabled {
        return LocalityPolicy::Prices;
    }
    if !setting.distribute.is_empty() {
        return LocalityPolicy::Distribute(setting.distribute.clone());
    }
    if !has_outlier_detection {
        return LocalityPolicy::Prices;
    }
    if !setting.priority.is_empty() && setting.failover.is_empty() {
        return LocalityPolicy::Priorities;
    }
    LocalityPolicy::Failover(setting.failover.clone())
}

/// An endpoint's level by `failoverPriority`: 0 where it has all labels as the client has them, one more for each
/// label from the first that differs to the last.
pub(super) fn priority(
    setting: &LocalitySetting,
    endpoint: &Candidate,
    own: &BTreeMap<String, String>,
) -> u32 {
    let labels = &setting.priority;
    let differs = |(label, value): &(String, Option<String>)| {
        let wanted = value
            .as_deref()
            .or_else(|| own.get(label).map(String::as_str));
        wanted.unwrap_or_default() != endpoint_label(endpoint, label)
    };
    let first = labels.iter().position(differs).unwrap_or(labels.len());
    u32::try_from(labels.len() - first).unwrap_or(u32::MAX)
}

/// Its place and network are labels too.
fn endpoint_label<'e>(endpoint: &'e Candidate, label: &str) -> &'e str {
    let own = endpoint.labels.get(label).map(String::as_str);
    own.unwrap_or(match label {
        REGION_LABEL => &endpoint.locality.region,
        ZONE_LABEL => &endpoint.locality.zone,
        SUBZONE_LABEL => &endpoint.locality.sub_zone,
        "topology.istio.io/network" => &endpoint.network,
        _ => "",
    })
}

/// The labels of this dispatcher, with those that say where it is.
pub(super) fn own_labels(options: &Options) -> BTreeMap<String, String> {
    let mut labels = options.labels.clone().unwrap_or_default();
    let place = &options.locality;
    for (label, value) in [
        (REGION_LABEL, &place.region),
        (ZONE_LABEL, &place.zone),
        (SUBZONE_LABEL, &place.sub_zone),
    ] {
        if !value.is_empty() {
            let own = labels.entry(label.to_owned());
            own.or_insert_with(|| value.clone());
        }
    }
    labels
}
