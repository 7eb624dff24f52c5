//! Istio's annotations: those that nobody knows (IST0108), and those on a kind that they say nothing to (IST0107).

use crate::decode::{Context, Finding, did_you_mean};
use crate::yaml::{Node, Value};

/// The kinds that an annotation is for; empty is any.
type For = &'static [&'static str];

const PODS: For = &["Pod"];
const GATEWAYS: For = &["Gateway"];
const SERVICES: For = &["Service", "ServiceEntry", "Namespace"];

/// Istio's list (istio.io/api, `annotation`), in order.
const KNOWN: &[(&str, For)] = &[
    ("alpha.istio.io/canonical-serviceaccounts", &["Service"]),
    ("alpha.istio.io/kubernetes-serviceaccounts", &["Service"]),
    ("ambient.istio.io/bypass-inbound-capture", PODS),
    ("ambient.istio.io/dns-capture", PODS),
    ("ambient.istio.io/redirection", PODS),
    (
        "ambient.istio.io/waypoint-inbound-binding",
        &["GatewayClass"],
    ),
    ("galley.istio.io/analyze-suppress", &[]),
    ("gateway.istio.io/controller-version", GATEWAYS),
    ("gateway.istio.io/name-override", GATEWAYS),
    ("gateway.istio.io/service-account", GATEWAYS),
    ("gateway.istio.io/tls-terminate-mode", GATEWAYS),
    ("inject.istio.io/templates", PODS),
    ("install.operator.istio.io/chart-owner", &[]),
    ("install.operator.istio.io/owner-generation", &[]),
    ("install.operator.istio.io/version", &[]),
    ("internal.istio.io/parents", &[]),
    ("internal.istio.io/route-semantics", &[]),
    ("internal.istio.io/service-account-name", &[]),
    ("istio.io/autoRegistrationGroup", &["WorkloadEntry"]),
    ("istio.io/connectedAt", &["WorkloadEntry"]),
    ("istio.io/dataplane-mode", &[]),
    ("istio.io/disconnectedAt", &["WorkloadEntry"]),
    ("istio.io/dry-run", &["AuthorizationPolicy"]),
    ("istio.io/ingress-use-waypoint", &["Service", "Namespace"]),
    ("istio.io/rev", &[]),
    ("istio.io/use-waypoint", &[]),
    ("istio.io/workloadController", &["WorkloadEntry"]),
    ("networking.istio.io/address-type", GATEWAYS),
    ("networking.istio.io/exportTo", &["Service"]),
    ("networking.istio.io/internal-traffic-policy", SERVICES),
    ("networking.istio.io/service-type", GATEWAYS),
    ("networking.istio.io/traffic-distribution", SERVICES),
    ("policy.istio.io/check", PODS),
    ("policy.istio.io/lang", PODS),
    ("prometheus.istio.io/merge-metrics", PODS),
    ("proxy.istio.io/config", PODS),
    ("proxy.istio.io/overrides", PODS),
    ("readiness.status.sidecar.istio.io/applicationPorts", PODS),
    ("readiness.status.sidecar.istio.io/failureThreshold", PODS),
    (
        "readiness.status.sidecar.istio.io/initialDelaySeconds",
        PODS,
    ),
    ("readiness.status.sidecar.istio.io/periodSeconds", PODS),
    ("sidecar.istio.io/agentLogLevel", PODS),
    ("sidecar.istio.io/bootstrapOverride", PODS),
    ("sidecar.istio.io/componentLogLevel", PODS),
    ("sidecar.istio.io/controlPlaneAuthPolicy", PODS),
    ("sidecar.istio.io/discoveryAddress", PODS),
    ("sidecar.istio.io/enableCoreDump", PODS),
    ("sidecar.istio.io/extraStatTags", PODS),
    ("sidecar.istio.io/inject", PODS),
    ("sidecar.istio.io/interceptionMode", PODS),
    ("sidecar.istio.io/logLevel", PODS),
    ("sidecar.istio.io/nativeSidecar", PODS),
    ("sidecar.istio.io/proxyCPU", PODS),
    ("sidecar.istio.io/proxyCPULimit", PODS),
    ("sidecar.istio.io/proxyImage", PODS),
    ("sidecar.istio.io/proxyImageType", PODS),
    ("sidecar.istio.io/proxyMemory", PODS),
    ("sidecar.istio.io/proxyMemoryLimit", PODS),
    ("sidecar.istio.io/rewriteAppHTTPProbers", PODS),
    ("sidecar.istio.io/statsCompression", PODS),
    ("sidecar.istio.io/statsEvictionInterval", PODS),
    ("sidecar.istio.io/statsHistogramBuckets", PODS),
    ("sidecar.istio.io/statsInclusionPrefixes", PODS),
    ("sidecar.istio.io/statsInclusionRegexps", PODS),
    ("sidecar.istio.io/statsInclusionSuffixes", PODS),
    ("sidecar.istio.io/status", PODS),
    ("sidecar.istio.io/userVolume", PODS),
    ("sidecar.istio.io/userVolumeMount", PODS),
    ("status.sidecar.istio.io/port", PODS),
    ("topology.istio.io/controlPlaneClusters", &["Namespace"]),
    ("traffic.istio.io/nodeSelector", &["Service"]),
    ("traffic.sidecar.istio.io/excludeInboundPorts", PODS),
    ("traffic.sidecar.istio.io/excludeInterfaces", PODS),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", PODS),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", PODS),
    ("traffic.sidecar.istio.io/includeInboundPorts", PODS),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", PODS),
    ("traffic.sidecar.istio.io/includeOutboundPorts", PODS),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", PODS),
];

/// Looks at an object's annotations.
pub(super) fn check(kind: &str, metadata: Option<&Node<'_>>, context: Context<'_>) {
    let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
    let Some(Value::Mapping(entries)) = annotations.map(|node| &node.value) else {
        return;
    };
    for entry in entries {
        let domain = entry.key.split_once('/').map(|(domain, _)| domain);
        if !domain.is_some_and(|domain| domain.ends_with("istio.io")) {
            continue;
        }
        let known = KNOWN.iter().find(|(name, _)| *name == entry.key);
        let finding = match known {
            None => {
                let near = did_you_mean(&entry.key, KNOWN.iter().map(|(name, _)| *name));
                let message = format!("Istio has no annotation `{}`", entry.key);
                Finding::warning(message).code("IST0108").maybe_help(near)
            }
            Some((_, kinds)) if !kinds.is_empty() && !kinds.contains(&kind) => {
                let kinds = kinds.join(" or ");
                let message = format!("`{}` says something to a {kinds} only", entry.key);
                Finding::warning(message).code("IST0107").help("remove it")
            }
            Some(_) => continue,
        };
        context.report(entry.value.place, finding);
    }
}
