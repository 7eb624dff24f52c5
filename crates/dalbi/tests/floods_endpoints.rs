//! Endpoints that attack us: their own requests fail soon, and nothing else does.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameWire, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, PING, PRIORITY, PUSH_PROMISE, SETTINGS, field, frame, indexed_field,
    rst_stream, setting, window_update,
};
use support::http::{request, try_send};
use support::siege::Siege;
use support::wire::Wire;

/// How many requests each hostile endpoint gets, one after another.
const REQUESTS: usize = 5;

/// Asks the endpoint that `script` plays; returns the statuses, 0 for an answer that breaks off.
async fn ask<F, Fut>(what: &str, protocol: &'static str, arguments: &[&str], script: F) -> Vec<u16>
where
    F: Fn(usize, Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let siege = Siege::lay_with_endpoint(protocol, arguments, script).await;
    let address = siege.address();
    siege
        .during(what, async {
            let mut statuses = Vec::new();
            for _ in 0..REQUESTS {
                let answer = try_send(address, request("GET", "/hostile", &[])).await;
                statuses.push(answer.map_or(0, |answer| answer.status()));
            }
            statuses
        })
        .await
}

/// An HTTP/1.1 endpoint that sends `start` and then `more` again and again.
async fn ask_h1(what: &str, start: &'static str, more: String) -> Vec<u16> {
    ask(what, "HTTP", &[], move |_, mut wire: Wire| {
        let more = more.repeat(1 + 64 * 1024 / more.len());
        async move {
            wire.head().await;
            wire.send(start).await;
            // 64 MiB at most.
            for _ in 0..1_024 {
                if !wire.send(&more).await {
                    return;
                }
            }
        }
    })
    .await
}

/// An HTTP/2 endpoint that answers each request with `opening` and then `more` again and again.
async fn ask_h2(what: &str, opening: Vec<u8>, more: Vec<u8>) -> Vec<u16> {
    ask(what, "HTTP2", &[], move |_, wire: Wire| {
        let (opening, more) = (opening.clone(), more.repeat(1 + 64 * 1024 / more.len()));
        async move {
            let mut wire = FrameWire::accept(wire, &frame(SETTINGS, 0, 0, &[])).await;
            if wire.next_of(HEADERS).await.is_none() {
                return;
            }
            wire.send(&opening).await;
            for _ in 0..1_024 {
                if !wire.send(&more).await {
                    return;
                }
            }
        }
    })
    .await
}

/// HEADERS of an answer to the first request of a connection.
fn head(status: &str, flags: u8, more: &[u8]) -> Vec<u8> {
    let block = [&field(":status", status), more].concat();
    frame(HEADERS, flags, 1, &block)
}

fn all_failed(statuses: &[u16]) {
    assert!(
        statuses
            .iter()
            .all(|status| matches!(status, 0 | 502..=504)),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn http1_informational_answers_without_end() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
    assert_eq!(
        ask_h1("endless 103", "", hint.to_owned()).await,
        [502; REQUESTS]
    );
}

#[tokio::test]
async fn http1_heads_without_end() {
    let start = "HTTP/1.1 200 OK\r\n";
    assert_eq!(
        ask_h1("endless answer head", start, "x: y\r\n".to_owned()).await,
        [502; REQUESTS]
    );
    assert_eq!(
        ask_h1("endless answer field", start, "x".to_owned()).await,
        [502; REQUESTS]
    );
}

#[tokio::test]
async fn http1_trailers_without_end() {
    let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    all_failed(&ask_h1("endless answer trailers", start, "x: y\r\n".to_owned()).await);
}

#[tokio::test]
async fn http1_chunk_extensions_without_end() {
    let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
    all_failed(&ask_h1("endless answer chunk", start, "x".to_owned()).await);
}

#[tokio::test]
async fn http1_answers_that_nobody_asked_for() {
    // All but the first are thrown away with their connection: none may answer somebody else's request.
    let more = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison".to_owned();
    let start = "HTTP/1.1 203 Mine\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(
        ask_h1("unasked answers", start, more).await,
        [203; REQUESTS]
    );
}

#[tokio::test]
async fn http1_heads_that_trickle() {
    let statuses = ask(
        "trickled answer head",
        "HTTP",
        &["--max-header-bytes", "64KiB"],
        |_, mut wire: Wire| async move {
            wire.head().await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 0\r\n\r\n",
                "v".repeat(60_000)
            );
            for byte in head.as_bytes().chunks(1) {
                wire.send(byte).await;
            }
        },
    )
    .await;
    assert_eq!(statuses, [200; REQUESTS]);
}

