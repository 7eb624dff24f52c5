//! Requests held up, failed and answered across origins, as `VirtualService` asks.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::{Duration, Instant};

use support::http::{self, request};
use support::wire::{Wire, WireUpstream};
use support::{Dalbi, Folder, Site};

const OK: &str =
    "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://own\r\ncontent-length: 2\r\n\r\nok";

/// A site whose route has these fields, and its endpoint.
async fn site(rule: &str) -> (WireUpstream, Dalbi, Folder) {
    let upstream = WireUpstream::answering(OK).await;
    let (dalbi, folder) = Site::to(&[upstream.address()]).rule(rule).serve(&[]);
    (upstream, dalbi, folder)
}

#[tokio::test]
async fn a_fault_fails_a_request_without_its_endpoint() {
    let rule = "fault: {abort: {percentage: {value: 100}, httpStatus: 418}}";
    let (upstream, dalbi, _folder) = site(rule).await;
    for h2 in [false, true] {
        let request = request("GET", "/", &[]);
        let answer = match h2 {
            false => http::send(dalbi.address(8080), request).await,
            true => http::send_h2(dalbi.address(8080), request).await,
        };
        assert_eq!(
            (answer.status(), answer.text()),
            (418, "fault filter abort")
        );
        assert_eq!(answer.header("x-dalbi-response-flags"), "FI");
    }
    assert_eq!(upstream.received().len(), 0);
    let metrics = support::metrics(&dalbi).await;
    assert!(
        metrics.contains("dalbi_faults_injected_total{kind=\"abort\"} 2\n"),
        "{metrics}"
    );
    assert!(metrics.contains("response_flags=\"FI\"} 2\n"), "{metrics}");
    // It counts for the service that it was meant for.
    assert!(metrics.contains("destination_service=\"app.internal\""));
}

#[tokio::test]
async fn grpc_clients_read_a_fault_in_their_own_terms() {
    let rule = "fault: {abort: {percentage: {value: 100}, grpcStatus: UNAVAILABLE}}";
    let (_upstream, dalbi, _folder) = site(rule).await;
    let call = request("POST", "/a.B/C", &[("content-type", "application/grpc")]);
    let answer = http::send_h2(dalbi.address(8080), call).await;
    assert_eq!((answer.status(), answer.header("grpc-status")), (200, "14"));
    assert_eq!(answer.header("grpc-message"), "fault filter abort");
}

#[tokio::test]
async fn a_delay_comes_before_the_timeout() {
    let rule = "timeout: 250ms, fault: {delay: {percentage: {value: 100}, fixedDelay: 600ms}}";
    let (upstream, dalbi, _folder) = site(rule).await;
    for h2 in [false, true] {
        let began = Instant::now();
        let request = request("GET", "/", &[]);
        let answer = match h2 {
            false => http::send(dalbi.address(8080), request).await,
            true => http::send_h2(dalbi.address(8080), request).await,
        };
        assert_eq!((answer.status(), answer.text()), (200, "ok"));
        assert_eq!(answer.header("x-dalbi-response-flags"), "DI");
        assert!(began.elapsed() >= Duration::from_millis(600));
    }
    assert_eq!(upstream.requests("GET / "), 2);
}

#[tokio::test]
async fn a_client_may_give_up_while_it_is_held() {
    let rule = "fault: {delay: {percentage: {value: 100}, fixedDelay: 1h}}";
    let (_upstream, dalbi, _folder) = site(rule).await;
    let broken = tokio::time::timeout(
        Duration::from_millis(300),
        http::send_h2(dalbi.address(8080), request("GET", "/", &[])),
    );
    assert!(broken.await.is_err(), "an hour has not passed");
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.reset();
    support::until("both are counted", async || {
        let metrics = support::metrics(&dalbi).await;
        metrics.contains("response_flags=\"DC,DI\"} 2\n")
    })
    .await;
}

#[tokio::test]
async fn a_share_of_requests_fails() {
    let rule = "fault: {abort: {percentage: {value: 30}, httpStatus: 500}}";
    let (_upstream, dalbi, _folder) = site(rule).await;
    let mut client = Wire::connect(dalbi.address(8080)).await;
    let mut failed = 0;
    for _ in 0..1000 {
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
        failed += usize::from(client.answer().await.unwrap().status() == 500);
    }
    // Five standard deviations each way.
    assert!((228..373).contains(&failed), "{failed}");
}

const CORS: &str = "corsPolicy: {allowOrigins: [{exact: 'https://app.example'}, {regex: 'https://.*[.]dev'}], \
                    allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 1h, \
                    allowCredentials: true";

#[tokio::test]
async fn preflights_are_answered_for_those_who_may() {
    let (upstream, dalbi, _folder) = site(&format!("{CORS}}}")).await;
    let preflight = |origin| {
        let fields = [("origin", origin), ("access-control-request-method", "PUT")];
        request("OPTIONS", "/", &fields)
    };
    for origin in ["https://app.example", "https://a.dev"] {
        for h2 in [false, true] {
            let answer = match h2 {
                false => http::send(dalbi.address(8080), preflight(origin)).await,
                true => http::send_h2(dalbi.address(8080), preflight(origin)).await,
            };
            assert_eq!((answer.status(), answer.text()), (200, ""));
            for (name, value) in [
                ("access-control-allow-origin", origin),
                ("access-control-allow-methods", "GET,PUT"),
                ("access-control-allow-headers", "x-a"),
                ("access-control-expose-headers", "x-b"),
                ("access-control-max-age", "3600"),
                ("access-control-allow-credentials", "true"),
            ] {
                assert_eq!(answer.header(name), value, "{name}");
            }
        }
    }
    assert_eq!(upstream.received().len(), 0);
    // Others' go on to the endpoint, as Istio has it unless told otherwise.
    let answer = http::send(dalbi.address(8080), preflight("https://evil.example")).await;
    assert_eq!(answer.text(), "ok");
    assert_eq!(upstream.requests("OPTIONS / "), 1);
}

#[tokio::test]
async fn foreign_preflights_can_be_kept_from_the_endpoint() {
    let (upstream, dalbi, _folder) = site(&format!("{CORS}, unmatchedPreflights: IGNORE}}")).await;
    let fields = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "PUT"),
    ];
    let answer = http::send(dalbi.address(8080), request("OPTIONS", "/", &fields)).await;
    assert_eq!((answer.status(), answer.text()), (200, ""));
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(upstream.received().len(), 0);
}

#[tokio::test]
async fn an_allowed_origin_may_read_the_answer() {
    let (_upstream, dalbi, _folder) = site(&format!("{CORS}}}")).await;
    let of = |origin| request("GET", "/", &[("origin", origin)]);
    for h2 in [false, true] {
        let answer = match h2 {
            false => http::send(dalbi.address(8080), of("https://app.example")).await,
            true => http::send_h2(dalbi.address(8080), of("https://app.example")).await,
        };
        let origins = answer.head.headers.get_all("access-control-allow-origin");
        let origins: Vec<_> = origins.iter().collect();
        assert_eq!(origins, ["https://app.example"], "and not the endpoint's");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert_eq!(answer.header("access-control-expose-headers"), "x-b");
        assert_eq!(answer.header("vary"), "Origin");
    }
    let answer = http::send(dalbi.address(8080), of("https://evil.example")).await;
    let own = answer.header("access-control-allow-origin");
    assert_eq!(own, "https://own", "the endpoint's own word stands");
}
