//! Clients that are slow, half gone, or up to no good.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use support::http::{self, request};
use support::wire::{Wire, WireUpstream, header};
use support::{Dalbi, Folder, Site, Upstream};

/// An endpoint that answers every request with its target, before which dalbi stands.
async fn echoing(arguments: &[&str]) -> (WireUpstream, Dalbi, Folder) {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        while let Some(head) = wire.head().await {
            wire.body(&head).await;
            let target = head.split(' ').nth(1).unwrap();
            let length = target.len();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{target}"
            ))
            .await;
        }
    })
    .await;
    let (dalbi, folder) = Site::to(&[upstream.address()]).serve(arguments);
    (upstream, dalbi, folder)
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_upstream, dalbi, _folder) = echoing(&[]).await;
    let mut client = Wire::connect(dalbi.address(8080)).await;
    let mut all = String::new();
    for number in 0..50 {
        let body = "x".repeat(number);
        all.push_str(&format!(
            "POST /{number} HTTP/1.1\r\nhost: test\r\ncontent-length: {number}\r\n\r\n{body}"
        ));
    }
    client.send(all).await;
    for number in 0..50 {
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.text(), format!("/{number}"));
    }
}

#[tokio::test]
async fn a_head_may_come_in_pieces_but_not_for_ever() {
    let (_upstream, dalbi, _folder) = echoing(&["--header-timeout", "300ms"]).await;
    let mut patient = Wire::connect(dalbi.address(8080)).await;
    for byte in b"GET /piecemeal HTTP/1.1\r\nhost: test\r\n\r\n" {
        patient.send([*byte]).await;
    }
    assert_eq!(patient.answer().await.unwrap().text(), "/piecemeal");

    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client.send("GET / HTTP/1.1\r\nhost: te").await;
        slow.push(client);
    }
    for _ in 0..50 {
        assert_eq!(http::get(dalbi.address(8080), "/").await.status(), 200);
    }
    for mut client in slow {
        assert_eq!(client.answer().await.unwrap().status(), 408);
        assert!(client.is_closed().await);
    }

    // The next request on a kept connection has the same time, from its first byte.
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send("GET /first HTTP/1.1\r\nhost: test\r\n\r\nG")
        .await;
    assert_eq!(client.answer().await.unwrap().text(), "/first");
    assert_eq!(client.answer().await.unwrap().status(), 408);
}

#[tokio::test]
async fn a_byte_now_and_then_does_not_buy_time() {
    let (_upstream, dalbi, _folder) = echoing(&["--header-timeout", "300ms"]).await;
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\n").await;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    let drip = async {
        loop {
            ticks.tick().await;
            if client.send("x-drip: 1\r\n").await {
                continue;
            }
            return;
        }
    };
    support::wire::in_time("being cut off", drip).await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_not() {
    let (_upstream, dalbi, _folder) = echoing(&["--idle-timeout", "300ms"]).await;
    let mut kept = Wire::connect(dalbi.address(8080)).await;
    kept.send("GET /a HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(kept.answer().await.unwrap().text(), "/a");
    let mut silent = Wire::connect(dalbi.address(8080)).await;
    assert!(silent.is_closed().await);
    assert!(kept.is_closed().await);

    let upstream = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&["--idle-timeout", "100ms"]);
    assert_eq!(
        http::get(dalbi.address(8080), "/?delay=500ms")
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_client_that_has_said_all_still_gets_its_answer() {
    let upstream = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    for request in [
        "GET /?delay=300ms HTTP/1.1\r\nhost: test\r\n\r\n",
        "POST /?delay=300ms HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello",
        "POST /?delay=300ms HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client.send(request).await;
        client.half_close().await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), 200, "{request}");
        assert!(client.is_closed().await, "there can be no further request");
    }
    // Both of two, and not the third, which is not whole.
    let mut client = Wire::connect(dalbi.address(8080)).await;
    let get = "GET /?delay=100ms HTTP/1.1\r\nhost: test\r\n\r\n";
    client
        .send(format!("{get}{get}GET /half HTTP/1.1\r\nho"))
        .await;
    client.half_close().await;
    assert_eq!(client.answer().await.unwrap().status(), 200);
    assert_eq!(client.answer().await.unwrap().status(), 200);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_request() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        let head = wire.head().await.unwrap();
        let whole = wire.body(&head).await.is_some();
        wire.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{whole:5}"
        ))
        .await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    for framing in [
        "content-length: 100\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "transfer-encoding: chunked\r\n\r\n64\r\nhalf",
    ] {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client
            .send(format!("POST /half HTTP/1.1\r\nhost: test\r\n{framing}"))
            .await;
        client.half_close().await;
        let answer = client.answer().await;
        assert!(
            answer.is_none_or(|answer| answer.status() >= 400),
            "{framing}"
        );
    }
    for received in upstream.received() {
        assert!(!received.ends_with("0\r\n\r\n"), "{received}");
    }
}

/// Requests that two servers could read differently, or that name no host as they should. None may get
/// through, not even in part, nor what follows it on the connection.
const SMUGGLING: &[&str] = &[
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 5, 0\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: +5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 0x5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 18446744073709551621\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length : 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: identity\r\n\r\n",
    "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding\x0b: chunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.0\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: test\r\nx: 1\r\n folded: 2\r\n\r\n",
    "GET /a HTTP/1.1\r\n x: 1\r\nhost: test\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: test\r\nx: a\rb\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: test\r\nx: a\0b\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: test\r\nx y: 1\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: test\r\n: 1\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: test\r\nno-colon\r\n\r\n",
    "GET /a HTTP/1.1\nhost: test\n\n",
    "GET /a b HTTP/1.1\r\nhost: test\r\n\r\n",
    "GET  /a HTTP/1.1\r\nhost: test\r\n\r\n",
    "GET\t/a HTTP/1.1\r\nhost: test\r\n\r\n",
    "GET /a HTTP/1.2.3\r\nhost: test\r\n\r\n",
    "GET /a HTTP/2.0\r\nhost: test\r\n\r\n",
    "GET /a\r\n\r\n",
    "G\0T /a HTTP/1.1\r\nhost: test\r\n\r\n",
    // Host missing, doubled, malformed, or not the target's.
    "GET /a HTTP/1.1\r\nx: 1\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: a b\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: u@a\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: a:port\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: a, b\r\n\r\n",
    "GET /a HTTP/1.1\r\nhost: \r\n\r\n",
    "GET http:///a HTTP/1.1\r\nhost: test\r\n\r\n",
    "GET //a@b HTTP/1.1\r\nhost: [::1\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
];

