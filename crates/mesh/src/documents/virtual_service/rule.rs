//! `http[]`.

use std::sync::Arc;
use std::time::Duration;

use super::headers::{self, Headers};
use super::mirror::{self, Mirrors};
use super::response::RedirectTo;
use super::{Destination, MatchEntry};
use super::{condition, cors, fault, forwarding, response};
use crate::decode::{
    Context, Fields, Finding, Located, duration, list_of, located, non_empty, owned,
};
use crate::model::{Cors, Fault, RetryPolicy};
use crate::route::Rewrite;
use crate::yaml::{Node, Place};

/// One rule. What is `None` was not written: a delegate takes it from its root.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
    /// Empty matches everything.
    pub(crate) matches: Vec<MatchEntry>,
    pub(crate) action: RuleAction,
    pub(crate) headers: Option<Headers>,
    /// 0 is no limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<RetryPolicy>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) fault: Option<Fault>,
    pub(crate) mirrors: Mirrors,
    pub(crate) cors: Option<Arc<Cors>>,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum RuleAction {
    Forward(Vec<Destination>),
    Redirect(RedirectTo),
    DirectResponse(u16, Arc<[u8]>),
    /// What another VirtualService's rules say.
    Delegate(DelegateTo),
}

/// `delegate`.
#[derive(Debug)]
pub(crate) struct DelegateTo {
    pub(crate) name: Located<String>,
    /// `None` is the VirtualService's own.
    pub(crate) namespace: Option<String>,
}

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
    let delegate = fields.optional("delegate", delegate);
    let headers = fields.optional("headers", headers::decode);
    let timeout = fields.optional("timeout", duration);
    let retries = fields.optional("retries", forwarding::retries);
    let rewrite = fields.optional("rewrite", forwarding::rewrite);
    let fault = fields.optional("fault", fault::decode);
    let mirrors = mirror::decode(&mut fields);
    let cors = fields.optional("corsPolicy", cors::decode);
    check_authority(headers.as_ref(), rewrite.as_ref(), &fields);
    check_conflicts(&fields);
    if let Some(destinations) = &destinations {
        check_weights(destinations, weights_are_read, &fields);
    }
    fields.finish();

    // A match entry with an error must not turn its rule into one for everything.
    if matches.len() < match_count {
        return None;
    }
    let action = match (delegate, redirect, direct_response, destinations) {
        (Some(delegate), ..) => RuleAction::Delegate(delegate),
        (_, Some(redirect), ..) => RuleAction::Redirect(redirect),
        (_, _, Some((status, body)), _) => RuleAction::DirectResponse(status, body),
        (.., Some(destinations)) => RuleAction::Forward(destinations),
        (None, None, None, None) => return None,
    };
    Some(Rule {
        place: node.place,
        name,
        matches,
        action,
        headers,
        timeout,
        retries,
        rewrite,
        fault,
        mirrors,
        cors,
    })
}

fn delegate<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<DelegateTo> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("name", located(non_empty));
    let namespace = fields
        .optional("namespace", owned)
        .filter(|namespace| !namespace.is_empty());
    fields.finish();
    Some(DelegateTo {
        name: name?,
        namespace,
    })
}

/// `rewrite.authority` and the header operations can't both set the authority.
fn check_authority(headers: Option<&Headers>, rewrite: Option<&Rewrite>, fields: &Fields<'_>) {
    let by_headers = headers.and_then(|headers| headers.authority.as_ref());
    let by_rewrite = rewrite.and_then(|rewrite| rewrite.authority.as_ref());
    if let (Some(authority), Some(first)) = (by_headers, by_rewrite) {
        let message = format!(
            "sets the authority to `{authority}`, but `rewrite.authority` sets it to `{first}`"
        );
        fields.error_at("headers", message);
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
        fields
            .error("does nothing: `route`, `redirect`, `directResponse` or `delegate` is required");
    }
}

/// A sum of 0 says nothing where a weight could not be read: the mistake is reported already.
pub(super) fn check_weights(destinations: &[Destination], are_read: bool, fields: &Fields<'_>) {
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
