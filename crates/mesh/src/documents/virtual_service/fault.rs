//! `http[].fault`: requests held up or failed on purpose.

use std::time::Duration;

use crate::decode::{Context, Fields, Finding, Located, decimal, integer, located};
use crate::decode::{positive_duration, string};
use crate::model::{Abort, Fault, Fraction};
use crate::yaml::Node;

pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Fault> {
    let mut fields = Fields::of(node, context)?;
    let fault = Fault {
        delay: fields.optional("delay", delay).flatten(),
        abort: fields.optional("abort", abort).flatten(),
    };
    fields.finish();
    Some(fault)
}

/// `percentage` and `mirrorPercentage`; without `value` it is 0, as in protobuf.
pub(super) fn percentage<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Fraction> {
    let mut fields = Fields::of(node, context)?;
    let value = fields.optional("value", decimal(0.0..=100.0));
    fields.finish();
    Some(Fraction::from_percent(value.unwrap_or(0.0)))
}

fn delay<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<(Fraction, Duration)>> {
    let mut fields = Fields::of(node, context)?;
    let share = fields.optional("percentage", percentage);
    let deprecated = fields.optional("percent", integer(0..=100));
    let deprecated = deprecated.map(|percent: u8| Fraction::from_percent(f64::from(percent)));
    let fixed = fields.optional("fixedDelay", positive_duration);
    if fields.is_written("exponentialDelay") {
        fields.error_at(
            "exponentialDelay",
            "Istio has not served it either; use `fixedDelay`",
        );
        fields.accept(&["exponentialDelay"]);
    } else if !fields.is_written("fixedDelay") {
        let finding = Finding::warning("delays nothing");
        context.report(node.place, finding.help("set `fixedDelay`"));
    }
    warn_of_no_share(&fields, share.or(deprecated), "delayed");
    fields.finish();
    let share = share.or(deprecated).unwrap_or(Fraction::NONE);
    Some(fixed.map(|delay| (share, delay)))
}

fn abort<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<(Fraction, Abort)>> {
    let mut fields = Fields::of(node, context)?;
    let share = fields.optional("percentage", percentage);
    let http = fields.optional("httpStatus", integer(200..=599));
    let grpc = fields.optional("grpcStatus", grpc_status);
    const KINDS: [&str; 3] = ["httpStatus", "grpcStatus", "http2Error"];
    let written = KINDS.iter().filter(|name| fields.is_written(name)).count();
    if fields.is_written("http2Error") {
        fields.error_at(
            "http2Error",
            "Istio has not served it either; use `httpStatus` or `grpcStatus`",
        );
        fields.accept(&["http2Error"]);
    } else if written > 1 {
        fields.error_at(
            "grpcStatus",
            "only one of `httpStatus` and `grpcStatus` can be set",
        );
    } else if written == 0 {
        let finding = Finding::warning("aborts nothing");
        context.report(node.place, finding.help("set `httpStatus` or `grpcStatus`"));
    }
    warn_of_no_share(&fields, share, "aborted");
    fields.finish();
    let abort = http.map(Abort::Http).or(grpc);
    Some(abort.map(|abort| (share.unwrap_or(Fraction::NONE), abort)))
}

/// An unset percentage means none here, though all for mirrors: few expect that.
fn warn_of_no_share(fields: &Fields<'_>, share: Option<Fraction>, what: &str) {
    let is_written = fields.is_written("percentage") || fields.is_written("percent");
    if share.is_none() && !is_written {
        let finding = Finding::warning(format!("is not set, so no request is {what}"));
        fields.report_at(
            "percentage",
            finding.help("set `percentage: { value: 100 }`"),
        );
    }
}

/// A name, or its number as text.
fn grpc_status<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Abort> {
    let Located { value: text, place } = located(string)(node, context)?;
    let status = Abort::grpc(text);
    if status.is_none() {
        let known = Abort::GRPC_STATUSES.iter().copied();
        let message = format!(
            "must be a gRPC status such as UNAVAILABLE, or its number in 0 to 16, but is `{text}`"
        );
        let near = crate::decode::did_you_mean(text, known);
        context.report(place, Finding::error(message).maybe_help(near));
    }
    status
}
