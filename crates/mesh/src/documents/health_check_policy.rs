//! Our own `HealthCheckPolicy` (`dalbi.io/v1alpha1`): active checks, which Istio leaves to Kubernetes' probes.
//! Its fields are those of Envoy Gateway's `BackendTrafficPolicy`.

use std::time::Duration;

use super::target_refs::{self, Target};
use crate::decode::{Context, Fields, integer, non_empty, owned, positive_duration};
use crate::model::HealthCheck;
use crate::yaml::Node;

/// Checks and the services they are for.
#[derive(Debug)]
pub(crate) struct HealthCheckPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) check: HealthCheck,
}

/// `kind: HealthCheckPolicy`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<HealthCheckPolicy> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let targets = target_refs::decode(&mut fields);
        let http = fields.required("http", http_check);
        // Envoy Gateway's defaults.
        let interval = fields
            .optional("interval", positive_duration)
            .unwrap_or(Duration::from_secs(3));
        let timeout = fields
            .optional("timeout", positive_duration)
            .unwrap_or(Duration::from_secs(1));
        let healthy_threshold = fields
            .optional("healthyThreshold", integer(1..=1000))
            .unwrap_or(1);
        let unhealthy_threshold = fields
            .optional("unhealthyThreshold", integer(1..=1000))
            .unwrap_or(3);
        fields.finish();
        let (path, host, expected_statuses) = http?;
        let check = HealthCheck {
            path,
            host,
            interval,
            timeout,
            healthy_threshold,
            unhealthy_threshold,
            expected_statuses,
        };
        Some(HealthCheckPolicy { targets, check })
    })
}

type HttpCheck = (String, Option<String>, Vec<std::ops::Range<u16>>);

fn http_check<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HttpCheck> {
    let mut fields = Fields::of(node, context)?;
    let path = fields.required("path", non_empty);
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        fields.error_at("path", "must begin with `/`");
    }
    let host = fields.optional("host", owned);
    let mut statuses = fields.list("expectedStatuses", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let start = fields.required("start", integer::<u16>(100..=599));
        let end = fields.required("end", integer::<u16>(101..=600));
        let (start, end) = (start?, end?);
        if start >= end {
            fields.error_at(
                "end",
                format!("must be above start {start}, as it is not included itself, but is {end}"),
            );
        }
        fields.finish();
        Some(start..end)
    });
    fields.finish();
    if statuses.is_empty() {
        statuses.push(200..201);
    }
    Some((path?, host, statuses))
}
