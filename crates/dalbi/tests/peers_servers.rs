//! nginx and Apache httpd as endpoints, and the load of h2load and wrk.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::Duration;

use support::http::{self, request};
use support::peers::{self, curl};
use support::{Dalbi, Load, Site, WebServer};

/// The same for every server: whole files, parts of them, and whether they have changed.
async fn serves_files(server: &WebServer, dalbi: &Dalbi) {
    let address = dalbi.address(8080);
    let whole = http::get(address, "/hello.txt").await;
    assert_eq!(
        (whole.status(), whole.body.as_ref()),
        (200, server.file("hello.txt").as_slice())
    );
    let large = server.file("large.bin");
    assert!(http::get(address, "/large.bin").await.body == large);
    let h2 = http::send_h2(address, request("GET", "/large.bin", &[])).await;
    assert!(h2.body == large);

    let range = [("range", "bytes=1000-1999")];
    let part = http::send(address, request("GET", "/large.bin", &range)).await;
    assert_eq!(part.status(), 206);
    assert_eq!(part.header("content-range"), "bytes 1000-1999/1048576");
    assert!(part.body == large[1000..2000]);

    for (condition, value) in [
        ("if-none-match", whole.header("etag")),
        ("if-modified-since", whole.header("last-modified")),
    ] {
        let headers = [(condition, value)];
        let unchanged = http::send(address, request("GET", "/hello.txt", &headers)).await;
        assert_eq!((unchanged.status(), unchanged.body.len()), (304, 0));
        let unchanged = http::send_h2(address, request("GET", "/hello.txt", &headers)).await;
        assert_eq!((unchanged.status(), unchanged.body.len()), (304, 0));
    }
    let head = http::send(address, request("HEAD", "/large.bin", &[])).await;
    assert_eq!(
        (
            head.status(),
            head.header("content-length"),
            head.body.len()
        ),
        (200, "1048576", 0)
    );
    assert_eq!(http::get(address, "/none").await.status(), 404);
}

/// Connections that the server closes after a few requests or milliseconds, while requests come about as
/// often: many a request meets a connection that is just being closed.
async fn loses_nothing(dalbi: &Dalbi) {
    let get = || request("GET", "/hello.txt", &[]);
    let quick = Load::start(4, dalbi.address(8080), get);
    let slow = Load::paced(20, Duration::from_millis(21), dalbi.address(8080), get);
    slow.answered(1500).await;
    for load in [quick, slow] {
        let tally = load.stop().await;
        assert_eq!((tally.failed.as_slice(), tally.refused), (&[][..], 0));
    }
}

#[tokio::test]
async fn nginx_serves_files() {
    let Some(server) = WebServer::nginx("", "etag on;") else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).serve(&[]);
    serves_files(&server, &dalbi).await;
}

#[tokio::test]
async fn nginx_serves_files_over_http_2() {
    let Some(server) = WebServer::nginx("http2", "etag on;") else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).protocol("HTTP2").serve(&[]);
    serves_files(&server, &dalbi).await;
}

#[tokio::test]
async fn nginx_closes_connections_all_the_time() {
    let directives = "keepalive_timeout 20ms; keepalive_requests 7;";
    let Some(server) = WebServer::nginx("", directives) else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).serve(&[]);
    loses_nothing(&dalbi).await;
}

#[tokio::test]
async fn nginx_ends_http_2_connections_all_the_time() {
    let directives = "keepalive_timeout 20ms; keepalive_requests 50;";
    let Some(server) = WebServer::nginx("http2", directives) else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).protocol("HTTP2").serve(&[]);
    loses_nothing(&dalbi).await;
}

#[tokio::test]
async fn apache_serves_files() {
    let Some(server) = WebServer::apache("") else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).serve(&[]);
    serves_files(&server, &dalbi).await;
}

#[tokio::test]
async fn apache_serves_files_over_http_2() {
    let Some(server) = WebServer::apache("Protocols h2c http/1.1") else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).protocol("HTTP2").serve(&[]);
    serves_files(&server, &dalbi).await;
}

#[tokio::test]
async fn apache_closes_connections_all_the_time() {
    let directives = "KeepAliveTimeout 20ms\nMaxKeepAliveRequests 7";
    let Some(server) = WebServer::apache(directives) else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).serve(&[]);
    loses_nothing(&dalbi).await;
}

#[tokio::test]
async fn a_refused_upload_to_nginx_is_told_to_the_client() {
    let (Some(curl_path), Some(server)) = (
        peers::program("curl"),
        WebServer::nginx("", "client_max_body_size 1k;"),
    ) else {
        return;
    };
    let (dalbi, folder) = Site::to(&[server.address()]).serve(&[]);
    let file = folder.path().join("upload.bin");
    std::fs::write(&file, vec![0; 20_000_000]).unwrap();
    let data = format!("@{}", file.display());
    let url = format!("http://{}/hello.txt", dalbi.address(8080));
    // This curl does not take a refused upload over HTTP/2 from nginx itself either.
    let show = ["-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:"];
    let send = ["--http1.1", "--data-binary", &data, &url];
    let status = curl(&curl_path, &[&show[..], &send].concat()).await;
    assert_eq!(status, "413");
}

#[tokio::test]
async fn h2load_finds_no_error() {
    let Some(h2load) = peers::program("h2load") else {
        return;
    };
    for (listens, protocol) in [("", "HTTP"), ("http2", "HTTP2")] {
        let Some(server) = WebServer::nginx(listens, "keepalive_requests 100;") else {
            return;
        };
        let (dalbi, _folder) = Site::to(&[server.address()]).protocol(protocol).serve(&[]);
        let url = format!("http://{}/hello.txt", dalbi.address(8080));
        for version in [&["-m", "20"][..], &["--h1"]] {
            let load = [&["-n", "5000", "-c", "10", "-t", "1"], version, &[&url]].concat();
            let output = peers::run(&h2load, &load).await;
            let report = String::from_utf8_lossy(&output.stdout);
            let expected = "5000 succeeded, 0 failed, 0 errored, 0 timeout";
            assert!(
                report.contains(expected),
                "{protocol} {version:?}: {report}"
            );
            let expected = "status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx";
            assert!(
                report.contains(expected),
                "{protocol} {version:?}: {report}"
            );
        }
    }
}

#[tokio::test]
async fn wrk_finds_no_error() {
    let Some(wrk) = peers::program("wrk") else {
        return;
    };
    let Some(server) = WebServer::nginx("", "keepalive_requests 100;") else {
        return;
    };
    let (dalbi, _folder) = Site::to(&[server.address()]).serve(&[]);
    let url = format!("http://{}/hello.txt", dalbi.address(8080));
    let output = peers::run(&wrk, &["-t1", "-c40", "-d2s", "--timeout", "20s", &url]).await;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains(" requests in "), "{report}");
    // Both lines are there only when there is something to tell.
    for trouble in ["Socket errors", "Non-2xx"] {
        assert!(!report.contains(trouble), "{report}");
    }
}
