//! Every folder of `examples/` serves what its comments say.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use support::http::{self, request, request_with_body};
use support::{Dalbi, Folder, Load, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn hello() {
    let app = Upstream::start(&["--name", "app"]);
    let folder = Folder::of_example("hello", &[("http: 9001", &format!("http: {}", app.port()))]);
    let dalbi = Dalbi::run(folder.path(), &[]);
    let greeting = http::get(dalbi.address(8080), "/hello").await;
    assert_eq!(
        (greeting.status(), greeting.text()),
        (200, "hello from DALBI\n")
    );
    let other = http::get(dalbi.address(8080), "/any/path?a=b").await;
    assert_eq!((other.status(), other.upstream()), (200, "app"));
    assert_eq!(other.json()["path"], "/any/path");
    assert_eq!(other.json()["query"], "a=b");
}

#[tokio::test]
async fn bookinfo() {
    let names = [
        "productpage-v1",
        "details-v1",
        "ratings-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
    ];
    let upstreams = names.map(|name| Upstream::start(&["--name", name]));
    let ports = ["9101", "9102", "9103", "9111", "9112", "9113"];
    let replacements: Vec<_> = ports
        .iter()
        .zip(&upstreams)
        .map(|(port, at)| (format!("port: {port}"), format!("port: {}", at.port())))
        .collect();
    let replacements: Vec<_> = replacements
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    let folder = Folder::of_example("bookinfo", &replacements);
    let dalbi = Dalbi::run(folder.path(), &[]);

    for path in [
        "/productpage",
        "/static/style.css",
        "/login",
        "/api/v1/products/0",
    ] {
        let page = http::get(dalbi.address(8080), path).await;
        assert_eq!(
            (page.status(), page.upstream()),
            (200, "productpage-v1"),
            "{path}"
        );
    }
    assert_eq!(http::get(dalbi.address(8080), "/admin").await.status(), 404);

    let mut seen = [0; 2];
    for _ in 0..200 {
        let review = http::send(
            dalbi.mesh(),
            request("GET", "/reviews/1", &[("host", "reviews:9080")]),
        )
        .await;
        match review.upstream() {
            "reviews-v1" => seen[0] += 1,
            "reviews-v3" => seen[1] += 1,
            other => panic!("answered by {other}"),
        }
    }
    // 40 expected with a standard deviation of 5.7: outside of this once in ten million runs.
    assert!(
        (10..=72).contains(&seen[1]),
        "{seen:?} by v1 and v3, 80 to 20 wanted"
    );
    let jason = [("host", "reviews:9080"), ("end-user", "jason")];
    for _ in 0..20 {
        assert_eq!(
            http::send(dalbi.mesh(), request("GET", "/", &jason))
                .await
                .upstream(),
            "reviews-v2"
        );
    }
    for (host, upstream) in [
        ("details", "details-v1"),
        ("ratings.default", "ratings-v1"),
        ("details.default.svc.cluster.local:9080", "details-v1"),
    ] {
        assert_eq!(
            http::send(dalbi.mesh(), request("GET", "/", &[("host", host)]))
                .await
                .upstream(),
            upstream,
            "{host}"
        );
    }
    assert_eq!(
        http::send(dalbi.mesh(), request("GET", "/", &[("host", "nobody")]))
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn gateway_api() {
    let (cart, next) = (
        Upstream::start(&["--name", "cart"]),
        Upstream::start(&["--name", "cart-next"]),
    );
    let folder = Folder::of_example(
        "gateway-api",
        &[
            ("port: 9201", &format!("port: {}", cart.port())),
            ("port: 9202", &format!("port: {}", next.port())),
        ],
    );
    let dalbi = Dalbi::run(folder.path(), &[]);
    let get = async |path: &str, more: &[(&str, &str)]| {
        let fields: Vec<_> = [("host", "shop.example")]
            .iter()
            .chain(more)
            .copied()
            .collect();
        http::send(dalbi.address(8080), request("GET", path, &fields)).await
    };
    let mut previews = 0;
    for _ in 0..200 {
        let answer = get("/cart", &[]).await;
        previews += u32::from(answer.upstream() == "cart-next");
    }
    // 20 expected with a standard deviation of 4.2: outside of this once in millions of runs.
    assert!((1..=45).contains(&previews), "{previews} of 200");
    for _ in 0..20 {
        let preview = get("/cart", &[("x-next", "1")]).await;
        assert_eq!(preview.upstream(), "cart-next");
    }
    let old = get("/basket/7", &[]).await;
    let location = old.header("location");
    assert_eq!(old.status(), 301);
    assert!(location.ends_with("/cart/7"), "{location}");
    assert_eq!(get("/pay", &[]).await.status(), 500);
    assert_eq!(get("/cartoons", &[]).await.status(), 404);

    let output = support::run_to_end(&["check", support::example("gateway-api").to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("RefNotPermitted"), "{text}");
}

#[tokio::test]
async fn tls() {
    let app = Upstream::start(&["--name", "app"]);
    let folder = Folder::of_example("tls", &[("http: 9001", &format!("http: {}", app.port()))]);
    let certificate = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    folder.write("shop.example.key", &certificate.signing_key.serialize_pem());
    folder.write("shop.example.crt", &certificate.cert.pem());
    let dalbi = Dalbi::run(folder.path(), &[]);

    let redirect = http::send(
        dalbi.address(8080),
        request("GET", "/cart?id=1", &[("host", "shop.example")]),
    )
    .await;
    assert_eq!(
        (redirect.status(), redirect.header("location")),
        (301, "https://shop.example/cart?id=1")
    );

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate.cert.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(dalbi.address(8443))
        .await
        .unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tokio::time::timeout(support::PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer
            .to_lowercase()
            .contains("strict-transport-security: max-age=300"),
        "{answer}"
    );
    assert!(
        answer.contains("\"x-forwarded-proto\": [\n      \"https\""),
        "{answer}"
    );
}

#[tokio::test]
async fn grpc() {
    let upstreams = ["echo-1", "echo-2"].map(|name| Upstream::start(&["--name", name]));
    let replacements = [("9201", upstreams[0].port()), ("9202", upstreams[1].port())];
    let replacements: Vec<_> = replacements
        .iter()
        .map(|(from, to)| (*from, to.as_str()))
        .collect();
    let folder = Folder::of_example("grpc", &replacements);
    let dalbi = Dalbi::run(folder.path(), &[]);
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let message = b"\0\0\0\0\x05hello".as_slice();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let call = request_with_body("POST", "/dalbi.example.Echo/Say", &headers, message);
        let answer = http::send_h2(dalbi.address(8081), call).await;
        assert_eq!(answer.body, message);
        assert_eq!(answer.trailers.as_ref().unwrap()["grpc-status"], "0");
        seen.insert(answer.upstream().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["echo-1", "echo-2"]);

    let headers = [headers.as_slice(), &[("x-upstream", "grpc-status=9")]].concat();
    let call = request_with_body("POST", "/dalbi.example.Echo/Say", &headers, message);
    let refused = http::send_h2(dalbi.address(8081), call).await;
    assert_eq!(
        (refused.status(), refused.header("grpc-status")),
        (200, "9")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rollout() {
    let app = Upstream::start(&["--name", "shop"]);
    let server = (format!("http: {}", app.port()), "http: 9301");
    // Nobody listens on a port that was free a moment ago.
    let nobody = (format!("http: {}", support::free_port()), "http: 9302");
    let [good, bad] = ["bad-rollout/good", "bad-rollout/bad"]
        .map(|name| Folder::of_example(name, &[(server.1, &server.0), (nobody.1, &nobody.0)]));
    let dalbi = Dalbi::run(good.path(), &["--watch=false"]);
    let customers = Load::paced(4, Duration::from_millis(10), dalbi.address(8080), || {
        request("GET", "/", &[])
    });
    customers.answered(50).await;

    let state = dalbi.process.state().to_str().unwrap().to_owned();
    let bad = bad.path().to_str().unwrap().to_owned();
    let apply = tokio::task::spawn_blocking(move || {
        support::run_to_end(&["apply", &bad, "--canary", "20%", "--state", &state])
    });
    let applied = apply.await.unwrap();
    let told = String::from_utf8_lossy(&applied.stdout).into_owned();
    assert_eq!(applied.status.code(), Some(4), "{applied:?}");
    assert!(told.contains("rolled back"), "{applied:?}");
    // What was being asked when it went has ended by now.
    let seen = customers.stop().await;
    assert!(
        seen.good > 50 && seen.failed.len() < seen.good / 10,
        "{} failed",
        seen.failed.len()
    );
    for _ in 0..50 {
        let answer = http::get(dalbi.address(8080), "/").await;
        assert_eq!((answer.status(), answer.upstream()), (200, "shop"));
    }
}

#[test]
fn route_tests() {
    let output = support::run_to_end(&["test", support::example("route-tests").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.ends_with("7 passed, 0 failed\n"), "{told}");
}
