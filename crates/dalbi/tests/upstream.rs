//! The test server as a process: other tests rely on what it promises.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;

use dalbi_load::LoadReport;
use futures_util::{SinkExt, StreamExt};
use support::http::{self, Connection, request, request_with_body};
use support::{Folder, PATIENCE, Upstream, run_to_end};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn requests_are_echoed() {
    let upstream = Upstream::start(&["--name", "echo-1"]);
    let headers = [("host", "shop.example"), ("x-a", "1"), ("X-A", "2")];
    let answer = http::send(
        upstream.address(),
        request_with_body("PUT", "/a%20b?c=d&e", &headers, "hello"),
    )
    .await;
    assert_eq!((answer.status(), answer.upstream()), (200, "echo-1"));
    assert_eq!(answer.header("x-upstream-port"), upstream.port());
    let echo = answer.json();
    for (field, expected) in [
        ("name", "echo-1"),
        ("protocol", "HTTP/1.1"),
        ("method", "PUT"),
        ("path", "/a%20b"),
        ("query", "c=d&e"),
        ("host", "shop.example"),
    ] {
        assert_eq!(echo[field], expected, "{field}");
    }
    assert_eq!(echo["headers"]["x-a"], serde_json::json!(["1", "2"]));
    assert_eq!(
        echo["body"],
        serde_json::json!({ "bytes": 5, "text": "hello" })
    );

    let echo = http::send_h2(
        upstream.address(),
        request("GET", "/", &[("host", "h2.example")]),
    )
    .await
    .json();
    assert_eq!(
        (&echo["protocol"], &echo["host"]),
        (&"HTTP/2".into(), &"h2.example".into())
    );
}

#[tokio::test]
async fn a_request_can_ask_for_faults() {
    let upstream = Upstream::start(&[]);
    let address = upstream.address();
    let answer = http::get(address, "/?status=503&size=3KiB&header=x-extra:yes").await;
    assert_eq!(
        (answer.status(), answer.body.len(), answer.header("x-extra")),
        (503, 3072, "yes")
    );

    let by_header = request("GET", "/", &[("x-upstream", "status=418")]);
    assert_eq!(http::send(address, by_header).await.status(), 418);
    assert!(
        http::get(address, "/?delay=soon")
            .await
            .text()
            .starts_with("`delay=soon`: ")
    );

    let before_the_head = http::try_send(address, request("GET", "/?abort=head", &[])).await;
    assert!(before_the_head.is_err(), "{before_the_head:?}");
    let in_the_body =
        http::try_send(address, request("GET", "/?abort=100KiB&size=1MiB", &[])).await;
    assert!(in_the_body.is_err(), "{in_the_body:?}");

    let started = tokio::time::Instant::now();
    http::get(address, "/?delay=60ms").await;
    assert!(started.elapsed().as_millis() >= 60);
}

