//! Heads that are too large, or that are small to send and large to hold.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use support::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FrameWire, HEADERS, field, frame,
    indexed_field, request, stream,
};
use support::siege::Siege;
use support::wire::{Wire, in_time};

/// The first entry of HPACK's dynamic table, in one byte.
const NEWEST: u8 = 0x80 | 62;

/// Nearly as large as the dynamic table, 4,096 bytes.
const ENTRY_BYTES: usize = 3_900;

/// A GET whose fields come from a header block.
fn get_with(id: u32, fields: &[u8]) -> Vec<u8> {
    let block = [&request("GET", "/flood"), fields].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, id, &block)
}

/// A GET that puts a large field into the dynamic table.
fn loads_the_table(id: u32) -> Vec<u8> {
    get_with(id, &indexed_field("x-bomb", &"b".repeat(ENTRY_BYTES)))
}

#[tokio::test]
async fn a_connection_outlives_a_head_that_is_refused() {
    let siege = Siege::lay(&["--max-header-bytes", "4KiB", "--max-headers", "20"]).await;
    let (address, upstream) = (siege.address(), siege.upstream());
    siege
        .during("refused heads", async {
            let stream = TcpStream::connect(address).await.unwrap();
            let executor = TokioExecutor::new();
            let (mut sender, connection) = http2::handshake(executor, TokioIo::new(stream))
                .await
                .unwrap();
            tokio::spawn(connection);
            for (count, length, status) in
                [(1, 10, 200), (1, 5_000, 431), (21, 1, 431), (15, 100, 200)]
            {
                let mut request = Request::get(format!("http://test/head/{status}"));
                for number in 0..count {
                    request = request.header(format!("x-{number}"), "v".repeat(length));
                }
                let request = request.body(Full::<Bytes>::default()).unwrap();
                let answer = in_time("an answer", sender.send_request(request))
                    .await
                    .unwrap();
                assert_eq!(answer.status(), status, "{count} fields of {length} bytes");
                answer.into_body().collect().await.unwrap();
                let head = format!("GET /head/{status} HTTP/1.1\r\nhost: test\r\n");
                let fields: String = (0..count)
                    .map(|number| format!("x-{number}: {}\r\n", "v".repeat(length)))
                    .collect();
                let mut wire = Wire::connect(address).await;
                wire.send(format!("{head}{fields}\r\n")).await;
                let answer = wire.answer().await.unwrap();
                assert_eq!(answer.status(), status, "{count} fields of {length} bytes");
                if status == 431 {
                    assert_eq!(
                        (answer.header("connection"), answer.flags()),
                        ("close", "DPE")
                    );
                    assert!(wire.is_closed().await);
                }
            }
        })
        .await;
    assert_eq!(upstream.requests("/head/200"), 4);
    assert_eq!(upstream.requests("/head/431"), 0);
}

#[tokio::test]
async fn a_head_many_times_too_large() {
    let siege = Siege::lay(&[]).await;
    let cut = siege
        .flood("header list far over the limit", Vec::new(), |number| {
            let large = field("x-large", &"l".repeat(16_000));
            match number {
                0 => frame(HEADERS, END_STREAM, 1, &request("GET", "/flood")),
                _ => frame(CONTINUATION, 0, 1, &large),
            }
        })
        .await;
    assert!(
        matches!(cut.goaway, Some(ENHANCE_YOUR_CALM) | None),
        "{cut:?}"
    );
}

#[tokio::test]
async fn an_hpack_bomb() {
    let siege = Siege::lay(&[]).await;
    let (address, upstream) = (siege.address(), siege.upstream());
    let goaway = siege
        .during("HPACK bomb", async {
            let mut client = FrameWire::connect(address, &loads_the_table(1)).await;
            client.next_of(HEADERS).await.expect("an answer");
            // 60 MiB of fields in 16 KiB.
            client.send(get_with(3, &[NEWEST; 16_000])).await;
            client.end().await
        })
        .await;
    assert_eq!(goaway, Some(ENHANCE_YOUR_CALM));
    assert_eq!(upstream.requests("/flood"), 1);
}

#[tokio::test]
async fn hpack_bombs_that_are_refused_one_by_one() {
    let siege = Siege::lay(&[]).await;
    let upstream = siege.upstream();
    // Each is four times the limit, which h2 still answers with 431.
    let references = [NEWEST; 32];
    siege
        .flood("small HPACK bombs", loads_the_table(1), move |number| {
            let streams = (1..=50).map(|one| stream(number * 50 + one));
            streams.flat_map(|id| get_with(id, &references)).collect()
        })
        .await;
    assert!(upstream.requests("/flood") <= 1);
}

#[tokio::test]
async fn an_hpack_table_that_changes_all_the_time() {
    let siege = Siege::lay(&[]).await;
    // Each field drives another out of the table; too many fields to be passed on.
    let fields = indexed_field("x-a", &"a".repeat(20)).repeat(500);
    let upstream = siege.upstream();
    siege
        .flood("HPACK table churn", Vec::new(), move |number| {
            let streams = (0..10).map(|one| stream(number * 10 + one));
            streams.flat_map(|id| get_with(id, &fields)).collect()
        })
        .await;
    assert_eq!(upstream.requests("/flood"), 0);
}

#[tokio::test]
async fn an_hpack_table_that_is_resized_all_the_time() {
    let siege = Siege::lay(&[]).await;
    // To 0 and to 4,096 and so on.
    let resizes = [0x20, 0x3f, 0xe1, 0x1f].repeat(3_000);
    let block = [resizes, request("GET", "/flood")].concat();
    let address = siege.address();
    siege
        .during("HPACK table resizes", async {
            // Legal, so it is only to be cheap.
            let mut client = FrameWire::connect(address, &[]).await;
            for number in 0..500 {
                let flags = END_HEADERS | END_STREAM;
                client
                    .send(frame(HEADERS, flags, stream(number), &block))
                    .await;
                client.next_of(HEADERS).await.expect("an answer");
            }
        })
        .await;
}

#[tokio::test]
async fn cookies_in_crumbs() {
    let siege = Siege::lay(&[]).await;
    let crumbs = field("cookie", "a=b").repeat(500);
    let upstream = siege.upstream();
    siege
        .flood("cookie crumbs", Vec::new(), move |number| {
            let streams = (0..10).map(|one| stream(number * 10 + one));
            streams.flat_map(|id| get_with(id, &crumbs)).collect()
        })
        .await;
    assert_eq!(upstream.requests("/flood"), 0);
}