#[tokio::test]
async fn http2_floods_before_an_answer() {
    let size = [
        &INITIAL_WINDOW_SIZE.to_be_bytes()[..],
        &1_000u32.to_be_bytes(),
    ]
    .concat();
    for (what, frame) in [
        ("PING by an endpoint", frame(PING, 0, 0, b"whatever")),
        ("SETTINGS by an endpoint", frame(SETTINGS, 0, 0, &size)),
        ("WINDOW_UPDATE by an endpoint", window_update(1, 1)),
        (
            "PRIORITY by an endpoint",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7]),
        ),
        (
            "unknown frames by an endpoint",
            frame(0xbe, 0, 1, b"grease"),
        ),
        (
            "GOAWAY by an endpoint",
            frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ),
        (
            "PUSH_PROMISE by an endpoint",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
        ),
        ("RST_STREAM by an endpoint", rst_stream(1)),
        ("103 by an endpoint", head("103", END_HEADERS, &[])),
    ] {
        all_failed(&ask_h2(what, Vec::new(), frame).await);
    }
}

#[tokio::test]
async fn http2_heads_without_end() {
    let large = field("x", &"y".repeat(16_000));
    for (what, fields) in [
        ("empty CONTINUATION by an endpoint", Vec::new()),
        ("large CONTINUATION by an endpoint", large),
    ] {
        let more = frame(CONTINUATION, 0, 1, &fields);
        all_failed(&ask_h2(what, head("200", 0, &[]), more).await);
    }
}

#[tokio::test]
async fn http2_heads_over_the_limits() {
    let ping = frame(PING, 0, 0, b"whatever");
    let many = field("x", "y").repeat(101);
    let bomb = [
        indexed_field("x", &"y".repeat(3_900)),
        [0xbe; 12_000].to_vec(),
    ]
    .concat();
    for (what, fields) in [("101 fields", many), ("HPACK bomb by an endpoint", bomb)] {
        let opening = head("200", END_HEADERS | END_STREAM, &fields);
        all_failed(&ask_h2(what, opening, ping.clone()).await);
    }
}

#[tokio::test]
async fn http2_floods_within_an_answer() {
    for (what, frame) in [
        ("empty DATA by an endpoint", frame(DATA, 0, 1, &[])),
        ("PING within an answer", frame(PING, 0, 0, b"whatever")),
    ] {
        all_failed(&ask_h2(what, head("200", END_HEADERS, &[]), frame).await);
    }
}

#[tokio::test]
async fn http2_endpoints_that_take_no_stream() {
    let arguments = ["--stream-idle-timeout", "300ms"];
    let statuses = ask(
        "no streams",
        "HTTP2",
        &arguments,
        |_, wire: Wire| async move {
            let opening = setting(MAX_CONCURRENT_STREAMS, 0);
            FrameWire::accept(wire, &opening).await.end().await;
        },
    )
    .await;
    all_failed(&statuses);
}

#[tokio::test]
async fn http2_endpoints_that_reset_every_request() {
    let statuses = ask("resets", "HTTP2", &[], |_, wire: Wire| async move {
        let mut wire = FrameWire::accept(wire, &frame(SETTINGS, 0, 0, &[])).await;
        while let Some((header, _)) = wire.next_of(HEADERS).await {
            wire.send(rst_stream(header.stream)).await;
        }
    })
    .await;
    assert_eq!(statuses, [503; REQUESTS]);
}
