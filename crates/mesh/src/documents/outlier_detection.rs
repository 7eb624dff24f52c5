//! `outlierDetection`: when an endpoint is put aside for what it answered.

use std::time::Duration;

use crate::decode::{
    Context, Fields, Finding, boolean, count, decimal, integer, positive_duration,
};
use crate::yaml::Node;

/// A `DestinationRule`'s.
pub(super) fn decode<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<alba::OutlierDetection> {
    let mut fields = Fields::of(node, context)?;
    let detection = istio(&mut fields);
    fields.finish();
    Some(detection)
}

/// A `BalancingPolicy`'s: the same, and what gRPC (A50) and Envoy have beside it.
pub(super) fn decode_with_rates<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<alba::OutlierDetection> {
    let mut fields = Fields::of(node, context)?;
    let mut detection = istio(&mut fields);
    detection.success_rate = fields.optional("successRate", success_rate);
    detection.failure_percentage = fields.optional("failurePercentage", failure_percentage);
    fields.finish();
    Some(detection)
}

/// Istio's fields, with Istio's defaults.
fn istio(fields: &mut Fields<'_>) -> alba::OutlierDetection {
    let percent = || integer(0..=100);
    let split = fields
        .optional("splitExternalLocalOriginErrors", boolean)
        .unwrap_or(false);
    // The deprecated name counted gateway errors.
    let deprecated = fields.optional("consecutiveErrors", count);
    let detection = alba::OutlierDetection {
        consecutive_5xx: fields.optional("consecutive5xxErrors", count).unwrap_or(5),
        consecutive_gateway_errors: fields
            .optional("consecutiveGatewayErrors", count)
            .or(deprecated)
            .unwrap_or(0),
        consecutive_local_origin_failures: fields
            .optional("consecutiveLocalOriginFailures", count)
            .unwrap_or(5),
        split_external_local_origin_errors: split,
        interval: fields
            .optional("interval", positive_duration)
            .unwrap_or(Duration::from_secs(10)),
        base_ejection_time: fields
            .optional("baseEjectionTime", positive_duration)
            .unwrap_or(Duration::from_secs(30)),
        max_ejection_percent: fields
            .optional("maxEjectionPercent", percent())
            .unwrap_or(10),
        min_health_percent: fields.optional("minHealthPercent", percent()).unwrap_or(0),
        // Istio has no fields for these.
        success_rate: None,
        failure_percentage: None,
    };
    if fields.is_written("consecutiveLocalOriginFailures") && !split {
        let message = "has no effect without `splitExternalLocalOriginErrors: true`";
        fields.report_at("consecutiveLocalOriginFailures", Finding::warning(message));
    }
    detection
}

/// `successRate`; each field's default is gRPC's and Envoy's.
fn success_rate<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<alba::SuccessRate> {
    let mut fields = Fields::of(node, context)?;
    let mut rate = alba::SuccessRate::default();
    let factor = fields.optional("stdevFactor", decimal(0.0..=100.0));
    rate.stdev_factor = factor.unwrap_or(rate.stdev_factor);
    let [enforcement, hosts, volume] = enforcement(&mut fields);
    rate.enforcement_percent = enforcement.unwrap_or(rate.enforcement_percent);
    rate.minimum_hosts = hosts.unwrap_or(rate.minimum_hosts);
    rate.request_volume = volume.unwrap_or(rate.request_volume);
    fields.finish();
    Some(rate)
}

/// `failurePercentage`; each field's default is gRPC's.
fn failure_percentage<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<alba::FailurePercentage> {
    let mut fields = Fields::of(node, context)?;
    let mut share = alba::FailurePercentage::default();
    let threshold = fields.optional("threshold", integer(0..=100));
    share.threshold_percent = threshold.unwrap_or(share.threshold_percent);
    let [enforcement, hosts, volume] = enforcement(&mut fields);
    share.enforcement_percent = enforcement.unwrap_or(share.enforcement_percent);
    share.minimum_hosts = hosts.unwrap_or(share.minimum_hosts);
    share.request_volume = volume.unwrap_or(share.request_volume);
    fields.finish();
    Some(share)
}

/// What both have, by gRPC's names: how likely an endpoint found so is ejected, and what it takes to judge.
fn enforcement(fields: &mut Fields<'_>) -> [Option<u32>; 3] {
    [
        fields.optional("enforcementPercentage", integer(0..=100)),
        fields.optional("minimumHosts", count),
        fields.optional("requestVolume", count),
    ]
}
