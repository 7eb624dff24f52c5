//! Connections whose bytes go on as they are: plain, decrypted, and passed through.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};

use support::peers::{self, try_curl};
use support::wire::{Wire, WireUpstream, in_time};
use support::{Authority, Dalbi, Folder, Upstream, WebServer, free_port, until};

/// A gateway whose ports 8081 (plain) and 8443 (`https`, as fields of a server) lead to services.
#[derive(Default)]
struct Connections {
    /// Fields of the server on port 8443 beside its hosts.
    secure: &'static str,
    /// Rules of the VirtualService, as they stand under `spec`.
    rules: &'static str,
    /// Name and endpoints.
    services: Vec<(&'static str, Vec<SocketAddr>)>,
    /// A `trafficPolicy` for the service of that name.
    policy: Option<(&'static str, &'static str)>,
}

impl Connections {
    fn documents(&self) -> String {
        let mut yaml = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gate}}\nspec:\n  \
             selector: {{istio: ingressgateway}}\n  servers:\n  \
             - {{port: {{number: 8081, name: plain, protocol: TCP}}, hosts: ['*']}}\n{}\
             ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: all}}\nspec:\n  \
             hosts: ['*']\n  gateways: [gate]\n{}",
            self.secure, self.rules
        );
        for (name, endpoints) in &self.services {
            write!(
                yaml,
                "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
                 hosts: [{name}.internal]\n  resolution: STATIC\n  location: MESH_INTERNAL\n  ports:\n  \
                 - {{number: 80, name: main, protocol: TCP}}\n  endpoints:\n"
            )
            .unwrap();
            for endpoint in endpoints {
                let (ip, port) = (endpoint.ip(), endpoint.port());
                writeln!(yaml, "  - {{address: {ip}, ports: {{main: {port}}}}}").unwrap();
            }
        }
        if let Some((name, policy)) = self.policy {
            let kind = "DestinationRule";
            write!(
                yaml,
                "---\napiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
                 spec: {{host: {name}.internal, trafficPolicy: {policy}}}\n"
            )
            .unwrap();
        }
        yaml
    }

    fn serve_in(&self, folder: &Folder, arguments: &[&str]) -> Dalbi {
        folder.write("site.yaml", &self.documents());
        Dalbi::run(folder.path(), arguments)
    }
}

const PLAIN: &str =
    "  tcp:\n  - match: [{port: 8081}]\n    route: [{destination: {host: app.internal}}]\n";

/// The plain port leads to these.
fn plain(endpoints: &[SocketAddr]) -> Connections {
    Connections {
        rules: PLAIN,
        services: vec![("app", endpoints.to_vec())],
        ..Connections::default()
    }
}

/// Sends back what it is sent, with a name before and after it.
async fn echo(name: &'static str) -> WireUpstream {
    WireUpstream::start(move |_, mut wire: Wire| async move {
        wire.send(name).await;
        while wire.arrives().await {
            let bytes = wire.bytes(1).await;
            wire.send(bytes).await;
        }
        wire.send("!").await;
    })
    .await
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

async fn metric(dalbi: &Dalbi, line: &str) {
    until(line, async || {
        let metrics = support::metrics(dalbi).await;
        metrics.lines().any(|found| found == line)
    })
    .await;
}

const LABELS: &str = "reporter=\"source\",destination_service=\"app.internal\",\
                      destination_service_name=\"app.internal\",\
                      destination_service_namespace=\"default\",request_protocol=\"tcp\"";

#[tokio::test]
async fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    let upstream = echo("app:").await;
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let format = format!("json:{}", log.display());
    let dalbi = plain(&[upstream.address()]).serve_in(&folder, &["--access-log", &format]);
    let mut client = Wire::connect(dalbi.address(8081)).await;
    // The server may be the one who begins.
    assert_eq!(client.bytes(4).await, b"app:");
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    client.half_close().await;
    assert_eq!(client.rest().await, b"!", "what comes after our end");
    metric(
        &dalbi,
        &format!("istio_tcp_connections_closed_total{{{LABELS},response_flags=\"-\"}} 1"),
    )
    .await;
    metric(
        &dalbi,
        &format!("istio_tcp_connections_opened_total{{{LABELS}}} 1"),
    )
    .await;
    metric(
        &dalbi,
        &format!("istio_tcp_received_bytes_total{{{LABELS}}} 5"),
    )
    .await;
    metric(
        &dalbi,
        &format!("istio_tcp_sent_bytes_total{{{LABELS}}} 10"),
    )
    .await;
    until("the connection is logged", async || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let line = std::fs::read_to_string(&log).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["bytes_received"], 5);
    assert_eq!(line["bytes_sent"], 10);
    assert_eq!(line["response_flags"], "-");
    assert_eq!(line["upstream_host"], upstream.address().to_string());
    assert_eq!(line["upstream_cluster"], "outbound|80||app.internal");
}

