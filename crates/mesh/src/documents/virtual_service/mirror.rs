//! `http[].mirror` and `http[].mirrors`: where copies of requests go.

use super::fault::percentage;
use super::forwarding::{Target, target};
use crate::decode::{Context, Fields, integer};
use crate::model::Fraction;
use crate::yaml::Node;

/// What a rule says of mirrors. Parts are apart because a delegate takes each that it lacks from its root.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    /// `mirror`.
    pub(crate) one: Option<Target>,
    /// `mirrorPercentage`, else `mirrorPercent`; unset is all.
    pub(crate) share: Option<Fraction>,
    /// `mirrors`, each with its share.
    pub(crate) several: Vec<(Target, Fraction)>,
}

pub(super) fn decode(fields: &mut Fields<'_>) -> Mirrors {
    let one = fields.optional("mirror", target);
    let several = fields.list("mirrors", entry);
    let share = fields.optional("mirrorPercentage", percentage);
    let percent = |name, fields: &mut Fields<'_>| {
        let percent = fields.optional(name, integer(0..=100));
        percent.map(|percent: u8| Fraction::from_percent(f64::from(percent)))
    };
    // The second is the field's name in protobuf, which older documents have.
    let deprecated = percent("mirrorPercent", fields).or(percent("mirror_percent", fields));
    if fields.is_written("mirror") && fields.is_written("mirrors") {
        fields.error_at("mirrors", "can't be set beside `mirror`");
    }
    Mirrors {
        one,
        share: share.or(deprecated),
        several,
    }
}

fn entry<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<(Target, Fraction)> {
    let mut fields = Fields::of(node, context)?;
    let to = fields.required("destination", target);
    let share = fields.optional("percentage", percentage);
    fields.finish();
    Some((to?, share.unwrap_or(Fraction::ALL)))
}
