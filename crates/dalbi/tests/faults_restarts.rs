//! Things that come and go under load: configurations, endpoints, and dalbi itself. No request may be lost.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::{Duration, Instant};

use ::http::Request;
use bytes::Bytes;
use http_body_util::Full;
use rustix::process::Signal;
use support::http::{self, Connection, request};
use support::wire::{Wire, WireUpstream, in_time};
use support::{Dalbi, Load, Site, Tally, Upstream, free_port};

fn get() -> Request<Full<Bytes>> {
    request("GET", "/", &[])
}

#[track_caller]
fn assert_lossless(tally: &Tally) {
    let shown = &tally.failed[..tally.failed.len().min(5)];
    assert!(
        tally.failed.is_empty(),
        "{} of {} failed: {shown:#?}",
        tally.failed.len(),
        tally.good + tally.failed.len()
    );
    assert!(tally.good > 0);
}

/// How often a metric's line with these labels counts.
async fn metric(dalbi: &Dalbi, line: &str) -> f64 {
    let metrics = support::metrics(dalbi).await;
    let mut lines = metrics.lines();
    let value = lines.find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {line}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn thirty_seconds_of_reloads_lose_no_request() {
    const PERIOD: Duration = Duration::from_millis(50);
    const LENGTH: Duration = Duration::from_secs(30);
    let apps = [Upstream::start(&[]), Upstream::start(&[])];
    let addresses = [apps[0].address(), apps[1].address()];
    let both = Site::to(&addresses);
    // Endpoints come and go, policies change, and so does the route.
    let variants = [
        both.clone(),
        Site::to(&addresses[..1]),
        both.clone().rule("timeout: 10s"),
        both.clone()
            .policy("{connectionPool: {tcp: {connectTimeout: 3s}}}"),
        Site::to(&addresses[1..]).rule("retries: {attempts: 1, retryOn: gateway-error}"),
        both.clone().policy("{loadBalancer: {simple: ROUND_ROBIN}}"),
    ];
    let (dalbi, folder) = both.serve(&["--log-level", "warn"]);
    let h1 = Load::paced(20, Duration::from_millis(20), dalbi.address(8080), get);
    let posts = Load::paced(4, Duration::from_millis(20), dalbi.address(8080), || {
        http::request_with_body("POST", "/?echo=body", &[], vec![b'x'; 100_000])
    });
    let end = Instant::now() + LENGTH;
    let mut ticks = tokio::time::interval(PERIOD);
    let mut written = 0;
    while Instant::now() < end {
        ticks.tick().await;
        // The number makes each text another one.
        let documents = variants[written % variants.len()].documents();
        folder.write("site.yaml", &format!("# {written}\n{documents}"));
        written += 1;
    }
    assert_lossless(&h1.stop().await);
    assert_lossless(&posts.stop().await);
    let applied = metric(&dalbi, "dalbi_config_reloads_total{result=\"applied\"}").await;
    let rejected = metric(&dalbi, "dalbi_config_reloads_total{result=\"rejected\"}").await;
    // Changes closer together than the watch's own pause may be taken as one.
    assert!(
        applied >= written as f64 / 8.0,
        "{applied} of {written} versions were taken"
    );
    assert_eq!(rejected, 0.0);
}

#[tokio::test]
async fn a_bad_folder_is_told_of_and_changes_nothing() {
    let app = Upstream::start(&[]);
    let site = Site::to(&[app.address()]);
    let (dalbi, folder) = site.serve(&[]);
    let load = Load::start(2, dalbi.address(8080), get);
    let rejected = "dalbi_config_rejected";
    assert_eq!(metric(&dalbi, rejected).await, 0.0);
    let broken = [
        site.documents()
            .replace("kind: VirtualService", "kind: [VirtualService"),
        site.documents().replace("hosts: ['*']", "hosts: 5"),
        site.documents()
            .replace("gateways: [gate]", "gateways: [gate], typo: 1"),
        // A listener whose certificate can't be read.
        Site::to(&[app.address()])
            .tls(
                "a.example",
                "{mode: SIMPLE, serverCertificate: none.crt, privateKey: none.key}",
            )
            .documents(),
    ];
    let mut number = 0.0;
    for documents in broken {
        folder.write("site.yaml", &documents);
        number += 1.0;
        support::until("it is refused", async || {
            metric(&dalbi, "dalbi_config_reloads_total{result=\"rejected\"}").await >= number
        })
        .await;
        assert_eq!(metric(&dalbi, rejected).await, 1.0);
        let status = http::get(dalbi.admin(), "/config/status").await.json();
        assert!(!status["rejection"]["reasons"].is_null(), "{status:#}");
        assert_eq!(status["applied"], 1, "{status:#}");
        load.answered(20).await;
    }
    folder.write("site.yaml", &format!("# mended\n{}", site.documents()));
    support::until("it is taken", async || {
        metric(&dalbi, rejected).await == 0.0
    })
    .await;
    let status = http::get(dalbi.admin(), "/config/status").await.json();
    assert!(status["rejection"].is_null(), "{status:#}");
    assert_lossless(&load.stop().await);
}

#[tokio::test]
async fn listeners_come_and_go_beside_others_under_load() {
    let app = Upstream::start(&[]);
    let one = Site::to(&[app.address()]).documents();
    let port = "  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}\n";
    assert!(one.contains(port));
    let two = one.replace(
        port,
        &format!(
            "{port}{}",
            port.replace("8080", "8081").replace("http,", "more,")
        ),
    );
    let (dalbi, folder) = Site::to(&[app.address()]).serve(&[]);
    let load = Load::start(4, dalbi.address(8080), get);
    let second = dalbi.address(8081);
    for _ in 0..5 {
        folder.write("site.yaml", &two);
        support::until("the second port answers", async || {
            http::try_send(second, get()).await.is_ok()
        })
        .await;
        let mut kept = Connection::open(second).await.unwrap();
        assert_eq!(kept.send(get()).await.unwrap().status(), 200);
        folder.write("site.yaml", &one);
        support::until("the second port is closed", async || {
            http::try_send(second, get()).await.is_err()
        })
        .await;
    }
    assert_lossless(&load.stop().await);
}

#[tokio::test]
async fn a_request_in_flight_ends_on_the_configuration_it_began_with() {
    let apps = ["old", "new"].map(|name| Upstream::start(&["--name", name]));
    let (dalbi, folder) = Site::to(&[apps[0].address()]).serve(&[]);
    let address = dalbi.address(8080);
    let slow = tokio::spawn(async move { http::get(address, "/?delay=700ms").await });
    support::until("it has arrived", async || {
        let line = "dalbi_cluster_requests_in_flight{cluster=\"outbound|80||app.internal\"}";
        metric(&dalbi, line).await == 1.0
    })
    .await;
    folder.write("site.yaml", &Site::to(&[apps[1].address()]).documents());
    support::until("new requests go elsewhere", async || {
        http::get(address, "/").await.upstream() == "new"
    })
    .await;
    let answer = slow.await.unwrap();
    assert_eq!((answer.status(), answer.upstream()), (200, "old"));
}

#[tokio::test]
async fn an_endpoint_killed_and_restarted_costs_no_idempotent_request() {
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let start = |address: &String| Upstream::start_at(address, &[]);
    let mut apps = addresses.each_ref().map(start);
    let (dalbi, _folder) = Site::to(&[apps[0].address(), apps[1].address()]).serve(&[]);
    // 500 requests a second.
    let load = Load::paced(25, Duration::from_millis(50), dalbi.address(8080), get);
    load.answered(200).await;
    for turn in 0..6 {
        let index = turn % 2;
        apps[index].process.kill();
        load.answered(250).await;
        let address = addresses[index].clone();
        let started = tokio::task::spawn_blocking(move || Upstream::start_at(&address, &[]));
        apps[index] = started.await.unwrap();
        load.answered(250).await;
    }
    let tally = load.stop().await;
    assert_lossless(&tally);
    assert_eq!(tally.refused, 0);
}

#[tokio::test]
async fn sigterm_under_load_loses_no_request() {
    let app = Upstream::start(&["--latency", "uniform:1ms,20ms"]);
    let (dalbi, _folder) = Site::to(&[app.address()]).serve(&[]);
    let address = dalbi.address(8080);
    let load = Load::start(30, address, get);
    let posts = Load::start(5, address, || {
        http::request_with_body("POST", "/?echo=body", &[], vec![b'x'; 200_000])
    });
    load.answered(500).await;
    let exit = in_time("the drain", dalbi.terminate()).await;
    assert_eq!(exit, Some(0));
    for load in [load, posts] {
        let clients = load.clients();
        // Every client was told, perhaps again on a connection that was just waiting to be accepted, and
        // then found nobody to connect to.
        let tally = load.finish().await;
        assert_lossless(&tally);
        assert!(tally.closed >= clients, "{} of {clients}", tally.closed);
        assert_eq!(tally.refused, clients);
    }
}

#[tokio::test]
async fn http_2_clients_are_sent_away_in_good_order() {
    let app = Upstream::start(&["--latency", "uniform:1ms,20ms"]);
    let (dalbi, _folder) = Site::to(&[app.address()]).serve(&[]);
    let address = dalbi.address(8080);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut sender = sender.clone();
        callers.spawn(async move {
            let mut answered = 0;
            loop {
                // Fails once the server has said GOAWAY: that request was never sent.
                match std::future::poll_fn(|cx| sender.poll_ready(cx)).await {
                    Ok(()) => {}
                    Err(_) => return answered,
                }
                let uri = "http://test/";
                let request = Request::get(uri).body(()).unwrap();
                let Ok((response, _)) = sender.send_request(request, true) else {
                    return answered;
                };
                match response.await {
                    Ok(response) => assert_eq!(response.status(), 200),
                    // Or it crossed the GOAWAY, and the server has said that it was not taken.
                    Err(error) if error.is_go_away() => return answered,
                    Err(error) => panic!("{error}"),
                }
                answered += 1;
            }
        });
    }
    support::until("requests are answered", async || {
        metric_sum(&dalbi, "istio_requests_total").await > 100.0
    })
    .await;
    drop(sender);
    assert_eq!(in_time("the drain", dalbi.terminate()).await, Some(0));
    let mut answered = 0;
    while let Some(count) = callers.join_next().await {
        answered += count.unwrap();
    }
    assert!(answered > 100);
    in_time("the connection's end", connection)
        .await
        .unwrap()
        .unwrap();
}

