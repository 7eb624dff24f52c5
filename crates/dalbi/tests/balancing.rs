//! Which endpoint gets a request: affinity, load reports, probes, failures and places.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::http::{self, Answer, Connection, request};
use support::wire::{Wire, WireUpstream};
use support::{Dalbi, Site, Upstream};

/// Three servers by these names.
fn servers() -> [Upstream; 3] {
    ["one", "two", "three"].map(|name| Upstream::start(&["--name", name]))
}

fn addresses(servers: &[Upstream]) -> Vec<SocketAddr> {
    servers.iter().map(Upstream::address).collect()
}

/// An endpoint that says so of its load with every answer, also when it is asked for it.
async fn reporting(report: &'static str) -> WireUpstream {
    WireUpstream::start(move |_, mut wire: Wire| async move {
        while let Some(head) = wire.head().await {
            wire.body(&head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nendpoint-load-metrics: {report}\r\n\r\nok"
            );
            wire.send(answer).await;
        }
    })
    .await
}

/// Sends so many requests over one connection, one after the other.
async fn send(dalbi: &Dalbi, count: usize, headers: &[(&str, &str)]) -> Vec<Answer> {
    let mut connection = Connection::open(dalbi.address(8080)).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..count {
        let answer = connection.send(request("GET", "/", headers)).await;
        answers.push(answer.unwrap());
    }
    answers
}

/// A metric's value.
async fn metric(dalbi: &Dalbi, series: &str) -> f64 {
    let metrics = support::metrics(dalbi).await;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {series} in {}", metrics))
}

#[tokio::test]
async fn a_header_keeps_its_requests_together_in_every_dispatcher() {
    let servers = servers();
    for algorithm in [
        "ringHash: {minimumRingSize: 1024}",
        "maglev: {tableSize: 1009}",
    ] {
        let policy = format!(
            "{{loadBalancer: {{consistentHash: {{httpHeaderName: X-User, {algorithm}}}}}}}"
        );
        let site = Site::to(&addresses(&servers)).policy(&policy);
        let ((first, _one), (second, _two)) = (site.serve(&[]), site.serve(&["--workers", "1"]));
        let mut homes = BTreeMap::new();
        for user in 0..30 {
            let user = user.to_string();
            let headers = [("x-user", user.as_str())];
            let home = send(&first, 1, &headers).await[0].upstream().to_owned();
            for answer in send(&first, 2, &headers).await {
                assert_eq!(answer.upstream(), home, "user {user}, {algorithm}");
            }
            let over_h2 = http::send_h2(first.address(8080), request("GET", "/", &headers)).await;
            assert_eq!(
                over_h2.upstream(),
                home,
                "user {user} over HTTP/2, {algorithm}"
            );
            let elsewhere = send(&second, 1, &headers).await;
            assert_eq!(elsewhere[0].upstream(), home, "user {user}, {algorithm}");
            *homes.entry(home).or_insert(0) += 1;
        }
        assert_eq!(homes.len(), 3, "{homes:?}, {algorithm}");
    }
}

#[tokio::test]
async fn a_cookie_is_made_once_and_brings_its_client_back() {
    let servers = servers();
    let policy = "{loadBalancer: {consistentHash: {httpCookie: {name: home, path: /, ttl: 60s}}}}";
    let (dalbi, _folder) = Site::to(&addresses(&servers)).policy(policy).serve(&[]);
    let mut homes = BTreeSet::new();
    for client in 0..20 {
        let first = send(&dalbi, 1, &[]).await.remove(0);
        let cookie = first.header("set-cookie");
        assert!(
            cookie.ends_with("; Max-Age=60; Path=/; HttpOnly"),
            "{cookie}"
        );
        let (pair, _) = cookie.split_once(';').unwrap();
        for answer in send(&dalbi, 3, &[("cookie", &format!("a=b; {pair}"))]).await {
            assert_eq!(answer.upstream(), first.upstream(), "client {client}");
            assert_eq!(answer.header("set-cookie"), "");
        }
        homes.insert(first.upstream().to_owned());
    }
    // All of 20 random cookies lead to the same of three homes once in a thousand million runs.
    assert!(homes.len() > 1, "{homes:?}");
}

#[tokio::test]
async fn an_endpoint_that_fails_at_once_draws_no_traffic() {
    let slow = Upstream::start(&["--name", "slow", "--latency", "5ms"]);
    let sinkhole = Upstream::start(&["--name", "sinkhole", "--error-rate", "1:503"]);
    let (dalbi, _folder) = Site::to(&[slow.address(), sinkhole.address()])
        .balancing("algorithm: Alba")
        .serve(&[]);
    let mut failed = 0;
    for _ in 0..4 {
        let (one, two) = tokio::join!(send(&dalbi, 50, &[]), send(&dalbi, 50, &[]));
        let answers = one.into_iter().chain(two);
        failed += answers.filter(|answer| answer.status() == 503).count();
    }
    // Half of them by turns, nearly all by least request.
    assert!((1..80).contains(&failed), "{failed} of 400 failed");
}

