//! The limits that a client meets, as flags.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use support::frames::{FrameWire, HEADERS, get, post};
use support::wire::{Wire, WireUpstream, in_time};
use support::{Dalbi, Folder, Site, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn serve(arguments: &[&str]) -> (Dalbi, Folder, WireUpstream) {
    let upstream = WireUpstream::answering(OK).await;
    let (dalbi, folder) = Site::to(&[upstream.address()]).serve(arguments);
    (dalbi, folder, upstream)
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let (dalbi, _folder, _upstream) = serve(&["--max-connections", "2"]).await;
    let address = dalbi.address(8080);
    let mut first = Wire::connect(address).await;
    let mut second = FrameWire::connect(address, &get(1, "/")).await;
    first.send(GET).await;
    assert_eq!(first.answer().await.unwrap().status(), 200);
    second.next_of(HEADERS).await.expect("an answer");
    for _ in 0..20 {
        let mut third = Wire::connect(address).await;
        third.send(GET).await;
        assert!(
            third.answer().await.is_none(),
            "a third connection is served"
        );
    }
    dalbi.process.log_line("the limit", |line| {
        line.contains("--max-connections").then_some(())
    });
    // Those that are served do not suffer, and a place that is given back can be taken.
    first.send(GET).await;
    assert_eq!(first.answer().await.unwrap().status(), 200);
    drop(second);
    until("a place is free", async || {
        let mut third = Wire::connect(address).await;
        third.send(GET).await;
        third.answer().await.is_some()
    })
    .await;
    let told = dalbi.process.stderr().matches("--max-connections").count();
    assert!(told < 20, "{told} lines in the log");
}

#[tokio::test]
async fn heads_are_timed() {
    let (dalbi, _folder, _upstream) = serve(&["--header-timeout", "200ms"]).await;
    let mut wire = Wire::connect(dalbi.address(8080)).await;
    // A second request on the connection as well as a first.
    wire.send(GET).await;
    assert_eq!(wire.answer().await.unwrap().status(), 200);
    wire.send(&GET[..20]).await;
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status(), answer.flags()), (408, "DPE"));
    assert!(in_time("the end", wire.is_closed()).await);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let (dalbi, _folder, _upstream) = serve(&["--idle-timeout", "200ms"]).await;
    let address = dalbi.address(8080);
    let mut silent = Wire::connect(address).await;
    let mut kept = Wire::connect(address).await;
    kept.send(GET).await;
    assert_eq!(kept.answer().await.unwrap().status(), 200);
    let mut h2 = FrameWire::connect(address, &get(1, "/")).await;
    h2.next_of(HEADERS).await.expect("an answer");
    assert!(in_time("the end", silent.is_closed()).await);
    assert!(in_time("the end", kept.is_closed()).await);
    // Without an error: the client may open another.
    assert_eq!(in_time("the end", h2.end()).await, Some(0));
}

#[tokio::test]
async fn connections_at_work_are_not_idle() {
    // Held by its endpoint for longer than the idle timeout.
    let upstream = WireUpstream::start(|_, mut wire: Wire| async move {
        wire.head().await;
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(300));
        ticks.tick().await;
        ticks.tick().await;
        wire.send(OK).await;
        wire.rest().await;
    })
    .await;
    let arguments = ["--idle-timeout", "100ms", "--header-timeout", "100ms"];
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&arguments);
    let mut h1 = Wire::connect(dalbi.address(8080)).await;
    let mut h2 = FrameWire::connect(dalbi.address(8080), &get(1, "/")).await;
    h1.send(GET).await;
    assert_eq!(h1.answer().await.expect("an answer").status(), 200);
    h2.next_of(HEADERS).await.expect("an answer");
}

#[tokio::test]
async fn requests_that_stand_still_are_given_up() {
    let upstream = WireUpstream::start(|_, mut wire: Wire| async move {
        wire.rest().await;
    })
    .await;
    let (dalbi, _folder) =
        Site::to(&[upstream.address()]).serve(&["--stream-idle-timeout", "200ms"]);
    let mut wire = Wire::connect(dalbi.address(8080)).await;
    wire.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n12")
        .await;
    assert_eq!(wire.answer().await.expect("an answer").status(), 504);
    let mut h2 = FrameWire::connect(dalbi.address(8080), &post(1, "/")).await;
    h2.next_of(HEADERS).await.expect("an answer");
}