#[tokio::test]
async fn large_bodies_come_back_whole() {
    let upstream = Upstream::start(&[]);
    let body: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let answer = http::send(
        upstream.address(),
        request_with_body("POST", "/?echo=body", &[], body.clone()),
    )
    .await;
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn it_works_on_so_many_at_once_and_no_more() {
    let upstream = Upstream::start(&["--concurrency", "1", "--queue", "0"]);
    let mut hung = Connection::open(upstream.address()).await.unwrap();
    let hanging =
        tokio::spawn(async move { hung.send(request("GET", "/?hang", &[])).await.is_err() });
    support::until("the only slot is taken", || async {
        http::get(upstream.address(), "/").await.status() == 503
    })
    .await;
    hanging.abort();
    support::until("the slot is free", || async {
        http::get(upstream.address(), "/").await.status() == 200
    })
    .await;
}

/// What a header or trailer of the answer says of the server's load.
fn report(answer: &http::Answer) -> LoadReport {
    let value = answer.header("endpoint-load-metrics");
    LoadReport::parse(value.as_bytes()).unwrap()
}

#[tokio::test]
async fn answers_say_how_busy_it_is() {
    for (format, prefix) in [("text", "TEXT "), ("json", "JSON {"), ("bin", "BIN ")] {
        let arguments = [
            "--report",
            format,
            "--concurrency",
            "2",
            "--error-rate",
            "0.5",
        ];
        let upstream = Upstream::start(&arguments);
        let answer = http::get(upstream.address(), "/").await;
        assert!(answer.header("endpoint-load-metrics").starts_with(prefix));
        let report = report(&answer);
        assert_eq!((report.in_flight, report.draining), (Some(0), false));
        assert!(report.application_utilization.is_some(), "{report:?}");
    }
    let silent = Upstream::start(&["--report", "none"]);
    let answer = http::get(silent.address(), "/dalbi/load").await;
    assert!(!answer.head.headers.contains_key("endpoint-load-metrics"));
    assert_eq!(answer.json()["path"], "/dalbi/load", "as any other path");
}

#[tokio::test]
async fn a_busy_server_says_so_at_once() {
    let upstream = Upstream::start(&["--concurrency", "1", "--drain-after", "1ms"]);
    let hanging: Vec<_> = (0..3)
        .map(|_| {
            let address = upstream.address();
            tokio::spawn(http::try_send(address, request("GET", "/?hang", &[])))
        })
        .collect();
    support::until("all are seen, and it drains", || async {
        let answer = http::get(upstream.address(), "/dalbi/load").await;
        let report = report(&answer);
        assert_eq!((answer.status(), answer.text()), (200, ""));
        report.in_flight == Some(3) && report.draining
    })
    .await;
    for request in hanging {
        request.abort();
    }
    support::until("clients that went away are forgotten", || async {
        let answer = http::get(upstream.address(), "/dalbi/load").await;
        report(&answer).in_flight == Some(0)
    })
    .await;
}

#[tokio::test]
async fn it_can_be_slow_from_the_connection_on() {
    let arguments = ["--latency", "20ms", "--slow", "3x", "--warm-up", "1h:2x"];
    let upstream = Upstream::start(&[arguments.as_slice(), &["--connect-delay", "30ms"]].concat());
    let started = tokio::time::Instant::now();
    http::get(upstream.address(), "/").await;
    // Nothing ends early: 30 ms, and 20 ms times 3 times nearly 2.
    assert!(
        started.elapsed().as_millis() >= 145,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn shares_of_requests_fail() {
    let upstream = Upstream::start(&["--error-rate", "0.5:500", "--seed", "7"]);
    let mut connection = Connection::open(upstream.address()).await.unwrap();
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(
            connection
                .send(request("GET", "/", &[]))
                .await
                .unwrap()
                .status()
                == 500,
        );
    }
    assert!(
        (70..=130).contains(&failed),
        "{failed} of 200 failed with seed 7"
    );
}

#[tokio::test]
async fn health_can_be_switched() {
    let upstream = Upstream::start(&["--error-rate", "1"]);
    assert_eq!(http::get(upstream.address(), "/").await.status(), 503);
    assert_eq!(
        http::get(upstream.address(), "/healthz").await.status(),
        200
    );
    http::send(
        upstream.address(),
        request("POST", "/healthz?healthy=false", &[]),
    )
    .await;
    assert_eq!(
        http::get(upstream.address(), "/healthz").await.status(),
        503
    );
}

#[tokio::test]
async fn grpc_messages_come_back_with_trailers() {
    let upstream = Upstream::start(&[]);
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let message = b"\0\0\0\0\x03abc\0\0\0\0\0".as_slice();
    let answer = http::send_h2(
        upstream.address(),
        request_with_body("POST", "/x.Y/Z", &headers, message),
    )
    .await;
    assert_eq!(answer.body, message);
    let trailers = answer.trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    let report = trailers["endpoint-load-metrics-bin"].as_bytes();
    assert_eq!(LoadReport::parse_bin(report).unwrap().in_flight, Some(0));

    let headers = [headers.as_slice(), &[("x-upstream", "grpc-status=14")]].concat();
    let answer = http::send_h2(upstream.address(), request("POST", "/x.Y/Z", &headers)).await;
    assert_eq!((answer.status(), answer.header("grpc-status")), (200, "14"));
}

#[tokio::test]
async fn websocket_messages_come_back() {
    let upstream = Upstream::start(&[]);
    let stream = TcpStream::connect(upstream.address()).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://test/chat", stream)
        .await
        .unwrap();
    assert_eq!(response.headers()["x-upstream-name"], "upstream");
    for message in [Message::text("hello"), Message::binary(vec![0; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        let back = tokio::time::timeout(PATIENCE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(back == message);
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn it_can_speak_tls() {
    let certificate = rcgen::generate_simple_self_signed(["up.example".to_owned()]).unwrap();
    let folder = Folder::new();
    folder.write("up.crt", &certificate.cert.pem());
    folder.write("up.key", &certificate.signing_key.serialize_pem());
    let (chain, key) = (folder.path().join("up.crt"), folder.path().join("up.key"));
    let upstream = Upstream::start(&[
        "--tls-cert",
        chain.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ]);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(upstream.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = "up.example".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(
        stream.get_ref().1.alpn_protocol(),
        Some(b"http/1.1".as_slice())
    );
    let request = b"GET / HTTP/1.1\r\nHost: up.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.contains("\"tls\": true"), "{answer}");
}

#[test]
fn a_taken_port_is_named() {
    let upstream = Upstream::start(&[]);
    let address = upstream.address().to_string();
    let output = run_to_end(&["upstream", "--listen", &address]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with(&format!(
            "error: listen on {address} (port 0 with --listen takes a free one): "
        )),
        "{stderr}"
    );
}

#[test]
fn a_wrong_command_line_is_code_2_and_says_what_to_write() {
    let output = run_to_end(&["upstream", "--latency", "often"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("`often` is not a duration"), "{stderr}");
}
