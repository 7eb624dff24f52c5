//! `alba` and `locality`: the learned algorithm's parameters.

use std::path::PathBuf;
use std::time::Duration;

use super::object;
use crate::affinity::{UserLocality, locality};
use crate::decode::{
    Context, Fields, decimal, duration, integer, non_empty, one_of, positive_duration, string,
};
use crate::documents::consistent_hash::header_name;
use crate::yaml::{Node, Place};

/// What is set about the learned algorithm.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) parameters: alba::Alba,
    /// Where one of them is written, if any is.
    pub(crate) place: Option<Place>,
    /// Where the prices of crossings are written, if they are.
    pub(crate) prices_place: Option<Place>,
    /// Path of the GET that asks an endpoint for its load. Without one nobody is asked: unmodified servers would
    /// answer 404 to every probe.
    pub(crate) probe_path: Option<String>,
}

/// A price above a minute would never be paid, whatever the local endpoints do.
const MAX_PRICE: Duration = Duration::from_secs(60);

/// Reads `alba` and `locality`. The defaults are those of [`alba::Alba`], which gives the reasons.
pub(super) fn decode(fields: &mut Fields<'_>) -> (Learned, Option<UserLocality>) {
    let mut learned = Learned {
        parameters: alba::Alba::default(),
        place: None,
        prices_place: None,
        probe_path: None,
    };
    let parameters = &mut learned.parameters;
    if let Some(mut fields) = object(fields, "alba") {
        learned.place = Some(fields.place);
        set(
            &mut parameters.draws,
            fields.optional("draws", integer(1..=16)),
        );
        set(
            &mut parameters.fresh,
            fields.optional("freshness", freshness),
        );
        set(
            &mut parameters.toll,
            fields.optional("toll", decimal(0.0..=10.0)),
        );
        if let Some(mut fields) = object(&mut fields, "probes") {
            learned.probe_path = fields.required("path", path);
            let per_request = fields.optional("perRequest", decimal(0.0..=1.0));
            set(&mut parameters.probes_per_request, per_request);
            let per_second = fields.optional("perSecond", decimal(0.0..=1000.0));
            set(&mut parameters.probes_per_s, per_second);
            fields.finish();
        }
        for part in fields.list("without", one_of(PARTS)) {
            *part(&mut parameters.without) = true;
        }
        fields.finish();
    }
    let mut user_locality = None;
    if let Some(mut fields) = object(fields, "locality") {
        learned.place.get_or_insert(fields.place);
        learned.prices_place = Some(fields.place);
        set(
            &mut parameters.zone_price,
            fields.optional("zonePrice", price),
        );
        set(
            &mut parameters.region_price,
            fields.optional("regionPrice", price),
        );
        parameters.prices = fields.list("prices", crossing);
        user_locality = fields.optional("userLocality", user_place);
        fields.finish();
    }
    (learned, user_locality)
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// A part of the algorithm that can be left out.
type Part = fn(&mut alba::Parts) -> &mut bool;

const PARTS: &[(&str, Part)] = &[
    ("ring", |parts| &mut parts.ring),
    ("trust", |parts| &mut parts.trust),
    ("speed", |parts| &mut parts.speed),
    ("silence", |parts| &mut parts.silence),
    ("success", |parts| &mut parts.success),
    ("toll", |parts| &mut parts.toll),
    ("locality", |parts| &mut parts.locality),
    ("probes", |parts| &mut parts.probes),
    ("reports", |parts| &mut parts.reports),
    ("shared", |parts| &mut parts.shared),
];

/// Up to a minute: what is older tells nothing of a queue.
fn freshness<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Duration> {
    at_most(positive_duration(node, context)?, MAX_PRICE, node, context)
}

fn price<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Duration> {
    at_most(duration(node, context)?, MAX_PRICE, node, context)
}

/// A duration within a limit.
pub(super) fn at_most(
    value: Duration,
    limit: Duration,
    node: &Node<'_>,
    context: Context<'_>,
) -> Option<Duration> {
    if value > limit {
        context.error(
            node.place,
            format!("must be at most {limit:?}, but is {value:?}"),
        );
        return None;
    }
    Some(value)
}

fn path<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let path = non_empty(node, context)?;
    let is_plain = path
        .bytes()
        .all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'#');
    if !path.starts_with('/') || !is_plain {
        context.error(node.place, "must begin with `/` and have no spaces or `#`");
        return None;
    }
    Some(path)
}

/// An entry of `prices`.
fn crossing<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<alba::Price> {
    let mut fields = Fields::of(node, context)?;
    let place = |node: &'d Node<'d>, context: Context<'d>| string(node, context).map(locality);
    let from = fields.required("from", place);
    let to = fields.required("to", place);
    let price = fields.required("price", price);
    fields.finish();
    Some(alba::Price {
        from: from?,
        to: to?,
        price: price?,
    })
}

/// `userLocality`.
fn user_place<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<UserLocality> {
    let mut fields = Fields::of(node, context)?;
    let header = fields.optional("header", header_name);
    let database = fields.optional("maxmind", non_empty);
    let written = ["header", "maxmind"].map(|name| fields.is_written(name));
    if written[0] == written[1] {
        fields.error("must have exactly one of header, maxmind");
    }
    fields.finish();
    let file = |name: String| {
        // Like certificates, it is looked for beside the document.
        let folder = context.file.parent();
        folder.map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name))
    };
    let header = header.map(UserLocality::Header);
    header.or(database.map(|name| UserLocality::MaxMind(file(name))))
}