async fn metric_sum(dalbi: &Dalbi, name: &str) -> f64 {
    let metrics = support::metrics(dalbi).await;
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn a_drain_ends_by_force_when_its_time_is_up() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| drop(wire.rest().await)).await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&["--drain-timeout", "500ms"]);
    let mut hung = Wire::connect(dalbi.address(8080)).await;
    hung.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut idle = Wire::connect(dalbi.address(8080)).await;
    support::until("it is held", async || upstream.requests("GET / ") == 1).await;
    let started = Instant::now();
    assert_eq!(in_time("the drain", dalbi.terminate()).await, Some(0));
    // Not for a judgement of speed: only that it did wait for the hung request.
    assert!(started.elapsed() >= Duration::from_millis(500));
    assert!(hung.is_closed().await && idle.is_closed().await);
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| drop(wire.rest().await)).await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&["--drain-timeout", "1h"]);
    let mut hung = Wire::connect(dalbi.address(8080)).await;
    hung.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    support::until("it is held", async || upstream.requests("GET / ") == 1).await;
    dalbi.process.signal(Signal::TERM);
    support::until("it drains", async || {
        http::try_send(dalbi.admin(), request("GET", "/ready", &[]))
            .await
            .is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    // One that comes at once is taken for an echo of the first, so it is sent until it is heard.
    support::until("it ends", async || {
        dalbi.process.signal(Signal::TERM);
        tokio::net::TcpStream::connect(dalbi.admin()).await.is_err()
    })
    .await;
    assert_eq!(in_time("the end", dalbi.terminate()).await, Some(0));
    assert!(hung.is_closed().await);
}

#[tokio::test]
async fn while_it_drains_new_clients_go_elsewhere() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| drop(wire.rest().await)).await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&["--drain-timeout", "20s"]);
    let mut hung = Wire::connect(dalbi.address(8080)).await;
    hung.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    support::until("it is held", async || upstream.requests("GET / ") == 1).await;
    dalbi.process.signal(Signal::TERM);
    support::until("nobody listens", async || {
        tokio::net::TcpStream::connect(dalbi.address(8080))
            .await
            .is_err()
    })
    .await;
    assert_eq!(http::get(dalbi.admin(), "/live").await.status(), 200);
    assert_eq!(http::get(dalbi.admin(), "/ready").await.status(), 503);
}