#[tokio::test]
async fn a_draining_endpoint_gets_no_more() {
    let draining = reporting("TEXT named_metrics.draining=1").await;
    let ready = reporting("TEXT named_metrics.in_flight=0,application_utilization=0.1").await;
    let (dalbi, _folder) = Site::to(&[draining.address(), ready.address()])
        .balancing("algorithm: Alba")
        .serve(&[]);
    let answers = send(&dalbi, 100, &[]).await;
    // Reports are passed on, as Envoy does.
    assert!(
        answers[0]
            .header("endpoint-load-metrics")
            .starts_with("TEXT ")
    );
    let (left, took) = (draining.requests("GET /"), ready.requests("GET /"));
    assert!(
        left <= 10,
        "{left} went to the draining endpoint, {took} to the other"
    );
    assert_eq!(
        metric(&dalbi, "dalbi_load_reports_total{result=\"read\"}").await,
        100.0
    );
}

#[tokio::test]
async fn reports_are_read_from_trailers() {
    let upstream = WireUpstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
         endpoint-load-metrics: JSON {\"rps_fractional\": 5}\r\n\r\n",
    )
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .balancing("algorithm: Alba")
        .serve(&[]);
    send(&dalbi, 10, &[]).await;
    let read = "dalbi_load_reports_total{result=\"read\"}";
    support::until("all of them are read", async || {
        metric(&dalbi, read).await == 10.0
    })
    .await;
}

#[tokio::test]
async fn a_report_that_cannot_be_read_harms_nothing() {
    let liar = reporting("TEXT cpu_utilization=lots").await;
    let (dalbi, _folder) = Site::to(&[liar.address()])
        .balancing("algorithm: Alba")
        .serve(&[]);
    let answers = send(&dalbi, 10, &[]).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let malformed = "dalbi_load_reports_total{result=\"malformed\"}";
    assert_eq!(metric(&dalbi, malformed).await, 10.0);
}

#[tokio::test]
async fn endpoints_are_asked_for_their_load() {
    let (one, two) = (
        reporting("TEXT named_metrics.in_flight=1").await,
        reporting("TEXT named_metrics.in_flight=2").await,
    );
    let (dalbi, _folder) = Site::to(&[one.address(), two.address()])
        .balancing(
            "algorithm: Alba, alba: {freshness: 1ms, probes: {path: /load/now, perRequest: 1}}",
        )
        .serve(&["--workers", "1"]);
    let answered = "dalbi_load_probes_total{result=\"answered\"}";
    support::until("a probe is answered", async || {
        send(&dalbi, 1, &[]).await;
        metric(&dalbi, answered).await > 0.0
    })
    .await;
    let asked = one.requests("GET /load/now HTTP/1.1") + two.requests("GET /load/now HTTP/1.1");
    assert!(asked > 0);
    // They are none of the users' requests.
    let by_users = one.requests("GET / HTTP/1.1") + two.requests("GET / HTTP/1.1");
    let counted = http::get(dalbi.admin(), "/clusters?format=json")
        .await
        .json();
    let endpoints = counted[0]["endpoints"].as_array().unwrap();
    let counted: u64 = endpoints
        .iter()
        .map(|endpoint| endpoint["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, by_users as u64);
    // What the balancer learned is shown.
    let slowness = |endpoint: &serde_json::Value| endpoint["slowness"].as_f64().unwrap();
    assert!(
        endpoints.iter().all(|endpoint| slowness(endpoint) > 0.0),
        "{endpoints:#?}"
    );
    let reports = endpoints
        .iter()
        .filter_map(|endpoint| endpoint["report_age_ms"].as_f64());
    assert!(reports.count() > 0, "{endpoints:#?}");
}

#[tokio::test]
async fn endpoints_are_asked_over_http2_too() {
    let servers = servers();
    let (dalbi, _folder) = Site::to(&addresses(&servers))
        .protocol("HTTP2")
        .balancing(
            "algorithm: Alba, alba: {freshness: 1ms, probes: {path: /dalbi/load, perRequest: 1}}",
        )
        .serve(&["--workers", "1"]);
    support::until("a probe is answered", async || {
        send(&dalbi, 1, &[]).await;
        metric(&dalbi, "dalbi_load_probes_total{result=\"answered\"}").await > 0.0
    })
    .await;
}

#[tokio::test]
async fn nobody_is_asked_without_a_path() {
    let one = reporting("TEXT named_metrics.in_flight=1").await;
    let (dalbi, _folder) = Site::to(&[one.address()])
        .balancing("algorithm: Alba, alba: {freshness: 1ms}")
        .serve(&[]);
    send(&dalbi, 20, &[]).await;
    assert_eq!(one.requests("HTTP/1.1"), 20);
}

#[tokio::test]
async fn near_endpoints_are_preferred_and_users_places_count() {
    let (here, there) = (
        Upstream::start(&["--name", "here"]),
        Upstream::start(&["--name", "there"]),
    );
    let (dalbi, _folder) = Site::to(&[here.address(), there.address()])
        .at(&["eu/a", "us/b"])
        .balancing("algorithm: Alba, locality: {regionPrice: 1s, userLocality: {header: X-Place}}")
        .serve(&["--locality", "eu/a"]);
    let count = |answers: &[Answer], name: &str| {
        answers
            .iter()
            .filter(|answer| answer.upstream() == name)
            .count()
    };
    let answers = send(&dalbi, 50, &[]).await;
    assert!(
        count(&answers, "here") >= 45,
        "{} here",
        count(&answers, "here")
    );
    let answers = send(&dalbi, 50, &[("x-place", "us/b")]).await;
    assert!(
        count(&answers, "there") >= 45,
        "{} there",
        count(&answers, "there")
    );
}

#[tokio::test]
async fn tenants_share_a_server_that_has_too_much_to_do_by_their_weights() {
    const WANTED: usize = 600;
    let upstream = Upstream::start(&["--latency", "5ms", "--concurrency", "1"]);
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule("timeout: 400ms, retries: {attempts: 0}")
        .balancing("admission: {tenantHeader: X-Tenant, weights: {gold: 4, free: 1}}")
        .serve(&[]);
    let (address, served) = (dalbi.address(8080), Arc::new(AtomicUsize::new(0)));
    let client = |tenant: &'static str| {
        let served = served.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            let (mut good, mut refused) = (0, 0);
            while served.load(Ordering::Relaxed) < WANTED {
                let request = request("GET", "/", &[("x-tenant", tenant)]);
                let answer = connection.send(request).await.unwrap();
                match (answer.status(), answer.header("x-dalbi-response-flags")) {
                    (200, _) => {
                        good += 1;
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    (503, "UO") => refused += 1,
                    // A server that had too much to do before that was known.
                    (504, "UT") => {}
                    other => panic!("{other:?}"),
                }
            }
            (tenant, good, refused)
        })
    };
    let clients: Vec<_> = (0..80)
        .map(|number| client(["gold", "free"][number % 2]))
        .collect();
    let (mut good, mut refused) = (BTreeMap::new(), 0);
    for client in clients {
        let (tenant, client_good, client_refused) = client.await.unwrap();
        *good.entry(tenant).or_insert(0) += client_good;
        refused += client_refused;
    }
    // By turns they would have the same, and so they have until it shows that there is too much to do.
    assert!(
        2 * good["gold"] > 3 * good["free"] && refused > 0,
        "{good:?}, {refused} refused"
    );
}

