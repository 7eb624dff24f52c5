//! The HTTP/1.1 counterparts: much framing for little content.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use support::PATIENCE;
use support::siege::Siege;

const CHUNKED: &str = "POST /flood HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";

/// Sends bytes from a thread of its own, ends the sending direction if `ends`, and returns all that comes
/// back, or what came before a reset.
async fn send(address: SocketAddr, bytes: Vec<u8>, ends: bool) -> String {
    let sending = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut back = stream.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let (mut all, mut piece) = (Vec::new(), [0; 64 * 1024]);
            loop {
                match back.read(&mut piece) {
                    Ok(count @ 1..) => all.extend_from_slice(&piece[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        panic!("not closed after {PATIENCE:?}")
                    }
                    _ => return String::from_utf8_lossy(&all).into_owned(),
                }
            }
        });
        // Both fail where the connection has been cut off.
        let sent = stream.write_all(&bytes);
        if ends && sent.is_ok() {
            stream.shutdown(Shutdown::Write).ok();
        }
        reader.join().unwrap()
    };
    tokio::task::spawn_blocking(sending).await.unwrap()
}

#[tokio::test]
async fn a_body_in_tiny_chunks() {
    let siege = Siege::lay(&[]).await;
    let (address, upstream) = (siege.address(), siege.upstream());
    let body = "1\r\nx\r\n".repeat(100_000);
    let bytes = format!("{CHUNKED}{body}0\r\n\r\n");
    let back = siege
        .during("100,000 chunks", send(address, bytes.into(), true))
        .await;
    assert!(
        back.starts_with("HTTP/1.1 200 OK\r\n") && back.ends_with("/flood"),
        "{back}"
    );
    assert_eq!(upstream.requests("POST /flood"), 1);
}

#[tokio::test]
async fn chunk_extensions() {
    let siege = Siege::lay(&[]).await;
    let address = siege.address();
    let extension = "e".repeat(200);
    let body = format!("1;{extension}\r\nx\r\n").repeat(20_000);
    let bytes = format!("{CHUNKED}{body}0\r\n\r\n");
    let back = siege
        .during("chunk extensions", send(address, bytes.into(), true))
        .await;
    assert!(back.starts_with("HTTP/1.1 200 OK\r\n"), "{back}");
}

#[tokio::test]
async fn a_chunk_extension_without_end() {
    let siege = Siege::lay(&[]).await;
    let address = siege.address();
    let bytes = format!("{CHUNKED}1;{}", "e".repeat(8 * 1024 * 1024));
    let back = siege
        .during(
            "endless chunk extension",
            send(address, bytes.into(), false),
        )
        .await;
    assert!(!back.starts_with("HTTP/1.1 2"), "{back}");
}

#[tokio::test]
async fn trailers_without_end() {
    for (what, trailer) in [
        ("endless trailers", "x-trailer: x\r\n".to_owned()),
        ("endless trailer", "x".repeat(14)),
    ] {
        let siege = Siege::lay(&[]).await;
        let address = siege.address();
        let bytes = format!("{CHUNKED}0\r\n{}", trailer.repeat(500_000));
        let back = siege.during(what, send(address, bytes.into(), false)).await;
        assert!(!back.starts_with("HTTP/1.1 2"), "{back}");
    }
}

#[tokio::test]
async fn heads_without_end() {
    for (what, start, more) in [
        (
            "endless field",
            "GET / HTTP/1.1\r\nhost: test\r\nx-long: ",
            "x".repeat(14),
        ),
        (
            "endless fields",
            "GET / HTTP/1.1\r\nhost: test\r\n",
            "x-field: x\r\n".to_owned(),
        ),
        ("endless target", "GET /", "x".repeat(14)),
        ("endless empty lines", "", "\r\n".to_owned()),
        ("endless spaces", "GET ", " ".repeat(14)),
    ] {
        let siege = Siege::lay(&[]).await;
        let address = siege.address();
        let bytes = format!("{start}{}", more.repeat(500_000));
        let back = siege.during(what, send(address, bytes.into(), false)).await;
        assert!(
            back.is_empty() || back.starts_with("HTTP/1.1 4"),
            "{what}: {back}"
        );
    }
}

#[tokio::test]
async fn requests_refused_one_after_another() {
    // What is refused ends its connection: pipelining more of it is of no use.
    let siege = Siege::lay(&[]).await;
    let (address, upstream) = (siege.address(), siege.upstream());
    let bytes = "GET /flood HTTP/1.1\r\nhost: a b\r\n\r\n".repeat(100_000);
    let back = siege
        .during("pipelined nonsense", send(address, bytes.into(), false))
        .await;
    assert!(back.matches("HTTP/1.1 400 ").count() <= 1, "{back}");
    assert_eq!(upstream.requests("/flood"), 0);
}

#[tokio::test]
async fn connections_that_are_opened_and_dropped() {
    let siege = Siege::lay(&[]).await;
    let address = siege.address();
    siege
        .during("1,000 connections", async {
            let opening = move || {
                for _ in 0..1_000 {
                    drop(TcpStream::connect(address).unwrap());
                }
            };
            tokio::task::spawn_blocking(opening).await.unwrap();
        })
        .await;
}