#[tokio::test]
async fn much_goes_through_whole() {
    const SIZE: usize = 8 << 20;
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        let all = wire.rest().await;
        wire.send(all).await;
    })
    .await;
    let folder = Folder::new();
    let dalbi = plain(&[upstream.address()]).serve_in(&folder, &[]);
    let mut client = Wire::connect(dalbi.address(8081)).await;
    let all: Vec<u8> = (0..SIZE).map(|position| (position % 251) as u8).collect();
    assert!(client.send(&all).await);
    client.half_close().await;
    assert!(client.rest().await == all, "what came back differs");
}

#[tokio::test]
async fn connections_are_shared_out_by_weight() {
    let (one, two) = (echo("1").await, echo("2").await);
    let folder = Folder::new();
    let dalbi = Connections {
        rules: "  tcp:\n  - route:\n    - {destination: {host: one.internal}, weight: 80}\n    \
                - {destination: {host: two.internal}, weight: 20}\n",
        services: vec![("one", vec![one.address()]), ("two", vec![two.address()])],
        ..Connections::default()
    }
    .serve_in(&folder, &[]);
    for _ in 0..500 {
        let mut client = Wire::connect(dalbi.address(8081)).await;
        assert!(client.arrives().await);
    }
    let two = two.received().len();
    // Five standard deviations each way.
    assert!((55..145).contains(&two), "{two} of 500");
    assert_eq!(one.received().len() + two, 500);
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    let upstream = echo("app:").await;
    let folder = Folder::new();
    let dalbi = plain(&[nobody(), upstream.address()]).serve_in(&folder, &[]);
    for _ in 0..20 {
        let mut client = Wire::connect(dalbi.address(8081)).await;
        assert_eq!(client.bytes(4).await, b"app:");
    }
}

#[tokio::test]
async fn connections_that_lead_nowhere_are_closed() {
    for (endpoints, flags) in [(vec![nobody()], "UF"), (Vec::new(), "UH")] {
        let folder = Folder::new();
        let dalbi = plain(&endpoints).serve_in(&folder, &[]);
        let mut client = Wire::connect(dalbi.address(8081)).await;
        assert!(in_time("the end", client.is_closed()).await);
        let line =
            format!("istio_tcp_connections_closed_total{{{LABELS},response_flags=\"{flags}\"}} 1");
        metric(&dalbi, &line).await;
    }
}

#[tokio::test]
async fn a_circuit_breaker_counts_connections() {
    let upstream = echo("app:").await;
    let folder = Folder::new();
    let dalbi = Connections {
        policy: Some(("app", "{connectionPool: {tcp: {maxConnections: 2}}}")),
        ..plain(&[upstream.address()])
    }
    .serve_in(&folder, &[]);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = Wire::connect(dalbi.address(8081)).await;
        assert!(client.arrives().await);
        open.push(client);
    }
    let mut third = Wire::connect(dalbi.address(8081)).await;
    assert!(in_time("the end", third.is_closed()).await);
    metric(
        &dalbi,
        &format!("istio_tcp_connections_closed_total{{{LABELS},response_flags=\"UO\"}} 1"),
    )
    .await;
    // A place comes free.
    drop(open.pop());
    until("there is room again", async || {
        let mut client = Wire::connect(dalbi.address(8081)).await;
        client.arrives().await
    })
    .await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_ends() {
    let upstream = echo("app:").await;
    let folder = Folder::new();
    let arguments = ["--tcp-idle-timeout", "300ms"];
    let dalbi = plain(&[upstream.address()]).serve_in(&folder, &arguments);
    let mut client = Wire::connect(dalbi.address(8081)).await;
    assert_eq!(in_time("the end", client.rest()).await, b"app:");
    metric(
        &dalbi,
        &format!("istio_tcp_connections_closed_total{{{LABELS},response_flags=\"SI\"}} 1"),
    )
    .await;
}

