//! Copies of requests: they arrive, and never matter to the request.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use support::http::{self, request, request_with_body};
use support::wire::{Wire, WireUpstream, in_time, within};
use support::{Dalbi, Folder, Site, Upstream, free_port, until};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Another service, with what else its documents say.
fn service(name: &str, protocol: &str, endpoint: SocketAddr, more: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
         hosts: [{name}.internal]\n  resolution: STATIC\n  location: MESH_INTERNAL\n  ports:\n  \
         - {{number: 80, name: main, protocol: {protocol}}}\n  endpoints:\n  \
         - {{address: {}, ports: {{main: {}}}}}\n{more}",
        endpoint.ip(),
        endpoint.port()
    )
}

/// A site whose requests are copied to services with these documents.
fn mirrored(site: &Site, services: &[String]) -> (Dalbi, Folder) {
    let folder = Folder::new();
    folder.write("copies.yaml", &services.concat());
    (site.serve_in(&folder, &["--workers", "1"]), folder)
}

async fn metric(dalbi: &Dalbi, line: &str) {
    until(line, async || {
        let metrics = support::metrics(dalbi).await;
        metrics.lines().any(|found| found == line)
    })
    .await;
}

const ONE: &str = "mirrors: [{destination: {host: copy.internal}}]";

#[tokio::test]
async fn every_version_is_copied_to_every_version() {
    for (own, copy) in [
        ("HTTP", "HTTP"),
        ("HTTP", "HTTP2"),
        ("HTTP2", "HTTP"),
        ("HTTP2", "HTTP2"),
    ] {
        let upstream = Upstream::start(&["--name", "own"]);
        let other = WireUpstream::answering(OK).await;
        let real = Upstream::start(&["--name", "copy"]);
        let endpoint = match copy {
            "HTTP" => other.address(),
            _ => real.address(),
        };
        let site = Site::to(&[upstream.address()]).protocol(own).rule(ONE);
        let (dalbi, _folder) = mirrored(&site, &[service("copy", copy, endpoint, "")]);
        let body = "b".repeat(200_000);
        for h2 in [false, true] {
            let fields = [("x-request-id", "the-one")];
            let request = request_with_body("POST", "/a?b=c", &fields, body.clone());
            let answer = match h2 {
                false => http::send(dalbi.address(8080), request).await,
                true => http::send_h2(dalbi.address(8080), request).await,
            };
            assert_eq!((answer.status(), answer.upstream()), (200, "own"));
        }
        metric(&dalbi, "dalbi_mirror_requests_total{result=\"answered\"} 2").await;
        if copy == "HTTP" {
            for received in other.received().join("").split("POST ").skip(1) {
                let (head, rest) = received.split_once("\r\n\r\n").unwrap();
                assert!(head.starts_with("/a?b=c HTTP/1.1"), "{head}");
                assert!(head.contains("host: test-shadow\r\n"), "{head}");
                assert!(head.contains("x-request-id: the-one\r\n"), "{head}");
                assert_eq!(rest.matches('b').count(), body.len());
            }
        }
    }
}

#[tokio::test]
async fn a_copy_has_the_requests_own_id() {
    let upstream = WireUpstream::answering(OK).await;
    let copies = [
        WireUpstream::answering(OK).await,
        WireUpstream::answering(OK).await,
    ];
    let rule = "mirrors: [{destination: {host: one.internal}}, {destination: {host: two.internal}}], \
                headers: {request: {set: {x-set: here}}}, rewrite: {uri: /new}";
    let services = [
        service("one", "HTTP", copies[0].address(), ""),
        service("two", "HTTP", copies[1].address(), ""),
    ];
    let (dalbi, _folder) = mirrored(&Site::to(&[upstream.address()]).rule(rule), &services);
    let answer = http::send(
        dalbi.address(8080),
        request("GET", "/", &[("host", "test:99")]),
    )
    .await;
    assert_eq!(answer.text(), "ok");
    metric(&dalbi, "dalbi_mirror_requests_total{result=\"answered\"} 2").await;
    let head = upstream.received().concat();
    for copy in copies {
        let expected = head.replace("host: test:99\r\n", "host: test-shadow:99\r\n");
        let mut expected: Vec<_> = expected.lines().map(str::to_ascii_lowercase).collect();
        let received = copy.received().concat();
        let mut received: Vec<_> = received.lines().map(str::to_ascii_lowercase).collect();
        expected.sort();
        received.sort();
        assert_eq!(received, expected);
    }
}

