//! Envoy: one worker, a static configuration without what costs time and is not asked for.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Bench, Peer, RunningPeer, Site, text_of, version_of};

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.\
                       http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

/// Starts Envoy with the configuration that `configuration` gives.
pub(crate) fn start(
    bench: &mut Bench,
    configuration: impl FnOnce(&Site) -> Value,
) -> Result<RunningPeer> {
    let binary = bench.binaries.envoy.clone();
    let version = version_of(&binary, "--version", version_in)?;
    let site = bench.site(Peer::Envoy)?;
    let file = site.write("envoy.json", &configuration(&site).to_string())?;
    let command = [
        text_of(&binary),
        "-c".to_owned(),
        text_of(&file),
        "--concurrency".to_owned(),
        "1".to_owned(),
        "--use-dynamic-base-id".to_owned(),
        "-l".to_owned(),
        "warn".to_owned(),
    ];
    bench.launch(Peer::Envoy, version, &site, &command)
}

/// `version: <commit>/1.40.0/Clean/…`
pub(super) fn version_in(output: &str) -> Option<&str> {
    output.split_once("version: ")?.1.split('/').nth(1)
}

/// The configuration of the side-by-side runs.
pub(crate) fn configuration(site: &Site) -> Value {
    let endpoint = |port: u16| json!({"endpoint": {"address": address(port)}});
    let [first, second] = site.upstreams;
    json!({
        "stats_flush_interval": "240s",
        "static_resources": {
            "listeners": [
                listener("http", site.http, "HTTP1", None),
                listener("h2c", site.h2c, "HTTP2", None),
                listener("https", site.https, "HTTP1", Some(tls(site))),
            ],
            "clusters": [{
                "name": "application",
                "type": "STATIC",
                "lb_policy": "ROUND_ROBIN",
                "connect_timeout": "5s",
                // The defaults are sized for a sidecar and would turn requests away.
                "circuit_breakers": {"thresholds": [{
                    "max_connections": 65536,
                    "max_pending_requests": 65536,
                    "max_requests": 65536,
                }]},
                "load_assignment": {
                    "cluster_name": "application",
                    "endpoints": [{"lb_endpoints": [endpoint(first), endpoint(second)]}],
                },
            }],
        },
    })
}

/// A loopback address.
pub(crate) fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn listener(name: &str, port: u16, codec: &str, transport: Option<Value>) -> Value {
    let mut chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": MANAGER,
            "stat_prefix": name,
            "codec_type": codec,
            "generate_request_id": false,
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": ROUTER,
                    "dynamic_stats": false,
                    "suppress_envoy_headers": true,
                },
            }],
            "route_config": {"virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{
                    "match": {"prefix": "/"},
                    "route": {"cluster": "application", "timeout": "0s"},
                }],
            }]},
        },
    }]});
    if let Some(transport) = transport {
        chain["transport_socket"] = transport;
    }
    json!({"name": name, "address": address(port), "filter_chains": [chain]})
}

fn tls(site: &Site) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TLS,
            "common_tls_context": {
                "alpn_protocols": ["http/1.1"],
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [{
                    "certificate_chain": {"filename": text_of(&site.certificate.certificate)},
                    "private_key": {"filename": text_of(&site.certificate.key)},
                }],
            },
        },
    })
}
