//! `trafficPolicy` of a `DestinationRule`: at the top, per port, and per subset.

use std::time::Duration;

use super::load_balancer::{self, LoadBalancer};
use super::outlier_detection;
use crate::decode::{Context, Fields, Finding, Located, NotServed, boolean, count, duration};
use crate::decode::{list_of, located, non_empty, one_of, owned, port, positive_duration};
use crate::model::{ConnectionPool, TcpKeepalive};
use crate::yaml::Node;

/// A policy. What is `None` was not written, and so is taken from the level above.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrafficPolicy {
    /// Settings for every port.
    pub(crate) base: PortPolicy,
    /// Settings that take the place of `base`, as a whole, for one port.
    pub(crate) ports: Vec<(u16, PortPolicy)>,
}

/// The four parts that a level above can be replaced by, each as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortPolicy {
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) connection_pool: Option<Pool>,
    pub(crate) outlier_detection: Option<alba::OutlierDetection>,
    pub(crate) tls: Option<Tls>,
}

#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) limits: ConnectionPool,
    /// Whether `connectTimeout` is written; else the mesh's configuration says it.
    pub(crate) has_connect_timeout: bool,
    /// `h2UpgradePolicy`; `None` keeps the port's own protocol.
    pub(crate) upgrade_to_h2: Option<bool>,
}

/// `tls`, with names still to be resolved.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) sni: Option<String>,
    pub(crate) subject_alt_names: Vec<String>,
    pub(crate) verify: bool,
    pub(crate) client_certificate: Option<String>,
    pub(crate) private_key: Option<String>,
    pub(crate) ca_certificates: Option<String>,
    pub(crate) credential_name: Option<Located<String>>,
    /// `caCrl`, which is not served.
    pub(crate) has_revocation_list: bool,
}

/// What to do about a rule with ISTIO_MUTUAL.
pub(crate) const INSTEAD_OF_ISTIO_MUTUAL: &str =
    "use MUTUAL with certificates of your own, or DISABLE to send plain text";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

impl TrafficPolicy {
    /// The settings for one port, where a `portLevelSettings` entry inherits nothing.
    pub(crate) fn at(&self, port: u16) -> &PortPolicy {
        self.ports
            .iter()
            .find(|(number, _)| *number == port)
            .map_or(&self.base, |(_, policy)| policy)
    }
}

impl PortPolicy {
    /// A subset's settings over those of its rule.
    pub(crate) fn over(&self, above: &Self) -> Self {
        Self {
            load_balancer: self
                .load_balancer
                .clone()
                .or_else(|| above.load_balancer.clone()),
            connection_pool: self
                .connection_pool
                .clone()
                .or_else(|| above.connection_pool.clone()),
            outlier_detection: self
                .outlier_detection
                .clone()
                .or_else(|| above.outlier_detection.clone()),
            tls: self.tls.clone().or_else(|| above.tls.clone()),
        }
    }
}

const POLICY_NOT_SERVED: &[NotServed] = &[
    ("tunnel", "requests are not tunnelled through CONNECT"),
    ("proxyProtocol", "upstreams see no PROXY header"),
    (
        "retryBudget",
        "retries are limited by connectionPool.http.maxRetries only",
    ),
];

/// `trafficPolicy`.
pub(crate) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<TrafficPolicy> {
    let mut fields = Fields::of(node, context)?;
    let base = port_policy(&mut fields);
    let ports = fields.list("portLevelSettings", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let number = fields.required("port", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let number = fields.required("number", port);
            fields.finish();
            number
        });
        let policy = port_policy(&mut fields);
        fields.finish();
        Some((number?, policy))
    });
    fields.not_served(POLICY_NOT_SERVED);
    fields.finish();
    Some(TrafficPolicy { base, ports })
}

fn port_policy(fields: &mut Fields<'_>) -> PortPolicy {
    let policy = PortPolicy {
        load_balancer: fields.optional("loadBalancer", load_balancer::decode),
        connection_pool: fields.optional("connectionPool", connection_pool),
        outlier_detection: fields.optional("outlierDetection", outlier_detection::decode),
        tls: fields.optional("tls", tls),
    };
    let balancer = policy.load_balancer.as_ref();
    let locality = balancer.and_then(|balancer| balancer.locality.as_ref());
    if let Some(locality) = locality.filter(|locality| locality.enabled)
        && !(locality.failover.is_empty() && locality.priority.is_empty())
        && policy.outlier_detection.is_none()
    {
        let message = "has `localityLbSetting` with failover, which takes outlier detection to notice failures";
        let finding = Finding::warning(message);
        fields.report_at(
            "loadBalancer",
            finding.help("set `outlierDetection` beside it"),
        );
    }
    policy
}

/// Istio's "unlimited".
const UNLIMITED: u32 = u32::MAX;

impl Default for ConnectionPool {
    /// Istio's defaults.
    fn default() -> Self {
        Self {
            max_connections: UNLIMITED,
            connect_timeout: Duration::from_secs(10),
            tcp_keepalive: None,
            max_pending_requests: UNLIMITED,
            max_requests: UNLIMITED,
            max_requests_per_connection: 0,
            max_retries: UNLIMITED,
            idle_timeout: Duration::from_secs(3600),
        }
    }
}

const TCP_NOT_SERVED: &[NotServed] = &[(
    "maxConnectionDuration",
    "connections live as long as they are used",
)];

const HTTP_NOT_SERVED: &[NotServed] = &[
    (
        "useClientProtocol",
        "the port's own protocol is spoken to upstreams",
    ),
    (
        "maxConcurrentStreams",
        "the server's own limit on streams is kept, no lower one",
    ),
    ("http2KeepAlive", "idle HTTP/2 connections are not pinged"),
];

