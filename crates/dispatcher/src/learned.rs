//! What balancers have learned, as it goes from one process to the next.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::clock;
use crate::snapshot::Snapshot;

/// Endpoints that are told of: some 40 MiB of JSON. Clusters beyond are learned again.
const MOST_ENDPOINTS: usize = 100_000;

/// What is known of every cluster's endpoints, by the cluster's name.
pub(crate) fn tell(snapshot: &Snapshot) -> Value {
    let (now, mut told) = (clock::now(), 0);
    let mut clusters = serde_json::Map::new();
    for cluster in &snapshot.clusters {
        let learned = cluster.learned(now);
        told += learned.endpoints.len();
        if told > MOST_ENDPOINTS {
            tracing::warn!(
                limit = MOST_ENDPOINTS,
                cluster = cluster.config.name,
                "too many endpoints: what is known of those from here on is not handed over"
            );
            break;
        }
        // All numbers are finite, so that nothing can fail.
        if let Ok(learned) = serde_json::to_value(learned) {
            clusters.insert(cluster.config.name.clone(), learned);
        }
    }
    Value::Object(clusters)
}

/// Takes what another process told, for a snapshot that has not served yet.
pub(crate) fn take(snapshot: &Snapshot, told: Value) {
    let mut told: BTreeMap<String, Value> = match serde_json::from_value(told) {
        Ok(told) => told,
        Err(error) => {
            return tracing::warn!(%error, "what was learned before can't be read; it is learned anew");
        }
    };
    for cluster in &snapshot.clusters {
        let name = &cluster.config.name;
        match told.remove(name).map(serde_json::from_value) {
            None => {}
            Some(Ok(learned)) => cluster.restore(&learned),
            Some(Err(error)) => {
                tracing::warn!(cluster = name, %error, "what was learned before can't be read; it is learned anew");
            }
        }
    }
}
