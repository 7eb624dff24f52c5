//! Endpoints that break, hang, refuse or lie, and what clients are told.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::http::{self, Connection, request, request_with_body};
use support::wire::{Wire, WireAnswer, WireUpstream, in_time};
use support::{Dalbi, Site, Upstream, free_port};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Sends a request and reads one answer.
async fn ask(dalbi: &Dalbi, request: &str) -> WireAnswer {
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send(request).await;
    client.answer().await.expect("an answer")
}

async fn get(dalbi: &Dalbi) -> WireAnswer {
    ask(dalbi, "GET / HTTP/1.1\r\nhost: test\r\n\r\n").await
}

async fn post(dalbi: &Dalbi) -> WireAnswer {
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\n";
    ask(dalbi, &format!("{head}abc")).await
}

fn told(answer: &WireAnswer) -> (u16, &str) {
    (answer.status(), answer.flags())
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break() {
    for framing in [
        "content-length: 100\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n64\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ] {
        let upstream = WireUpstream::start(move |_, mut wire: Wire| async move {
            wire.head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
        })
        .await;
        let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.body(&head).await, None, "{framing}");

        let broken = http::try_send_h2(dalbi.address(8080), request("GET", "/", &[])).await;
        assert!(broken.is_err(), "{framing}: {broken:?}");
    }
}

