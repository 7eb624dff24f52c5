//! Istio `DestinationRule`.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{check_label, check_pattern, export_to, host};
use super::traffic_policy::{self, TrafficPolicy};
use crate::decode::{Context, Fields, Located, NotServed, located, non_empty, string_map};
use crate::yaml::Node;

/// How to talk to a host, and the subsets of its endpoints.
#[derive(Debug)]
pub(crate) struct DestinationRule {
    pub(crate) host: Located<String>,
    pub(crate) policy: Option<TrafficPolicy>,
    pub(crate) subsets: Vec<Subset>,
}

#[derive(Debug)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) policy: TrafficPolicy,
}

const NOT_SERVED: &[NotServed] = &[(
    "workloadSelector",
    "the rule holds for requests from everywhere",
)];

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
        export_to(&mut fields);
        fields.not_served(NOT_SERVED);
        fields.finish();
        Some(DestinationRule {
            host: host?,
            policy,
            subsets,
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
