//! Where requests are sent, before and after.

use std::collections::BTreeMap;

use mesh::{Cluster, Endpoint, Mesh};

use super::{Change, ClusterDifference, EndpointDifference, SettingChange, both, settings_changed};
use crate::describe;

/// Differences in order of the clusters' names.
pub(super) fn differences(before: &Mesh, after: &Mesh) -> Vec<ClusterDifference> {
    both(&by_name(before), &by_name(after))
        .into_iter()
        .filter_map(|(name, old, new)| difference(name, old.copied(), new.copied()))
        .collect()
}

fn by_name(mesh: &Mesh) -> BTreeMap<&str, &Cluster> {
    let clusters = mesh.clusters.iter();
    clusters
        .map(|cluster| (cluster.name.as_str(), cluster))
        .collect()
}

fn difference(
    name: &str,
    old: Option<&Cluster>,
    new: Option<&Cluster>,
) -> Option<ClusterDifference> {
    let (change, settings) = match (old, new) {
        (None, _) => (Change::Added, Vec::new()),
        (_, None) => (Change::Removed, Vec::new()),
        (Some(old), Some(new)) => (Change::Changed, settings(old, new)),
    };
    let endpoints = endpoints(old, new);
    if change == Change::Changed && settings.is_empty() && endpoints.is_empty() {
        return None;
    }
    Some(ClusterDifference {
        change,
        cluster: name.to_owned(),
        settings,
        endpoints,
    })
}

fn settings(old: &Cluster, new: &Cluster) -> Vec<SettingChange> {
    let mut changes = settings_changed(
        describe::cluster_settings(old),
        describe::cluster_settings(new),
    );
    if changes.is_empty() && old.tls != new.tls {
        changes.push(SettingChange::unspoken("certificates"));
    }
    changes
}

fn endpoints(old: Option<&Cluster>, new: Option<&Cluster>) -> Vec<EndpointDifference> {
    both(&by_address(old), &by_address(new))
        .into_iter()
        .filter_map(|(address, before, after)| {
            let change = match (before, after) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                (Some(before), Some(after)) if before == after => return None,
                _ => Change::Changed,
            };
            Some(EndpointDifference {
                change,
                address,
                before: before.cloned(),
                after: after.cloned(),
            })
        })
        .collect()
}

/// The same address may be there twice, with the weight of both.
fn by_address(cluster: Option<&Cluster>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for endpoint in cluster.iter().flat_map(|cluster| &cluster.endpoints) {
        let address = describe::endpoint_address(&endpoint.address);
        found.entry(address).or_default().push(words(endpoint));
    }
    let joined = |(address, mut all): (String, Vec<String>)| {
        all.sort();
        (address, all.join(" and "))
    };
    found.into_iter().map(joined).collect()
}

fn words(endpoint: &Endpoint) -> String {
    let alba::Locality {
        region,
        zone,
        sub_zone,
    } = &endpoint.locality;
    let place = [region, zone, sub_zone].map(String::as_str).join("/");
    match place.trim_end_matches('/') {
        "" => format!("weight {}", endpoint.weight),
        place => format!("weight {} in {place}", endpoint.weight),
    }
}
