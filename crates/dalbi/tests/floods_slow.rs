//! Clients that hold on to what they do not use: heads that never end, windows that never open.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::Write;
use std::net::TcpStream;

use support::frames::{
    CONTINUATION, END_STREAM, ENHANCE_YOUR_CALM, FrameWire, HEADERS, INITIAL_WINDOW_SIZE, PREFACE,
    RST_STREAM, field, frame, get, post, request, setting, stream, window_update,
};
use support::siege::Siege;
use support::until;
use support::wire::{Wire, in_time};

/// Times that a test can wait for, and that well-behaved clients never meet.
const SHORT: [&str; 6] = [
    "--header-timeout",
    "1s",
    "--idle-timeout",
    "1s",
    "--stream-idle-timeout",
    "1s",
];

/// Only the time for a head is short.
const SHORT_HEADS: [&str; 2] = ["--header-timeout", "300ms"];

#[tokio::test]
async fn a_preface_and_nothing_more() {
    let siege = Siege::lay(&SHORT).await;
    let address = siege.address();
    siege
        .during("silence", async {
            for begun in [PREFACE, &PREFACE[..10]] {
                let mut wire = Wire::connect(address).await;
                wire.send(begun).await;
                wire.rest().await;
            }
            FrameWire::connect(address, &[]).await.end().await
        })
        .await;
}

#[tokio::test]
async fn a_head_that_never_ends() {
    let opening = frame(HEADERS, END_STREAM, 3, &request("GET", "/slow"));
    let half = get(3, "/slow")[..20].to_vec();
    // Beside a request that goes on, too: its stream does not keep the connection from being judged.
    for (what, before, unfinished) in [
        ("HEADERS without an end", Vec::new(), opening.clone()),
        ("half a HEADERS frame", Vec::new(), half),
        (
            "HEADERS without an end beside a request",
            post(1, "/held"),
            opening,
        ),
    ] {
        let siege = Siege::lay(&SHORT_HEADS).await;
        let address = siege.address();
        let goaway = siege
            .during(what, async {
                let opening = [before, unfinished].concat();
                FrameWire::connect(address, &opening).await.end().await
            })
            .await;
        assert_eq!(goaway, Some(ENHANCE_YOUR_CALM), "{what}");
    }
}

#[tokio::test]
async fn a_head_that_trickles() {
    let siege = Siege::lay(&SHORT_HEADS).await;
    let address = siege.address();
    siege
        .during("trickling CONTINUATION", async {
            let opening = frame(HEADERS, END_STREAM, 1, &request("GET", "/slow"));
            let mut client = FrameWire::connect(address, &opening).await;
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
            let drop = field("a", "b");
            // Ends because the connection does.
            while client.send(frame(CONTINUATION, 0, 1, &drop[..1])).await {
                ticks.tick().await;
            }
        })
        .await;
}

#[tokio::test]
async fn windows_that_never_open() {
    ask_with_zero_windows("zero windows", "/large/500000").await;
}

#[tokio::test]
async fn a_window_that_never_opens_for_our_own_answer() {
    ask_with_zero_windows("zero windows before a direct answer", "/direct").await;
}

async fn ask_with_zero_windows(what: &str, path: &str) {
    let siege = Siege::lay(&SHORT).await;
    let address = siege.address();
    siege
        .during(what, async {
            let mut opening = setting(INITIAL_WINDOW_SIZE, 0);
            opening.extend((0..100).flat_map(|number| get(stream(number), path)));
            let mut client = FrameWire::connect(address, &opening).await;
            for _ in 0..100 {
                client
                    .next_of(RST_STREAM)
                    .await
                    .expect("every stream is given up");
            }
        })
        .await;
}

#[tokio::test]
async fn a_window_that_opens_byte_by_byte() {
    let siege = Siege::lay(&[]).await;
    let mut opening = setting(INITIAL_WINDOW_SIZE, 0);
    opening.extend(get(1, "/large/500000"));
    let batch = window_update(1, 1).repeat(500);
    siege
        .flood("windows of a byte", opening, move |_| batch.clone())
        .await;
}

#[tokio::test]
async fn answers_that_are_asked_for_and_not_read() {
    let siege = Siege::lay(&SHORT).await;
    let (address, descriptors) = (siege.address(), siege.descriptors());
    let before = descriptors();
    siege
        .during("unread answers", async {
            let mut opening = setting(INITIAL_WINDOW_SIZE, 0x7fff_ffff);
            opening.extend(window_update(0, 0x7fff_0000));
            opening.extend((0..100).flat_map(|number| get(stream(number), "/large/500000")));
            let unread = FrameWire::connect(address, &opening).await;
            let mut wires = Vec::new();
            for _ in 0..20 {
                let mut wire = Wire::connect(address).await;
                wire.send("GET /large/16000000 HTTP/1.1\r\nhost: test\r\n\r\n")
                    .await;
                wires.push(wire);
            }
            until("all have begun", async || descriptors() > before + 100).await;
            until("all are given up", async || descriptors() < before + 10).await;
            drop((unread, wires));
        })
        .await;
}

#[tokio::test]
async fn heads_that_trickle_over_http1() {
    let siege = Siege::lay(&["--max-header-bytes", "64KiB"]).await;
    let address = siege.address();
    siege
        .during("trickled HTTP/1.1 heads", async {
            let attack = move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                for _ in 0..3 {
                    let value = "v".repeat(60_000);
                    let head =
                        format!("GET /slow HTTP/1.1\r\nhost: test\r\nx-long: {value}\r\n\r\n");
                    for byte in head.as_bytes().chunks(1) {
                        stream.write_all(byte).unwrap();
                    }
                }
                stream
            };
            let stream = tokio::task::spawn_blocking(attack).await.unwrap();
            drop(stream);
        })
        .await;
}

#[tokio::test]
async fn an_http1_head_that_never_ends_is_told_so() {
    let siege = Siege::lay(&SHORT_HEADS).await;
    let address = siege.address();
    siege
        .during("unfinished HTTP/1.1 head", async {
            let mut wire = Wire::connect(address).await;
            wire.send("GET / HTTP/1.1\r\nhost: test\r\n").await;
            let answer = wire.answer().await.unwrap();
            assert_eq!(
                (answer.status(), answer.header("connection")),
                (408, "close")
            );
            assert!(in_time("the end", wire.is_closed()).await);
        })
        .await;
}
