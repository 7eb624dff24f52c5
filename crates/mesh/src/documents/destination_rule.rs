//! Istio `DestinationRule`.

use std::collections::{BTreeMap, BTreeSet};

use super::export_to::{self, ExportTo};
use super::names::{check_label, check_pattern, host};
use super::traffic_policy::{self, TrafficPolicy};
use super::workload::match_labels;
use crate::decode::{Context, Fields, Located, located, non_empty, string_map};
use crate::yaml::Node;

/// How to talk to a host, and the subsets of its endpoints.
#[derive(Debug)]
pub(crate) struct DestinationRule {
    pub(crate) host: Located<String>,
    pub(crate) policy: Option<TrafficPolicy>,
    pub(crate) subsets: Vec<Subset>,
    pub(crate) export_to: ExportTo,
    /// Labels of the clients that it is for; `None` is all.
    pub(crate) selector: Option<BTreeMap<String, String>>,
}

#[derive(Debug)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) policy: TrafficPolicy,
}

/// `kind: DestinationRule`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<DestinationRule> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let host = fields.required("host", located(host));
        if let Some(host) = &host
            && let Err(why) = check_pattern(host)
        {
            context.error(host.place, why);
        }
        let policy = fields.optional("trafficPolicy", traffic_policy::decode);
        let subsets = fields.list("subsets", subset);
        let mut names = BTreeSet::new();
        for subset in &subsets {
            if !names.insert(&subset.name) {
                fields.error_at(
                    "subsets",
                    format!("subset `{}` is there twice", subset.name),
                );
            }
        }
        let export_to = export_to::decode(&mut fields, false);
        let selector = fields.optional("workloadSelector", match_labels());
        fields.finish();
        Some(DestinationRule {
            host: host?,
            policy,
            subsets,
            export_to,
            selector,
        })
    })
}

fn subset<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Subset> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("name", non_empty);
    if let Some(name) = &name
        && let Err(why) = check_label(name)
    {
        fields.error_at("name", why);
    }
    let labels = fields.optional("labels", string_map).unwrap_or_default();
    let policy = fields
        .optional("trafficPolicy", traffic_policy::decode)
        .unwrap_or_default();
    fields.finish();
    Some(Subset {
        name: name?,
        labels,
        policy,
    })
}