#[tokio::test]
async fn connections_outlive_reloads_and_have_the_drains_time() {
    let (old, new) = (echo("old").await, echo("new").await);
    let folder = Folder::new();
    let dalbi = plain(&[old.address()]).serve_in(&folder, &[]);
    let mut client = Wire::connect(dalbi.address(8081)).await;
    assert_eq!(client.bytes(3).await, b"old");
    folder.write("site.yaml", &plain(&[new.address()]).documents());
    until("new ones go elsewhere", async || {
        Wire::connect(dalbi.address(8081)).await.bytes(3).await == b"new"
    })
    .await;
    client.send("a").await;
    assert_eq!(client.bytes(1).await, b"a");
    let address = dalbi.address(8081);
    let ending = tokio::spawn(dalbi.terminate());
    until("no more are taken", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    client.send("b").await;
    assert_eq!(client.bytes(1).await, b"b");
    drop(client);
    assert_eq!(in_time("the drain", ending).await.unwrap(), Some(0));
}

#[tokio::test]
async fn tls_ends_here_and_its_bytes_go_on() {
    let Some(curl) = peers::program("curl") else {
        return;
    };
    let upstream = Upstream::start(&["--name", "app"]);
    let folder = Folder::new();
    Authority::new(&folder, "ca").sign(&folder, "a", "a.example");
    let dalbi = Connections {
        secure: "  - {port: {number: 8443, name: secure, protocol: TLS}, hosts: ['a.example'], \
                 tls: {mode: SIMPLE, serverCertificate: a.crt, privateKey: a.key}}\n",
        rules: "  tcp:\n  - match: [{port: 8443}]\n    route: [{destination: {host: app.internal}}]\n",
        services: vec![("app", vec![upstream.address()])],
        ..Connections::default()
    }
    .serve_in(&folder, &[]);
    let output = get(&curl, &dalbi, &folder, "a.example").await;
    assert_eq!(output.as_deref(), Ok("200"));
    assert!(get(&curl, &dalbi, &folder, "b.example").await.is_err());
}

/// curl's view of `https://HOST` on port 8443: the status, or its exit code.
async fn get(
    curl: &std::path::Path,
    dalbi: &Dalbi,
    folder: &Folder,
    host: &str,
) -> Result<String, Option<i32>> {
    let address = dalbi.address(8443);
    let resolve = format!("{host}:{}:{}", address.port(), address.ip());
    let url = format!("https://{host}:{}/hello.txt", address.port());
    let ca = folder.path().join("ca.crt").display().to_string();
    let arguments = [
        "--resolve",
        &resolve,
        "--cacert",
        &ca,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &url,
    ];
    let output = try_curl(curl, &arguments).await;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(output.status.code()),
    }
}

const PASSTHROUGH: &str = "  - {port: {number: 8443, name: secure, protocol: TLS}, hosts: ['*.example'], \
                           tls: {mode: PASSTHROUGH}}\n";

#[tokio::test]
async fn tls_passes_through_by_its_server_name() {
    let (Some(curl), Some(openssl)) = (peers::program("curl"), peers::program("openssl")) else {
        return;
    };
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let path = folder.path().display();
    let mut servers = Vec::new();
    for name in ["a", "b"] {
        authority.sign(&folder, name, &format!("{name}.example"));
        let tls =
            format!("ssl_certificate {path}/{name}.crt; ssl_certificate_key {path}/{name}.key;");
        match WebServer::nginx("ssl http2", &tls) {
            Some(server) => servers.push(server),
            None => return,
        }
    }
    let dalbi = Connections {
        secure: PASSTHROUGH,
        rules: "  tls:\n  - match: [{port: 8443, sniHosts: [a.example]}]\n    \
                route: [{destination: {host: a.internal}}]\n  \
                - match: [{port: 8443, sniHosts: [b.example]}]\n    \
                route: [{destination: {host: b.internal}}]\n",
        services: vec![
            ("a", vec![servers[0].address()]),
            ("b", vec![servers[1].address()]),
        ],
        ..Connections::default()
    }
    .serve_in(&folder, &[]);
    // Each is trusted only by its own name: the handshake is with the endpoint.
    for host in ["a.example", "b.example"] {
        let output = get(&curl, &dalbi, &folder, host).await;
        assert_eq!(output.as_deref(), Ok("200"), "{host}");
    }
    assert!(get(&curl, &dalbi, &folder, "c.example").await.is_err());

    let address = dalbi.address(8443).to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let ca = folder.path().join("ca.crt").display().to_string();
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-servername",
            "b.example",
            "-CAfile",
            &ca,
            version,
            "-verify_return_error",
            "-verify_hostname",
            "b.example",
        ];
        let output = peers::run(&openssl, &arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("Verify return code: 0 (ok)"),
            "{version}: {said}"
        );
    }
}

#[tokio::test]
async fn a_hello_must_come_in_time_and_be_one() {
    let upstream = echo("app:").await;
    let folder = Folder::new();
    let dalbi = Connections {
        secure: PASSTHROUGH,
        rules: "  tls:\n  - match: [{port: 8443, sniHosts: [a.example]}]\n    \
                route: [{destination: {host: app.internal}}]\n",
        services: vec![("app", vec![upstream.address()])],
        ..Connections::default()
    }
    .serve_in(&folder, &["--header-timeout", "300ms"]);
    // The beginning of a record that announces a hello of 16 MiB, and then as much as it takes.
    let endless = [&[22, 3, 1, 64, 0, 1, 255, 255, 255][..], &[0; 100_000]].concat();
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[22, 3, 1], &endless] {
        let mut client = Wire::connect(dalbi.address(8443)).await;
        client.send(bytes).await;
        in_time("the end", client.rest()).await;
    }
    assert_eq!(upstream.received().len(), 0);
}