#[tokio::test]
async fn streams_do_not_keep_others_out_after_overload() {
    let upstream = WireUpstream::start(|_, mut wire: Wire| async move {
        while let Some(head) = wire.head().await {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = match path {
                "/stream" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
                "/hang" => "",
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            };
            wire.send(answer).await;
        }
    })
    .await;
    // Only what is not a stream has to end in time.
    let route = "route: [{destination: {host: app.internal}}]";
    let (dalbi, _folder) = Site::to(&[upstream.address()])
        .rule(&format!(
            "match: [{{uri: {{prefix: /stream}}}}], {route}}}\n  - {{timeout: 200ms, retries: {{attempts: 0}}"
        ))
        .balancing("admission: {tenantHeader: X-Tenant}")
        .serve(&[]);
    let address = dalbi.address(8080);
    let ask = |path: &'static str| async move {
        let mut client = Wire::connect(address).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: app\r\n\r\n");
        client.send(request).await;
        let head = client.head().await.unwrap();
        (client, head)
    };
    let mut streams = Vec::new();
    for _ in 0..60 {
        let (stream, head) = ask("/stream").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        streams.push(stream);
    }
    let hanging: Vec<_> = (0..40).map(|_| tokio::spawn(ask("/hang"))).collect();
    for client in hanging {
        let (_, head) = client.await.unwrap();
        assert!(head.starts_with("HTTP/1.1 504"), "{head}");
    }
    let clusters = http::get(dalbi.admin(), "/clusters").await;
    assert!(
        clusters.text().contains("admission_limit"),
        "{}",
        clusters.text()
    );
    for number in 0..20 {
        let (_, head) = ask("/").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{number}: {head}");
    }
}

#[test]
fn explain_says_what_is_hashed() {
    let folder = support::Folder::new();
    let policy =
        "algorithm: Maglev, hash: [{header: X-User}, {cookie: {name: s}}, {sourceIp: true}]";
    let site = Site::to(&[]).balancing(policy);
    folder.write("site.yaml", &site.documents());
    let folder = folder.path().to_str().unwrap();
    let output = support::run_to_end(&["explain", folder, "GET", "http://test:8080/"]);
    let told = String::from_utf8(output.stdout).unwrap();
    let expected = "maglev by header x-user or cookie s or source address";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn a_database_that_is_missing_is_named() {
    let site = Site::to(&[]).balancing("locality: {userLocality: {maxmind: places.mmdb}}");
    let folder = support::Folder::new();
    folder.write("site.yaml", &site.documents());
    let folder = folder.path().to_str().unwrap();
    let output = support::run_to_end(&["run", folder, "--port-offset", "9000", "--admin", "off"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("places.mmdb"),
        "{told}"
    );
}
