//! nginx: one worker without a master, kept upstream connections, no disk, no log.

use anyhow::Result;

use super::{Bench, Peer, RunningPeer, Site, text_of, version_after, version_of};

/// Starts nginx with the configuration that `configuration` gives.
pub(crate) fn start(
    bench: &mut Bench,
    configuration: impl FnOnce(&Site) -> String,
) -> Result<RunningPeer> {
    let binary = bench.binaries.nginx.clone();
    let version = version_of(&binary, "-v", version_in)?;
    let site = bench.site(Peer::Nginx)?;
    let file = site.write("nginx.conf", &configuration(&site))?;
    let command = [
        text_of(&binary),
        "-p".to_owned(),
        text_of(&site.folder),
        "-e".to_owned(),
        "stderr".to_owned(),
        "-c".to_owned(),
        text_of(&file),
    ];
    bench.launch(Peer::Nginx, version, &site, &command)
}

pub(super) fn version_in(output: &str) -> Option<&str> {
    version_after(output, "nginx/")
}

pub(super) fn configuration(site: &Site) -> String {
    let Site {
        http,
        h2c,
        https,
        upstreams: [first, second],
        ..
    } = site;
    let (certificate, key) = (
        site.certificate.certificate.display(),
        site.certificate.key.display(),
    );
    with_http(
        site,
        &format!(
            "\
    ssl_protocols TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    upstream application {{
        server 127.0.0.1:{first};
        server 127.0.0.1:{second};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{http};
        listen 127.0.0.1:{h2c} http2;
        listen 127.0.0.1:{https} ssl;
        location / {{
{PASS}\
            proxy_buffer_size 16k;
            proxy_buffers 8 32k;
            proxy_max_temp_file_size 0;
        }}
    }}
"
        ),
    )
}

/// How a location passes requests on, over kept connections.
pub(crate) const PASS: &str = "            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
";

/// A configuration of which `http` is the part that differs between runs.
pub(crate) fn with_http(site: &Site, http: &str) -> String {
    let folder = site.folder.display();
    let bodies: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    format!(
        "\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{
    worker_connections 25000;
}}
http {{
{bodies}\
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
{http}\
}}
"
    )
}
