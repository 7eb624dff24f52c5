//! `localityLbSetting`: what it matters where endpoints run.

use alba::{DistributeRule, FailoverRule};

use crate::affinity::locality;
use crate::decode::{
    Context, Fields, Finding, boolean, integer, located, map_of, non_empty, string,
};
use crate::yaml::Node;

/// The setting. `distribute` excludes the other two.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalitySetting {
    /// False only where it is written.
    pub(crate) enabled: bool,
    pub(crate) distribute: Vec<DistributeRule>,
    pub(crate) failover: Vec<FailoverRule>,
    /// Labels, with the value that stands in for the client's own where one is written.
    pub(crate) priority: Vec<(String, Option<String>)>,
}

/// Labels that say where something runs, which `failover` goes by too.
pub(crate) const REGION_LABEL: &str = "topology.kubernetes.io/region";
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
pub(crate) const SUBZONE_LABEL: &str = "topology.istio.io/subzone";

pub(crate) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<LocalitySetting> {
    let mut fields = Fields::of(node, context)?;
    let setting = LocalitySetting {
        enabled: fields.optional("enabled", boolean) != Some(false),
        distribute: fields.list("distribute", distribution),
        failover: fields.list("failover", failover),
        priority: fields.list("failoverPriority", priority_label),
    };
    for (name, is_set) in [
        ("failover", !setting.failover.is_empty()),
        ("failoverPriority", !setting.priority.is_empty()),
    ] {
        if is_set && !setting.distribute.is_empty() {
            fields.error_at(name, "can't be set beside `distribute`");
        }
    }
    let is_place = |(name, _): &(String, _)| {
        [REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL].contains(&name.as_str())
    };
    if !setting.failover.is_empty()
        && let Some((label, _)) = setting.priority.iter().find(|label| is_place(label))
    {
        let message = format!("`{label}` can't be set beside `failover`, which goes by it too");
        fields.error_at("failoverPriority", message);
    }
    check_overlaps(setting.distribute.iter().map(|rule| &rule.from), &fields);
    fields.finish();
    Some(setting)
}

fn priority_label<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<(String, Option<String>)> {
    let text = non_empty(node, context)?;
    Some(match text.split_once('=') {
        Some((label, value)) => (label.to_owned(), Some(value.to_owned())),
        None => (text, None),
    })
}

fn failover<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<FailoverRule> {
    let mut fields = Fields::of(node, context)?;
    let from = fields.required("from", region);
    let to = fields.required("to", region);
    fields.finish();
    let (from, to) = (from?, to?);
    if from == to {
        context.error(node.place, format!("fails over from `{from}` to itself"));
        return None;
    }
    Some(FailoverRule { from, to })
}

fn region<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = non_empty(node, context)?;
    if text.contains(['/', '*']) {
        let message = format!("must be a region without zone or wildcard, but is `{text}`");
        context.error(node.place, message);
        return None;
    }
    Some(text)
}

fn distribution<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<DistributeRule> {
    let mut fields = Fields::of(node, context)?;
    let from = fields.required("from", |node, context| {
        let text = located(string)(node, context)?;
        place(&text).map_or_else(
            |why| {
                context.error(node.place, why);
                None
            },
            Some,
        )
    });
    let to = fields.required("to", map_of(integer(1..=100)));
    let to = to.map(|pairs: Vec<(_, u32)>| {
        let total: u32 = pairs.iter().map(|(_, weight)| weight).sum();
        let written = fields.node("to").map_or(0, Node::len);
        if total != 100 && pairs.len() == written {
            fields.error_at(
                "to",
                format!("the weights add up to {total} instead of 100"),
            );
        }
        let to = pairs.iter().filter_map(|(text, weight)| match place(text) {
            Ok(place) => Some((place, *weight)),
            Err(why) => {
                fields.error_at("to", why);
                None
            }
        });
        to.collect::<Vec<_>>()
    });
    if let Some(to) = &to {
        check_overlaps(to.iter().map(|(place, _)| place), &fields);
    }
    fields.finish();
    Some(DistributeRule {
        from: from?,
        to: to?,
    })
}

/// `region/zone/sub-zone`, of which the last may be `*`.
fn place(text: &str) -> Result<alba::Locality, String> {
    let parts: Vec<_> = text.split('/').collect();
    let wildcards = text.matches('*').count();
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
        return Err(format!(
            "must be region/zone/sub-zone without empty parts, but is `{text}`"
        ));
    }
    if wildcards > 1 || wildcards == 1 && !text.ends_with('*') {
        return Err(format!(
            "`*` can only end a locality, but is within `{text}`"
        ));
    }
    Ok(locality(text))
}

/// Two places of which one is within the other would leave open which of them counts.
fn check_overlaps<'p>(places: impl Iterator<Item = &'p alba::Locality>, fields: &Fields<'_>) {
    let places: Vec<_> = places.collect();
    for (position, place) in places.iter().enumerate() {
        if let Some(other) = places[..position]
            .iter()
            .find(|other| overlap(other, place))
        {
            let text =
                |place: &alba::Locality| [&*place.region, &*place.zone, &*place.sub_zone].join("/");
            let message = format!(
                "`{}` and `{}` overlap; each endpoint has to belong to one",
                text(other),
                text(place)
            );
            fields.context.report(fields.place, Finding::error(message));
        }
    }
}

fn overlap(a: &alba::Locality, b: &alba::Locality) -> bool {
    let same = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
    same(&a.region, &b.region) && same(&a.zone, &b.zone) && same(&a.sub_zone, &b.sub_zone)
}