#[tokio::test]
async fn an_endpoint_killed_while_it_answers() {
    let mut upstream = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send("GET /?size=1GiB HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    let head = client.head().await.unwrap();
    assert!(client.arrives().await);
    upstream.process.kill();
    assert_eq!(client.body(&head).await.map(|body| body.len()), None);
}

#[tokio::test]
async fn until_close_is_an_end_only_when_it_is_clean() {
    let upstream = WireUpstream::start(async |number, mut wire: Wire| {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\n\r\nall of it").await;
        if number > 0 {
            wire.reset();
        }
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    assert_eq!(get(&dalbi).await.text(), "all of it");
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    // The reset may overtake the head, too; then it is an error of its own.
    if let Some(head) = client.head().await
        && head.starts_with("HTTP/1.1 200 ")
    {
        assert_eq!(client.body(&head).await, None);
    }
}

#[tokio::test]
async fn a_reset_before_the_head_is_retried_only_where_it_is_safe() {
    let upstream = WireUpstream::start(async |number, mut wire: Wire| {
        let Some(head) = wire.head().await else {
            return;
        };
        wire.body(&head).await;
        if number % 2 == 0 {
            return wire.reset();
        }
        wire.send(OK).await;
        wire.rest().await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .policy("{connectionPool: {http: {maxRequestsPerConnection: 1}}}")
        .serve(&[]);
    assert_eq!(told(&get(&dalbi).await), (200, ""));
    assert_eq!(upstream.requests("GET / "), 2);
    // Its endpoint may have begun to work on it.
    assert_eq!(told(&post(&dalbi).await), (503, "UC"));
    assert_eq!(upstream.requests("POST / "), 1);
}

#[tokio::test]
async fn what_was_streamed_is_not_sent_again() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        wire.bytes(500_000).await;
        wire.reset();
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("retries: {attempts: 3, retryOn: '5xx,reset'}")
        .serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    // PUT is idempotent and the policy retries everything: only its size speaks against it.
    let body = vec![b'x'; 500_000];
    client
        .send("PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: 500000\r\n\r\n")
        .await;
    client.send(&body).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(told(&answer), (503, "UC"));
    assert_eq!(upstream.requests("PUT / "), 1);
}

#[tokio::test]
async fn small_bodies_are_sent_again_whole() {
    let upstream = WireUpstream::start(async |number, mut wire: Wire| {
        let head = wire.head().await.unwrap();
        wire.body(&head).await;
        if number < 2 {
            return wire.reset();
        }
        wire.send(OK).await;
        wire.rest().await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("retries: {attempts: 3, retryOn: '5xx,reset'}")
        .serve(&[]);
    let chunked = "PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    assert_eq!(told(&ask(&dalbi, chunked).await), (200, ""));
    for received in upstream.received() {
        let (_, body) = received.split_once("\r\n\r\n").unwrap();
        let letters: String = body.chars().filter(|c| c.is_alphabetic()).collect();
        assert_eq!(letters, "abcdef", "{received}");
    }
    assert_eq!(upstream.received().len(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_dies_loses_nothing() {
    // Answers one request, and closes when the next has come: what a keep-alive timeout looks like.
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        wire.send(OK).await;
        wire.head().await;
        wire.reset();
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("retries: {attempts: 0}")
        .serve(&["--workers", "1"]);
    let mut client = Connection::open(dalbi.address(8080)).await.unwrap();
    for turn in 0..20 {
        let answer = client.send(request("GET", "/", &[])).await.unwrap();
        assert_eq!(answer.status(), 200, "request {turn}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| drop(wire.rest().await)).await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("timeout: 0.2s")
        .serve(&[]);
    assert_eq!(told(&get(&dalbi).await), (504, "UT"));

    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("timeout: 20s, retries: {attempts: 2, perTryTimeout: 0.1s, retryOn: '5xx'}")
        .serve(&[]);
    let before = upstream.received().len();
    let answer = get(&dalbi).await;
    assert_eq!(told(&answer), (504, "UT,URX"));
    assert_eq!(
        upstream.received().len() - before,
        3,
        "one try and two more"
    );
}

#[tokio::test]
async fn a_head_in_time_and_a_body_that_is_not() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await;
        wire.rest().await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("timeout: 0.3s")
        .serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.body(&head).await, None);
}

#[tokio::test]
async fn nothing_moves_for_too_long() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| drop(wire.rest().await)).await;
    let (dalbi, _folder) =
        Site::to(&[upstream.address()]).serve(&["--stream-idle-timeout", "200ms"]);
    let answer = get(&dalbi).await;
    assert_eq!(answer.status(), 504, "{}", answer.head);
}

#[tokio::test]
async fn failures_say_which_kind() {
    let refused = Site::to(&[nobody()]);
    let (dalbi, _folder) = refused.serve(&[]);
    let answer = get(&dalbi).await;
    assert_eq!(told(&answer), (503, "UF,URX"));
    // Which server it was is nothing that a client should learn.
    assert_eq!(answer.text(), "upstream connect error\n");
    let (dalbi, _folder) = refused.rule("retries: {attempts: 0}").serve(&[]);
    assert_eq!(told(&get(&dalbi).await), (503, "UF"));
    assert_eq!(told(&post(&dalbi).await), (503, "UF"));

    let (dalbi, folder) = Site::to(&[]).serve(&[]);
    assert_eq!(told(&get(&dalbi).await), (503, "UH"));

    let elsewhere = Site::to(&[]).rule("match: [{uri: {exact: /here}}]");
    folder.write("site.yaml", &elsewhere.documents());
    support::until("only /here is routed", async || {
        get(&dalbi).await.status() == 404
    })
    .await;
    assert_eq!(told(&get(&dalbi).await), (404, "NR"));
}

#[tokio::test]
async fn an_endpoint_that_does_not_speak_http() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
    ] {
        let upstream = WireUpstream::answering(nonsense).await;
        let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
        assert_eq!(told(&get(&dalbi).await), (502, "UPE"), "{nonsense:?}");
    }
}

#[tokio::test]
async fn informational_answers_have_a_bound() {
    let upstream = WireUpstream::start(async |number, mut wire: Wire| {
        wire.head().await;
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
        if number == 0 {
            wire.send(hints.repeat(3) + OK).await;
            return;
        }
        while wire.send(hints.repeat(100)).await {}
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    for _ in 0..3 {
        let hint = client.head().await.unwrap();
        assert!(hint.starts_with("HTTP/1.1 103 "), "{hint}");
        assert!(hint.contains("link: </a.css>"), "{hint}");
    }
    assert_eq!(client.answer().await.unwrap().text(), "ok");
    assert_eq!(told(&get(&dalbi).await), (502, "UPE"));
    let h2 = in_time(
        "an answer",
        http::send_h2(dalbi.address(8080), request("GET", "/", &[])),
    )
    .await;
    assert_eq!(h2.status(), 502);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        wire.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno\n")
            .await;
        wire.rest().await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\nbegun")
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status(), answer.text()), (403, "no\n"));
    // Nothing of the rest may be taken for a request.
    client
        .send("GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    assert!(client.is_closed().await);
    assert_eq!(upstream.requests("GET /smuggled"), 0);

    // A client that writes a lot before it reads anything still gets to read.
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3000000\r\n\r\n")
        .await;
    client.send(vec![b'x'; 1_000_000]).await;
    assert_eq!(client.answer().await.unwrap().status(), 403);

    let body = vec![b'x'; 1_000_000];
    let h2 = request_with_body("POST", "/", &[], body);
    assert_eq!(http::send_h2(dalbi.address(8080), h2).await.status(), 403);
}

/// An endpoint that holds every request until it is let go.
async fn holding() -> (WireUpstream, Arc<tokio::sync::Semaphore>) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let upstream = WireUpstream::start(move |_, mut wire: Wire| {
        let gate = gate.clone();
        async move {
            while wire.head().await.is_some() {
                gate.acquire().await.unwrap().forget();
                wire.send(OK).await;
            }
        }
    })
    .await;
    (upstream, opened)
}

#[tokio::test]
async fn circuit_breakers_open() {
    let (upstream, gate) = holding().await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .policy("{connectionPool: {http: {http2MaxRequests: 1}}}")
        .serve(&[]);
    let mut first = Wire::connect(dalbi.address(8080)).await;
    first.send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n").await;
    support::until("it is held", async || upstream.requests("/held") == 1).await;
    assert_eq!(told(&get(&dalbi).await), (503, "UO"));
    gate.add_permits(100);
    assert_eq!(first.answer().await.unwrap().text(), "ok");
    // The place is given back once the answer is sent, on a worker that may have to wait for a core.
    support::until("there is room again", async || {
        told(&get(&dalbi).await) == (200, "")
    })
    .await;

    // One connection, and one request that may wait for it: the third is too many.
    let (upstream, gate) = holding().await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .policy("{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}")
        .serve(&["--workers", "1"]);
    let mut first = Wire::connect(dalbi.address(8080)).await;
    first.send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n").await;
    support::until("it is held", async || upstream.requests("/held") == 1).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client
            .send("GET /waits HTTP/1.1\r\nhost: test\r\n\r\n")
            .await;
        others.push(client);
    }
    let [one, two] = others.try_into().unwrap_or_else(|_| unreachable!());
    let answered = Arc::new(AtomicUsize::new(0));
    let wait = |mut client: Wire| {
        let (answered, gate) = (answered.clone(), gate.clone());
        async move {
            let answer = client.answer().await.unwrap();
            if answered.fetch_add(1, Ordering::Relaxed) == 0 {
                assert_eq!(told(&answer), (503, "UO"), "the one that was too many");
                gate.add_permits(100);
            } else {
                assert_eq!(told(&answer), (200, ""));
            }
        }
    };
    in_time("all answers", async { tokio::join!(wait(one), wait(two)) }).await;
    assert_eq!(first.answer().await.unwrap().text(), "ok");
    assert_eq!(upstream.received().len(), 1, "connections");
}

#[tokio::test]
async fn a_sick_endpoint_is_left_out_until_it_is_well() {
    let apps = ["sick", "well"].map(|name| Upstream::start(&["--name", name]));
    let (dalbi, _folder) = Site::to(&[apps[0].address(), apps[1].address()])
        .policy("{loadBalancer: {simple: ROUND_ROBIN}}")
        .health_check("interval: 0.05s, timeout: 5s, healthyThreshold: 1, unhealthyThreshold: 1")
        .serve(&[]);
    let in_ten = async |name: &str| {
        let mut count = 0;
        for _ in 0..10 {
            let answer = http::get(dalbi.address(8080), "/").await;
            assert_eq!(answer.status(), 200);
            count += usize::from(answer.upstream() == name);
        }
        count
    };
    assert!(in_ten("sick").await > 0);
    let switch = async |healthy: bool| {
        let path = format!("/healthz?healthy={healthy}");
        http::send(apps[0].address(), request("POST", &path, &[])).await;
    };
    switch(false).await;
    support::until("it is left out", async || in_ten("sick").await == 0).await;
    assert_eq!(in_ten("sick").await, 0, "it stays out");
    switch(true).await;
    support::until("it is back", async || in_ten("sick").await > 0).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_is_ejected_for_a_while() {
    let bad = Upstream::start(&["--name", "bad", "--error-rate", "1:500"]);
    let good = Upstream::start(&["--name", "good"]);
    let (dalbi, _folder) = Site::to(&[bad.address(), good.address()])
        .policy(
            "{loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3, \
             interval: 0.2s, baseEjectionTime: 1s, maxEjectionPercent: 100}}",
        )
        .serve(&[]);
    let mut failures = 0;
    for _ in 0..60 {
        failures += usize::from(http::get(dalbi.address(8080), "/").await.status() == 500);
    }
    assert!((3..20).contains(&failures), "{failures} of 60 failed");
    let ejected = async || {
        let clusters = http::get(dalbi.admin(), "/clusters").await;
        clusters.text().contains("ejected")
    };
    assert!(ejected().await);
    support::until("its time is up", async || !ejected().await).await;
}

#[tokio::test]
async fn one_of_two_that_is_down_costs_no_request() {
    let app = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[nobody(), app.address()])
        .policy("{loadBalancer: {simple: ROUND_ROBIN}}")
        .serve(&[]);
    for _ in 0..50 {
        assert_eq!(told(&get(&dalbi).await), (200, ""));
        // Nothing was sent, so even a POST is safe.
        assert_eq!(told(&post(&dalbi).await), (200, ""));
    }
}

#[tokio::test]
async fn answers_can_be_retried_too() {
    let failing = WireUpstream::start(async |number, mut wire: Wire| {
        while wire.head().await.is_some() {
            let status = if number == 0 { "503 No" } else { "200 OK" };
            wire.send(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok"))
                .await;
            if number == 0 {
                return;
            }
        }
    })
    .await;
    let (dalbi, _folder) = Site::to(&[failing.address()])
        .rule("retries: {attempts: 1, retryOn: gateway-error}")
        .serve(&["--workers", "1"]);
    assert_eq!(told(&get(&dalbi).await), (200, ""));
    let always = WireUpstream::answering("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno").await;
    let (dalbi, _folder) = Site::to(&[always.address()])
        .rule("retries: {attempts: 2, retryOn: gateway-error}")
        .serve(&[]);
    let answer = get(&dalbi).await;
    assert_eq!((told(&answer), answer.text()), ((503, "URX"), "no"));
    assert_eq!(always.requests("GET / "), 3);
}
