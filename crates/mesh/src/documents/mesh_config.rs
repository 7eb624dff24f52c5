//! Istio's `MeshConfig`: defaults for everything.

use std::time::Duration;

use super::export_to::{self, ExportTo};
use super::locality_setting::{self, LocalitySetting};
use super::sidecar::{Outbound, outbound_policy};
use super::traffic_policy::keepalive;
use super::virtual_service::{default_retries, retries};
use crate::decode::{
    Context, Fields, Finding, NotServed, boolean, non_empty, one_of, positive_duration,
};
use crate::model::{RetryPolicy, TcpKeepalive};
use crate::yaml::Node;

/// What of it matters to requests.
#[derive(Debug)]
pub(crate) struct MeshConfig {
    /// Whose `Sidecar` and `DestinationRule`s hold for all namespaces.
    pub(crate) root_namespace: String,
    pub(crate) service_export_to: ExportTo,
    pub(crate) virtual_service_export_to: ExportTo,
    pub(crate) destination_rule_export_to: ExportTo,
    /// `None` is as without any: 404.
    pub(crate) outbound: Option<Outbound>,
    /// Where nothing is said of retries.
    pub(crate) retries: RetryPolicy,
    pub(crate) locality: Option<LocalitySetting>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tcp_keepalive: Option<TcpKeepalive>,
    /// `h2UpgradePolicy: UPGRADE`.
    pub(crate) upgrade_to_h2: bool,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            root_namespace: "istio-system".to_owned(),
            service_export_to: ExportTo::default(),
            virtual_service_export_to: ExportTo::default(),
            destination_rule_export_to: ExportTo::default(),
            outbound: None,
            retries: default_retries(),
            locality: None,
            connect_timeout: None,
            tcp_keepalive: None,
            upgrade_to_h2: false,
        }
    }
}

/// Fields by which a document without a kind is known to be one.
pub(crate) const TELLING: &[&str] = &[
    "defaultConfig",
    "defaultDestinationRuleExportTo",
    "defaultHttpRetryPolicy",
    "defaultServiceExportTo",
    "defaultVirtualServiceExportTo",
    "extensionProviders",
    "localityLbSetting",
    "outboundTrafficPolicy",
    "pathNormalization",
    "rootNamespace",
];

const NOT_SERVED: &[NotServed] = &[
    ("accessLogEncoding", "logs are set by flags"),
    ("accessLogFile", "logs are set by flags"),
    ("accessLogFormat", "logs are set by flags"),
    ("ca", "certificates are as in the documents"),
    ("caCertificates", "certificates are as in the documents"),
    ("certificates", "certificates are as in the documents"),
    ("defaultProviders", "telemetry is set by flags"),
    ("enableEnvoyAccessLogService", "logs are set by flags"),
    ("enableTracing", "requests are not traced"),
    ("extensionProviders", "there are no extensions"),
    ("hboneIdleTimeout", "HBONE is not spoken"),
    (
        "inboundTrafficPolicy",
        "requests to this machine's servers are not captured",
    ),
    ("meshMTLS", "sidecars' certificates are not used"),
    ("tlsDefaults", "the library's own secure settings hold"),
    (
        "verifyCertificateAtClient",
        "certificates are verified unless a rule says otherwise",
    ),
];

/// What is for Istio's control plane, for sidecars, or for what is not in the documents.
const ACCEPTED: &[&str] = &[
    "configSources",
    "defaultConfig",
    "disableEnvoyListenerLog",
    "discoverySelectors",
    "dnsRefreshRate",
    "enableAutoMtls",
    "enablePrometheusMerge",
    "ingressClass",
    "ingressControllerMode",
    "ingressSelector",
    "ingressService",
    "inboundClusterStatName",
    "mixerCheckServer",
    "outboundClusterStatName",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyListenPort",
    "proxyInboundListenPort",
    "serviceScopeConfigs",
    "serviceSettings",
    "thriftConfig",
    "trustDomain",
    "trustDomainAliases",
    "apiVersion",
    "kind",
    "metadata",
];

/// The fields, wherever they stand.
pub(crate) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<MeshConfig> {
    const UPGRADES: &[(&str, bool)] = &[("DO_NOT_UPGRADE", false), ("UPGRADE", true)];
    let mut fields = Fields::of(node, context)?;
    let default = MeshConfig::default();
    let config = MeshConfig {
        root_namespace: fields
            .optional("rootNamespace", non_empty)
            .unwrap_or(default.root_namespace),
        service_export_to: visibility("defaultServiceExportTo", &mut fields),
        virtual_service_export_to: visibility("defaultVirtualServiceExportTo", &mut fields),
        destination_rule_export_to: visibility("defaultDestinationRuleExportTo", &mut fields),
        outbound: fields.optional("outboundTrafficPolicy", outbound_policy),
        retries: fields
            .optional("defaultHttpRetryPolicy", retries)
            .unwrap_or(default.retries),
        locality: fields.optional("localityLbSetting", locality_setting::decode),
        connect_timeout: fields.optional("connectTimeout", positive_duration),
        tcp_keepalive: fields.optional("tcpKeepalive", keepalive),
        upgrade_to_h2: fields
            .optional("h2UpgradePolicy", one_of(UPGRADES))
            .unwrap_or(false),
    };
    fields.optional("pathNormalization", normalization);
    fields.optional("enableAutoMtls", boolean);
    fields.not_served(NOT_SERVED);
    fields.accept(ACCEPTED);
    fields.finish();
    Some(config)
}

fn visibility(name: &'static str, fields: &mut Fields<'_>) -> ExportTo {
    fields.optional(name, export_to::list).unwrap_or_default()
}

/// Paths are always normalized as Istio does by default.
fn normalization<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    const KINDS: &[(&str, bool)] = &[
        ("DEFAULT", true),
        ("BASE", true),
        ("NONE", false),
        ("MERGE_SLASHES", false),
        ("DECODE_AND_MERGE_SLASHES", false),
    ];
    let mut fields = Fields::of(node, context)?;
    if fields.optional("normalization", one_of(KINDS)) == Some(false) {
        let message = "is not served yet: paths are normalized as BASE says";
        fields.report_at("normalization", Finding::warning(message));
    }
    fields.finish();
    Some(())
}
