//! `http[]`.

use std::sync::Arc;
use std::time::Duration;

use super::headers::{self, Headers};
use super::response::RedirectTo;
use super::{Destination, MatchEntry};
use super::{condition, forwarding, response};
use crate::decode::{Context, Fields, Finding, NotServed, list_of, owned};
use crate::model::{HeaderEdits, RetryPolicy};
use crate::route::Rewrite;
use crate::yaml::{Node, Place};

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
    /// Empty matches everything.
    pub(crate) matches: Vec<MatchEntry>,
    pub(crate) action: RuleAction,
    pub(crate) headers: HeaderEdits,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: RetryPolicy,
    pub(crate) rewrite: Option<Rewrite>,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum RuleAction {
    Forward(Vec<Destination>),
    Redirect(RedirectTo),
    DirectResponse(u16, Arc<[u8]>),
    /// Nothing that is served: the rule is left out.
    Delegate,
}

/// Fields of a rule that Istio has and that are not honoured yet.
const NOT_SERVED: &[NotServed] = &[
    ("fault", "requests are neither delayed nor aborted"),
    ("mirror", "requests are not mirrored"),
    ("mirrors", "requests are not mirrored"),
    ("mirrorPercent", "requests are not mirrored"),
    ("mirror_percent", "requests are not mirrored"),
    ("mirrorPercentage", "requests are not mirrored"),
    (
        "corsPolicy",
        "cross-origin requests are passed on as they are",
    ),
    ("delegate", "the rule is left out"),
];

pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Rule> {
    let mut fields = Fields::of(node, context)?;
    let name = fields
        .optional("name", owned)
        .filter(|name| !name.is_empty());
    let match_count = fields.node("match").map_or(0, Node::len);
    let matches = fields.list("match", condition::decode);
    let errors_before = context.report.error_count();
    let destinations = fields.optional("route", list_of(forwarding::destination));
    let weights_are_read = context.report.error_count() == errors_before;
    let redirect = fields.optional("redirect", response::redirect);
    let direct_response = fields.optional("directResponse", response::direct_response);
    let Headers {
        edits: headers,
        authority,
    } = fields
        .optional("headers", headers::decode)
        .unwrap_or_default();
    let timeout = fields.optional("timeout", forwarding::timeout);
    let retries = fields.optional("retries", forwarding::retries);
    let mut rewrite = fields.optional("rewrite", forwarding::rewrite);
    if let Some(authority) = authority {
        set_authority(&mut rewrite, authority, &fields);
    }
    fields.not_served(NOT_SERVED);
    let is_delegate = fields.is_written("delegate");
    check_conflicts(&fields);
    if let Some(destinations) = &destinations {
        check_weights(destinations, weights_are_read, &fields);
    }
    fields.finish();

    // A match entry with an error must not turn its rule into one for everything.
    if matches.len() < match_count {
        return None;
    }
    let action = match (destinations, redirect, direct_response) {
        _ if is_delegate => RuleAction::Delegate,
        (_, Some(redirect), _) => RuleAction::Redirect(redirect),
        (_, _, Some((status, body))) => RuleAction::DirectResponse(status, body),
        (Some(destinations), ..) => RuleAction::Forward(destinations),
        (None, None, None) => return None,
    };
    let retries = retries.unwrap_or_else(forwarding::default_retries);
    Some(Rule {
        place: node.place,
        name,
        matches,
        action,
        headers,
        timeout,
        retries,
        rewrite,
    })
}

/// `rewrite.authority` and the header operations can't both set the authority.
fn set_authority(rewrite: &mut Option<Rewrite>, authority: String, fields: &Fields<'_>) {
    let rewrite = rewrite.get_or_insert(Rewrite {
        path: None,
        authority: None,
    });
    match &rewrite.authority {
        Some(first) => {
            let message = format!(
                "sets the authority to `{authority}`, but `rewrite.authority` sets it to `{first}`"
            );
            fields.error_at("headers", message);
        }
        None => rewrite.authority = Some(authority),
    }
}

fn check_conflicts(fields: &Fields<'_>) {
    let conflicts = [
        ("redirect", "route"),
        ("redirect", "fault"),
        ("redirect", "rewrite"),
        ("redirect", "directResponse"),
        ("directResponse", "route"),
        ("directResponse", "fault"),
        ("directResponse", "rewrite"),
        ("delegate", "route"),
        ("delegate", "redirect"),
        ("delegate", "directResponse"),
    ];
    for (one, other) in conflicts {
        if fields.is_written(one) && fields.is_written(other) {
            fields.error_at(other, format!("can't be set beside `{one}`"));
        }
    }
    if !["route", "redirect", "directResponse", "delegate"]
        .iter()
        .any(|name| fields.is_written(name))
    {
        fields.error("does nothing: `route`, `redirect` or `directResponse` is required");
    }
}

/// A sum of 0 says nothing where a weight could not be read: the mistake is reported already.
fn check_weights(destinations: &[Destination], are_read: bool, fields: &Fields<'_>) {
    let total: u64 = destinations
        .iter()
        .map(|destination| u64::from(destination.weight))
        .sum();
    if destinations.len() > 1 && total == 0 && are_read {
        fields.report_at(
            "route",
            Finding::error("the weights of the destinations add up to 0").help("set `weight`"),
        );
    }
    if total > u64::from(u32::MAX) {
        fields.error_at(
            "route",
            format!("the weights add up to {total}, the limit is {}", u32::MAX),
        );
    }
    if destinations.is_empty() {
        fields.error_at("route", "must not be empty");
    }
}
