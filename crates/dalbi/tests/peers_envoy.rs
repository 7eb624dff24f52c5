//! Envoy on both sides: before dalbi as its client, and behind it as an endpoint.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use support::http::{self, request, request_with_body};
use support::{Dalbi, Folder, Load, Process, Site, Upstream, free_port, peers};

/// Envoys with a listener that takes both versions and sends everything to one address.
struct Envoy {
    _process: Process,
    _folder: Folder,
    address: SocketAddr,
}

impl Envoy {
    fn start(to: SocketAddr, http2: bool) -> Option<Self> {
        let program = peers::envoy()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let folder = Folder::new();
        folder.write("envoy.yaml", &config(address, to, http2));
        let path = folder.path().join("envoy.yaml");
        let path = path.to_str().unwrap();
        let arguments = [
            "-c",
            path,
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "-l",
            "warn",
        ];
        let process = peers::serve(&program, &arguments, address);
        Some(Self {
            _process: process,
            _folder: folder,
            address,
        })
    }
}

fn config(listen: SocketAddr, to: SocketAddr, http2: bool) -> String {
    let version = if http2 {
        "http2_protocol_options"
    } else {
        "http_protocol_options"
    };
    // Trailers are off by default for HTTP/1.1, on both sides.
    let trailers = if http2 {
        "{}"
    } else {
        "{enable_trailers: true}"
    };
    format!(
        r#"
static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{address: {ip}, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: AUTO
          http_protocol_options: {{enable_trailers: true}}
          upgrade_configs: [{{upgrade_type: websocket}}]
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: next, timeout: 0s}}
  clusters:
  - name: next
    connect_timeout: 5s
    load_assignment:
      cluster_name: next
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {next_ip}, port_value: {next_port}}}}}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{{version}: {trailers}}}
"#,
        ip = listen.ip(),
        port = listen.port(),
        next_ip = to.ip(),
        next_port = to.port(),
    )
}

/// What must work through any chain: `entry` leads to dalbi and then to a `dalbi upstream`.
async fn works(entry: SocketAddr) {
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    for h2 in [false, true] {
        let send = async |request| match h2 {
            true => http::send_h2(entry, request).await,
            false => http::send(entry, request).await,
        };
        let echo = send(request("GET", "/a%20b?c=d", &[("x-a", "1")])).await;
        assert_eq!(echo.status(), 200);
        let echo = echo.json();
        assert_eq!(
            (&echo["path"], &echo["query"]),
            (&"/a%20b".into(), &"c=d".into())
        );
        assert_eq!(echo["headers"]["x-a"][0], "1");

        let upload = request_with_body("POST", "/?echo=body", &[], body.clone());
        assert!(send(upload).await.body == body);
        assert_eq!(
            send(request("GET", "/?status=204", &[])).await.status(),
            204
        );
        let head = send(request("HEAD", "/?size=500", &[])).await;
        assert_eq!((head.header("content-length"), head.body.len()), ("500", 0));

        let cut = request("GET", "/?abort=10KiB&size=1MiB", &[]);
        let cut = match h2 {
            true => http::try_send_h2(entry, cut).await,
            false => http::try_send(entry, cut).await,
        };
        // An Envoy that sees the end together with the head may make it a failure of its own.
        let looks_whole = cut.as_ref().is_ok_and(|answer| answer.status() < 500);
        assert!(!looks_whole, "{h2}: {cut:?}");
    }
    let load = Load::start(10, entry, || request("GET", "/?size=2KiB", &[]));
    load.answered(1000).await;
    let tally = load.stop().await;
    assert_eq!((tally.failed.as_slice(), tally.refused), (&[][..], 0));
}

async fn grpc_works(entry: SocketAddr) {
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let message = b"\0\0\0\0\x03abc".as_slice();
    let call = request_with_body("POST", "/x.Y/Z", &headers, message);
    let answer = http::send_h2(entry, call).await;
    assert_eq!(answer.body, message);
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    let headers = [headers.as_slice(), &[("x-upstream", "grpc-status=9")]].concat();
    let call = request_with_body("POST", "/x.Y/Z", &headers, message);
    assert_eq!(http::send_h2(entry, call).await.header("grpc-status"), "9");
}

#[tokio::test]
async fn envoy_before_us() {
    let app = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[app.address()]).serve(&[]);
    for http2 in [false, true] {
        let Some(envoy) = Envoy::start(dalbi.address(8080), http2) else {
            return;
        };
        works(envoy.address).await;
    }
    // As in a mesh, the client's own identity comes through.
    let Some(envoy) = Envoy::start(dalbi.address(8080), true) else {
        return;
    };
    let headers = [("x-request-id", "00000000-0000-4000-8000-000000000000")];
    let echo = http::send(envoy.address, request("GET", "/", &headers))
        .await
        .json();
    assert_eq!(echo["headers"]["x-request-id"].as_array().unwrap().len(), 1);
    assert_eq!(
        echo["headers"]["x-envoy-expected-rq-timeout-ms"].as_array(),
        None
    );

    let (dalbi, _folder) = Site::to(&[app.address()]).protocol("GRPC").serve(&[]);
    let Some(envoy) = Envoy::start(dalbi.address(8080), true) else {
        return;
    };
    grpc_works(envoy.address).await;
}

/// dalbi → Envoy → the test server.
fn behind(app: &Upstream, http2: bool) -> Option<(Envoy, Dalbi, Folder)> {
    let envoy = Envoy::start(app.address(), http2)?;
    let (dalbi, folder) = Site::to(&[envoy.address])
        .protocol(if http2 { "HTTP2" } else { "HTTP" })
        .serve(&[]);
    Some((envoy, dalbi, folder))
}

#[tokio::test]
async fn envoy_behind_us() {
    let app = Upstream::start(&[]);
    for http2 in [false, true] {
        let Some((_envoy, dalbi, _folder)) = behind(&app, http2) else {
            return;
        };
        works(dalbi.address(8080)).await;
    }
    let Some((_envoy, dalbi, _folder)) = behind(&app, true) else {
        return;
    };
    grpc_works(dalbi.address(8080)).await;
}

#[tokio::test]
async fn trailers_between_envoys() {
    // Over HTTP/1.1 to us and HTTP/1.1 from us: chunked bodies with trailers both ways.
    let upstream = support::wire::WireUpstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n",
    )
    .await;
    let Some(back) = Envoy::start(upstream.address(), false) else {
        return;
    };
    for protocol in ["HTTP", "HTTP2"] {
        let (dalbi, _folder) = Site::to(&[back.address]).protocol(protocol).serve(&[]);
        for http2 in [false, true] {
            let Some(front) = Envoy::start(dalbi.address(8080), http2) else {
                return;
            };
            let headers = [("te", "trailers")];
            let answer = http::send_h2(front.address, request("GET", "/", &headers)).await;
            assert_eq!(answer.body, "ok");
            let trailers = answer.trailers.expect("trailers");
            assert_eq!(trailers["x-sum"], "42", "{protocol} {http2}");
        }
    }
}
