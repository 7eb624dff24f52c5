//! `Telemetry`.

use super::selector::selector_or_targets;
use crate::decode::{
    Context, Fields, boolean, decimal, map_of, non_empty, one_of, owned, positive_duration,
};
use crate::yaml::Node;

const MODES: &[(&str, ())] = &[("CLIENT_AND_SERVER", ()), ("CLIENT", ()), ("SERVER", ())];

const METRICS: &[(&str, ())] = &[
    ("ALL_METRICS", ()),
    ("REQUEST_COUNT", ()),
    ("REQUEST_DURATION", ()),
    ("REQUEST_SIZE", ()),
    ("RESPONSE_SIZE", ()),
    ("TCP_OPENED_CONNECTIONS", ()),
    ("TCP_CLOSED_CONNECTIONS", ()),
    ("TCP_SENT_BYTES", ()),
    ("TCP_RECEIVED_BYTES", ()),
    ("GRPC_REQUEST_MESSAGES", ()),
    ("GRPC_RESPONSE_MESSAGES", ()),
];

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.optional("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        selector_or_targets(&mut fields);
        fields.list("tracing", tracing);
        fields.list("metrics", metrics);
        fields.list("accessLogging", access_logging);
        fields.finish();
        Some(())
    })
}

fn tracing<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("match", mode);
    fields.list("providers", provider);
    fields.optional("randomSamplingPercentage", decimal(0.0..=100.0));
    for name in [
        "disableSpanReporting",
        "useRequestIdForTraceSampling",
        "enableIstioTags",
    ] {
        fields.optional(name, boolean);
    }
    fields.optional("customTags", map_of(custom_tag));
    fields.finish();
    Some(())
}

fn custom_tag<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("literal", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.required("value", non_empty);
        fields.finish();
        Some(())
    });
    for name in ["environment", "header"] {
        fields.optional(name, |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.required("name", non_empty);
            fields.optional("defaultValue", owned);
            fields.finish();
            Some(())
        });
    }
    fields.optional("formatter", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.required("value", non_empty);
        fields.finish();
        Some(())
    });
    fields.finish();
    Some(())
}

fn metrics<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.list("providers", provider);
    fields.optional("reportingInterval", positive_duration);
    fields.list("overrides", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("match", |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.optional("metric", one_of(METRICS));
            fields.optional("customMetric", non_empty);
            fields.optional("mode", one_of(MODES));
            if fields.is_written("metric") && fields.is_written("customMetric") {
                fields.error("only one of `metric` and `customMetric` can be set");
            }
            fields.finish();
            Some(())
        });
        fields.optional("disabled", boolean);
        fields.optional("tagOverrides", map_of(tag_override));
        fields.finish();
        Some(())
    });
    fields.finish();
    Some(())
}

fn tag_override<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    const OPERATIONS: &[(&str, bool)] = &[("UPSERT", false), ("REMOVE", true)];
    let mut fields = Fields::of(node, context)?;
    let removes = fields.optional("operation", one_of(OPERATIONS));
    let has_value = fields
        .optional("value", owned)
        .is_some_and(|value| !value.is_empty());
    match removes {
        Some(true) if has_value => {
            fields.error_at("value", "must not be set when operation is REMOVE");
        }
        Some(true) => {}
        Some(false) | None if has_value => {}
        Some(false) | None => fields.error_at("value", "must be set when operation is UPSERT"),
    }
    fields.finish();
    Some(())
}

fn access_logging<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("match", mode);
    fields.list("providers", provider);
    fields.optional("disabled", boolean);
    fields.optional("filter", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("expression", owned);
        fields.finish();
        Some(())
    });
    fields.finish();
    Some(())
}

fn mode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("mode", one_of(MODES));
    fields.finish();
    Some(())
}

fn provider<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.required("name", non_empty);
    fields.finish();
    Some(())
}