fn connection_pool<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Pool> {
    let mut fields = Fields::of(node, context)?;
    let mut pool = Pool {
        limits: ConnectionPool::default(),
        has_connect_timeout: false,
        upgrade_to_h2: None,
    };
    let limits = &mut pool.limits;
    let set = |target: &mut u32, value: Option<u32>| {
        *target = value.filter(|value| *value > 0).unwrap_or(*target);
    };
    if let Some(mut tcp) = fields
        .node("tcp")
        .and_then(|node| Fields::of(node, context))
    {
        set(
            &mut limits.max_connections,
            tcp.optional("maxConnections", count),
        );
        let connect_timeout = tcp.optional("connectTimeout", positive_duration);
        pool.has_connect_timeout = connect_timeout.is_some();
        limits.connect_timeout = connect_timeout.unwrap_or(limits.connect_timeout);
        limits.tcp_keepalive = tcp.optional("tcpKeepalive", keepalive);
        limits.idle_timeout = tcp
            .optional("idleTimeout", duration)
            .unwrap_or(limits.idle_timeout);
        tcp.not_served(TCP_NOT_SERVED);
        tcp.finish();
    }
    if let Some(mut http) = fields
        .node("http")
        .and_then(|node| Fields::of(node, context))
    {
        set(
            &mut limits.max_pending_requests,
            http.optional("http1MaxPendingRequests", count),
        );
        set(
            &mut limits.max_requests,
            http.optional("http2MaxRequests", count),
        );
        set(
            &mut limits.max_requests_per_connection,
            http.optional("maxRequestsPerConnection", count),
        );
        set(&mut limits.max_retries, http.optional("maxRetries", count));
        limits.idle_timeout = http
            .optional("idleTimeout", duration)
            .unwrap_or(limits.idle_timeout);
        const UPGRADES: &[(&str, Option<bool>)] = &[
            ("DEFAULT", None),
            ("DO_NOT_UPGRADE", Some(false)),
            ("UPGRADE", Some(true)),
        ];
        pool.upgrade_to_h2 = http.optional("h2UpgradePolicy", one_of(UPGRADES)).flatten();
        http.not_served(HTTP_NOT_SERVED);
        http.finish();
    }
    fields.finish();
    Some(pool)
}

pub(crate) fn keepalive<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<TcpKeepalive> {
    let mut fields = Fields::of(node, context)?;
    let keepalive = TcpKeepalive {
        probes: fields.optional("probes", count),
        time: fields.optional("time", positive_duration),
        interval: fields.optional("interval", positive_duration),
    };
    fields.finish();
    Some(keepalive)
}

/// Requests are not sent rather than sent less safely than was asked for.
const TLS_NOT_SERVED: &[NotServed] = &[(
    "caCrl",
    "requests to the host get 503, as revoked certificates would be accepted",
)];

const TLS_MODES: &[(&str, TlsMode)] = &[
    ("DISABLE", TlsMode::Disable),
    ("SIMPLE", TlsMode::Simple),
    ("MUTUAL", TlsMode::Mutual),
    ("ISTIO_MUTUAL", TlsMode::IstioMutual),
];

fn tls<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Tls> {
    let mut fields = Fields::of(node, context)?;
    let tls = Tls {
        mode: fields
            .optional("mode", one_of(TLS_MODES))
            .unwrap_or(TlsMode::Disable),
        sni: fields.optional("sni", owned).filter(|sni| !sni.is_empty()),
        subject_alt_names: fields
            .optional("subjectAltNames", list_of(non_empty))
            .unwrap_or_default(),
        verify: !fields
            .optional("insecureSkipVerify", boolean)
            .unwrap_or(false),
        client_certificate: fields.optional("clientCertificate", non_empty),
        private_key: fields.optional("privateKey", non_empty),
        ca_certificates: fields.optional("caCertificates", non_empty),
        credential_name: fields.optional("credentialName", located(non_empty)),
        has_revocation_list: fields.is_written("caCrl"),
    };
    let has_files = tls.client_certificate.is_some()
        || tls.private_key.is_some()
        || tls.ca_certificates.is_some();
    match tls.mode {
        TlsMode::Mutual if tls.credential_name.is_none() => {
            for (name, value) in [
                ("clientCertificate", &tls.client_certificate),
                ("privateKey", &tls.private_key),
            ] {
                if value.is_none() {
                    fields.error_at(
                        name,
                        "is required with mode MUTUAL (or set `credentialName`)",
                    );
                }
            }
        }
        TlsMode::Simple | TlsMode::Mutual if tls.credential_name.is_some() && has_files => {
            fields.error_at(
                "credentialName",
                "can't be set beside certificate files; keep one of the two",
            );
        }
        TlsMode::IstioMutual => {
            if has_files {
                fields.error_at(
                    "mode",
                    "ISTIO_MUTUAL brings its own certificates; remove the files or use MUTUAL",
                );
            }
            let message = "ISTIO_MUTUAL is not served yet: requests to the host get 503, \
                           as they must not go out in plain text";
            let finding = Finding::warning(message).help(INSTEAD_OF_ISTIO_MUTUAL);
            fields.report_at("mode", finding);
        }
        TlsMode::Disable | TlsMode::Simple | TlsMode::Mutual => {}
    }
    if !tls.verify && !tls.subject_alt_names.is_empty() {
        fields.error_at(
            "subjectAltNames",
            "are not checked with `insecureSkipVerify: true`; remove one of the two",
        );
    }
    fields.not_served(TLS_NOT_SERVED);
    fields.finish();
    Some(tls)
}
