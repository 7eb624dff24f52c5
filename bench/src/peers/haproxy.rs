//! HAProxy: one thread, upstream connections shared by all clients.

use anyhow::Result;

use super::{Bench, Peer, RunningPeer, Site, text_of, version_after, version_of};

/// Starts HAProxy with the configuration that `configuration` gives.
pub(crate) fn start(
    bench: &mut Bench,
    configuration: impl FnOnce(&Site) -> String,
) -> Result<RunningPeer> {
    let binary = bench.binaries.haproxy.clone();
    let version = version_of(&binary, "-v", version_in)?;
    let site = bench.site(Peer::Haproxy)?;
    let file = site.write("haproxy.cfg", &configuration(&site))?;
    let command = [
        text_of(&binary),
        "-db".to_owned(),
        "-f".to_owned(),
        text_of(&file),
    ];
    bench.launch(Peer::Haproxy, version, &site, &command)
}

pub(super) fn version_in(output: &str) -> Option<&str> {
    version_after(output, "HAProxy version ")
}

/// `maxconn` must take 10,000 idle clients. HAProxy wants twice as many files as that and would not
/// start with fewer, hence `no strict-limits`; and it gives up kept upstream connections when a
/// fifth of its files are in use, which idle clients alone would bring about, hence the ratios.
pub(super) fn configuration(site: &Site) -> String {
    let Site {
        http,
        h2c,
        https,
        upstreams: [first, second],
        ..
    } = site;
    let certificate = site.certificate.both.display();
    format!(
        "\
global
    nbthread 1
    maxconn 12000
    no strict-limits
    tune.pool-low-fd-ratio 90
    tune.pool-high-fd-ratio 95
    ssl-default-bind-options ssl-min-ver TLSv1.3

defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-request 10s
    timeout http-keep-alive 300s
    http-reuse always

frontend public
    bind 127.0.0.1:{http}
    bind 127.0.0.1:{h2c} proto h2
    bind 127.0.0.1:{https} ssl crt {certificate} alpn http/1.1
    default_backend application

backend application
    balance roundrobin
    server one 127.0.0.1:{first}
    server two 127.0.0.1:{second}
"
    )
}