#[tokio::test]
async fn a_share_is_copied() {
    let upstream = WireUpstream::answering(OK).await;
    let copy = WireUpstream::answering(OK).await;
    let rule = "mirror: {host: copy.internal}, mirrorPercentage: {value: 20}";
    let services = [service("copy", "HTTP", copy.address(), "")];
    let (dalbi, _folder) = mirrored(&Site::to(&[upstream.address()]).rule(rule), &services);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    for _ in 0..1000 {
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().status(), 200);
    }
    // Five standard deviations each way.
    until("copies arrive", async || copy.requests("GET / ") > 136).await;
    assert!(copy.requests("GET / ") < 264);
}

#[tokio::test]
async fn endpoints_that_hang_refuse_or_fail_do_no_harm() {
    let upstream = WireUpstream::answering(OK).await;
    let hangs = WireUpstream::start(async |_, mut wire: Wire| while wire.more().await {}).await;
    let fails = WireUpstream::answering("nonsense\r\n\r\n").await;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let rule = "timeout: 2s, mirrors: [{destination: {host: hangs.internal}}, \
                {destination: {host: fails.internal}}, {destination: {host: nobody.internal}}, \
                {destination: {host: unknown.internal}}]";
    let services = [
        service("hangs", "HTTP", hangs.address(), ""),
        service("fails", "HTTP", fails.address(), ""),
        service("nobody", "HTTP", nobody, ""),
    ];
    let (dalbi, _folder) = mirrored(&Site::to(&[upstream.address()]).rule(rule), &services);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
        let answer = within(Duration::from_secs(1), "an answer", client.answer()).await;
        assert_eq!(answer.unwrap().status(), 200);
    }
    metric(&dalbi, "dalbi_mirror_requests_total{result=\"failed\"} 60").await;
    metric(
        &dalbi,
        "dalbi_mirror_dropped_total{reason=\"no_cluster\"} 20",
    )
    .await;
}

#[tokio::test]
async fn an_endpoint_that_takes_no_more_loses_its_copy() {
    const SIZE: usize = 32 << 20;
    let upstream = WireUpstream::answering(OK).await;
    // It reads nothing; the kernel takes a few MiB for it.
    let stuck = WireUpstream::start(async |_, wire: Wire| {
        std::future::pending::<()>().await;
        drop(wire);
    })
    .await;
    let services = [service("copy", "HTTP", stuck.address(), "")];
    let (dalbi, _folder) = mirrored(&Site::to(&[upstream.address()]).rule(ONE), &services);
    let post = request_with_body("POST", "/", &[], vec![b'x'; SIZE]);
    let answer = in_time("the request", http::send(dalbi.address(8080), post)).await;
    assert_eq!(answer.text(), "ok");
    metric(&dalbi, "dalbi_mirror_dropped_total{reason=\"slow\"} 1").await;
    let received: usize = upstream.received().iter().map(String::len).sum();
    assert!(received > SIZE);
}

#[tokio::test]
async fn circuit_breakers_hold_for_copies() {
    let upstream = WireUpstream::answering(OK).await;
    let hangs = WireUpstream::start(async |_, mut wire: Wire| while wire.more().await {}).await;
    let limit = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: copy}\n\
                 spec: {host: copy.internal, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2}}}}\n";
    let services = [service("copy", "HTTP", hangs.address(), limit)];
    let (dalbi, _folder) = mirrored(&Site::to(&[upstream.address()]).rule(ONE), &services);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    for _ in 0..10 {
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().status(), 200);
    }
    metric(&dalbi, "dalbi_mirror_dropped_total{reason=\"overflow\"} 8").await;
    assert_eq!(hangs.received().len(), 2);
}

#[tokio::test]
async fn a_request_that_breaks_off_breaks_its_copy_off() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| while wire.more().await {}).await;
    let copy = WireUpstream::start(async |_, mut wire: Wire| while wire.more().await {}).await;
    let services = [service("copy", "HTTP", copy.address(), "")];
    let (dalbi, _folder) = mirrored(&Site::to(&[upstream.address()]).rule(ONE), &services);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    let head = "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}4\r\nhalf\r\n")).await;
    until("half a copy", async || copy.requests("half") == 1).await;
    drop(client);
    metric(&dalbi, "dalbi_mirror_requests_total{result=\"failed\"} 1").await;
    assert!(!copy.received().concat().ends_with("0\r\n\r\n"));
}
