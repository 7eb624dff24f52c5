//! `http[].route`, `retries` and `rewrite`: where a request goes, how often, and as what.

use std::time::Duration;

use super::headers::{self, Headers};
use crate::decode::{Context, Fields, Finding, Located, boolean, count, integer, located};
use crate::decode::{non_empty, non_empty_url_text, positive_duration, string, url_text};
use crate::documents::names::{check_pattern, host};
use crate::model::{HeaderEdits, RetryOn, RetryPolicy};
use crate::route::{PathRewrite, RegexRewrite, Rewrite};
use crate::yaml::{Node, Place};

/// A service's port or subset, by names still to be resolved.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) host: Located<String>,
    pub(crate) subset: Option<Located<String>>,
    pub(crate) port: Option<u16>,
}

/// One entry of `route`.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) target: Target,
    pub(crate) weight: u32,
    pub(crate) headers: HeaderEdits,
    pub(crate) authority: Option<String>,
}

/// `destination`, `mirror`.
pub(super) fn target<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Target> {
    let mut fields = Fields::of(node, context)?;
    let host = fields.required("host", located(host));
    if let Some(host) = &host
        && let Err(why) = check_pattern(host)
    {
        context.error(host.place, why);
    }
    let subset = fields.optional("subset", located(non_empty));
    let port = fields.optional("port", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let number = fields.required("number", crate::decode::port);
        fields.finish();
        number
    });
    fields.finish();
    Some(Target {
        place: node.place,
        host: host?,
        subset,
        port,
    })
}

pub(super) fn destination<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Destination> {
    let mut fields = Fields::of(node, context)?;
    let target = fields.required("destination", target);
    let weight = fields.optional("weight", count).unwrap_or(0);
    let Headers { edits, authority } = fields
        .optional("headers", headers::decode)
        .unwrap_or_default();
    fields.finish();
    Some(Destination {
        target: target?,
        weight,
        headers: edits,
        authority,
    })
}

/// What Istio does where `retries` is absent. (503 is not in it: Istio took it out in 1.24, because the request
/// may have been acted on.)
pub(crate) fn default_retries() -> RetryPolicy {
    let on = RetryOn {
        connect_failure: true,
        refused_stream: true,
        grpc_unavailable: true,
        grpc_cancelled: true,
        ..RetryOn::default()
    };
    RetryPolicy {
        attempts: 2,
        per_try_timeout: None,
        on,
        statuses: Vec::new(),
        backoff: BACKOFF,
        prefer_other_localities: false,
        prefer_other_endpoints: true,
    }
}

/// Envoy's base interval.
const BACKOFF: Duration = Duration::from_millis(25);

pub(crate) fn retries<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<RetryPolicy> {
    let mut fields = Fields::of(node, context)?;
    let mut policy = default_retries();
    policy.attempts = fields
        .optional("attempts", integer(0..=i64::from(i32::MAX)))
        .unwrap_or(0);
    policy.per_try_timeout = fields.optional("perTryTimeout", positive_duration);
    if let Some(text) = fields
        .optional("retryOn", located(string))
        .filter(|text| !text.is_empty())
    {
        (policy.on, policy.statuses) = retry_on(&text, context);
    }
    policy.backoff = fields
        .optional("backoff", positive_duration)
        .unwrap_or(BACKOFF);
    policy.prefer_other_localities = fields
        .optional("retryRemoteLocalities", boolean)
        .unwrap_or(policy.prefer_other_localities);
    policy.prefer_other_endpoints = fields
        .optional("retryIgnorePreviousHosts", boolean)
        .unwrap_or(policy.prefer_other_endpoints);
    let has_settings = ["perTryTimeout", "retryOn", "retryRemoteLocalities"]
        .iter()
        .any(|name| fields.is_written(name));
    if policy.attempts == 0 && has_settings {
        let finding = Finding::error(
            "must be above 0: retries are configured, but 0 (or nothing) switches them off",
        );
        fields.report_at(
            "attempts",
            finding.help("set `attempts`, or remove the other fields"),
        );
    }
    fields.finish();
    Some(policy)
}

/// Conditions that Envoy has and that can't come up here, or not yet.
const CONDITIONS_NOT_SERVED: &[&str] = &[
    "envoy-ratelimited",
    "retriable-headers",
    "http3-post-connect-failure",
];

const CONDITIONS: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// `retryOn`: conditions and status codes, separated by commas.
fn retry_on(text: &Located<&str>, context: Context<'_>) -> (RetryOn, Vec<u16>) {
    let (mut on, mut statuses) = (RetryOn::default(), Vec::new());
    for part in text
        .value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part {
            "5xx" => on.any_5xx = true,
            "gateway-error" => on.gateway_error = true,
            "reset" => on.reset = true,
            "reset-before-request" => on.reset_before_request = true,
            "connect-failure" => on.connect_failure = true,
            "refused-stream" => on.refused_stream = true,
            "retriable-4xx" => on.retriable_4xx = true,
            // Says that the codes beside it count, which they do anyway.
            "retriable-status-codes" => {}
            "cancelled" => on.grpc_cancelled = true,
            "deadline-exceeded" => on.grpc_deadline_exceeded = true,
            "internal" => on.grpc_internal = true,
            "resource-exhausted" => on.grpc_resource_exhausted = true,
            "unavailable" => on.grpc_unavailable = true,
            part if CONDITIONS_NOT_SERVED.contains(&part) => {
                context.warning(
                    text.place,
                    format!("`{part}` is not served yet: it causes no retries"),
                );
            }
            part => match part.parse::<u16>() {
                Ok(status) if (100..600).contains(&status) => statuses.push(status),
                _ => {
                    let finding = Finding::error(format!(
                        "`{part}` is neither a retry condition nor a status code"
                    ));
                    let near = crate::decode::did_you_mean(part, CONDITIONS.iter().copied());
                    context.report(text.place, finding.maybe_help(near));
                }
            },
        }
    }
    (on, statuses)
}

pub(super) fn rewrite<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Rewrite> {
    let mut fields = Fields::of(node, context)?;
    let uri = fields.optional("uri", non_empty_url_text);
    let authority = fields.optional("authority", non_empty_url_text);
    let regex = fields.optional("uriRegexRewrite", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let pattern = fields.required("match", non_empty);
        let substitution = fields.optional("rewrite", url_text).unwrap_or_default();
        fields.finish();
        match RegexRewrite::new(&pattern?, &substitution) {
            Ok(rewrite) => Some(rewrite),
            Err(why) => {
                context.error(node.place, format!("is not a rewrite: {why}"));
                None
            }
        }
    });
    if fields.is_written("uri") && fields.is_written("uriRegexRewrite") {
        fields.error("only one of `uri` and `uriRegexRewrite` can be set");
    }
    if !["uri", "authority", "uriRegexRewrite"]
        .iter()
        .any(|name| fields.is_written(name))
    {
        fields.error("rewrites nothing: `uri`, `authority` or `uriRegexRewrite` is required");
    }
    fields.finish();
    Some(Rewrite {
        path: uri.map(PathRewrite::Uri).or(regex.map(PathRewrite::Regex)),
        authority,
    })
}