#[tokio::test]
async fn nothing_is_smuggled_to_an_endpoint() {
    let (upstream, dalbi, _folder) = echoing(&[]).await;
    for attempt in SMUGGLING {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client
            .send(format!(
                "{attempt}GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        let status = answer.as_ref().map(support::wire::WireAnswer::status);
        assert!(
            matches!(status, Some(400 | 405 | 501 | 505)),
            "{attempt:?}: {answer:?}"
        );
        assert!(client.is_closed().await, "{attempt:?}");
    }
    assert_eq!(upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_is_framed_wrong_does_not_end_a_request() {
    let (upstream, dalbi, _folder) = echoing(&[]).await;
    let framed = [
        "G\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
    ];
    for body in framed {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client
            .send(format!(
                "POST /b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n{body}\
                 GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert!(
            answer.as_ref().is_none_or(|answer| answer.status() >= 400),
            "{body:?}: {answer:?}"
        );
        assert!(client.is_closed().await, "{body:?}");
    }
    // The head may have gone out before the body was seen to be wrong, its end never.
    for received in upstream.received() {
        assert!(!received.contains("smuggled"), "{received}");
        assert!(!received.ends_with("0\r\n\r\n"), "{received}");
    }
}

#[tokio::test]
async fn heads_have_bounds() {
    let (upstream, dalbi, _folder) =
        echoing(&["--max-header-bytes", "4KiB", "--max-headers", "20"]).await;
    let long_field = format!(
        "GET /a HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n",
        "y".repeat(5000)
    );
    let long_target = format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "y".repeat(5000));
    let many = format!(
        "GET /a HTTP/1.1\r\nhost: test\r\n{}\r\n",
        "x: 1\r\n".repeat(20)
    );
    let endless = format!(
        "GET /a HTTP/1.1\r\nhost: test\r\nx: {}",
        "y".repeat(100_000)
    );
    for head in [long_field, long_target, many, endless] {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client.send(&head).await;
        let answer = client.answer().await.unwrap();
        assert!(matches!(answer.status(), 414 | 431), "{}", answer.head);
        assert!(client.is_closed().await);
    }
    assert_eq!(upstream.received(), Vec::<String>::new());
    let enough = format!(
        "GET /a HTTP/1.1\r\nhost: test\r\n{}\r\n",
        "x: 1\r\n".repeat(19)
    );
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client.send(enough).await;
    assert_eq!(client.answer().await.unwrap().text(), "/a");
}

#[tokio::test]
async fn connections_have_a_bound() {
    let (_upstream, dalbi, _folder) = echoing(&["--max-connections", "10"]).await;
    let mut first = Vec::new();
    for _ in 0..10 {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client.send("GET /in HTTP/1.1\r\nhost: test\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().text(), "/in");
        first.push(client);
    }
    assert!(Wire::connect(dalbi.address(8080)).await.is_closed().await);
    drop(first.pop());
    support::until("there is room again", async || {
        http::try_send(dalbi.address(8080), request("GET", "/", &[]))
            .await
            .is_ok()
    })
    .await;
    for client in &mut first {
        client
            .send("GET /still HTTP/1.1\r\nhost: test\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.unwrap().text(), "/still");
    }
}

#[tokio::test]
async fn h2c_is_not_upgraded_to() {
    let (upstream, dalbi, _folder) = echoing(&[]).await;
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send(
            "GET /plain HTTP/1.1\r\nhost: test\r\nconnection: Upgrade, HTTP2-Settings\r\n\
             upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.unwrap().text(), "/plain");
    let received = upstream.received().remove(0);
    for gone in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(header(&received, gone), None, "{received}");
    }
}

#[tokio::test]
async fn an_absolute_target_is_the_authority() {
    let (upstream, dalbi, _folder) = echoing(&[]).await;
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send("GET http://Real.example:80/path?q HTTP/1.1\r\nhost: Real.example:80\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().text(), "/path?q");
    let received = upstream.received().remove(0);
    assert!(
        received.starts_with("GET /path?q HTTP/1.1\r\n"),
        "{received}"
    );
    assert_eq!(
        header(&received, "host").map(str::to_lowercase).as_deref(),
        Some("real.example:80")
    );
}

#[tokio::test]
async fn a_client_that_goes_away_lets_the_endpoint_know() {
    // Over HTTP/2 a reset says so; the endpoint's connection is then closed, since its answer is not wanted.
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        wire.rest().await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let address = dalbi.address(8080);
    let call =
        tokio::spawn(async move { http::try_send_h2(address, request("GET", "/", &[])).await });
    support::until("it is held", async || upstream.requests("GET / ") == 1).await;
    call.abort();
    let in_flight = async || {
        let metrics = support::metrics(&dalbi).await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("dalbi_cluster_requests_in_flight"))
            .map(str::to_owned);
        line.unwrap()
    };
    support::until("it is no longer in flight", async || {
        in_flight().await.ends_with(" 0")
    })
    .await;
}
