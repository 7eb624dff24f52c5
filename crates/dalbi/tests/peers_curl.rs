//! curl as a client: every version and framing that it speaks.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::path::PathBuf;

use support::peers::{self, curl, try_curl};
use support::wire::{Wire, WireUpstream, header};
use support::{Dalbi, Folder, Site, Upstream};

/// What most tests need: curl, a test server, and dalbi before it.
struct Stage {
    curl: PathBuf,
    dalbi: Dalbi,
    folder: Folder,
    _upstream: Upstream,
}

impl Stage {
    fn set(arguments: &[&str]) -> Option<Self> {
        let curl = peers::program("curl")?;
        let upstream = Upstream::start(&["--name", "app"]);
        let (dalbi, folder) = Site::to(&[upstream.address()]).serve(arguments);
        Some(Self {
            curl,
            dalbi,
            folder,
            _upstream: upstream,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.dalbi.address(8080))
    }

    /// A file to send, of bytes that repeat at no power of two.
    fn file(&self, bytes: usize) -> String {
        let path = self.folder.path().join("upload.bin");
        let content: Vec<u8> = (0..bytes).map(|position| (position % 251) as u8).collect();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn every_version_is_answered_in_kind() {
    let Some(stage) = Stage::set(&[]) else { return };
    let show = "\n%{http_code} %{http_version}";
    for (version, expected) in [
        ("--http1.1", "200 1.1"),
        ("--http2-prior-knowledge", "200 2"),
        ("--http1.0", "200 1.1"),
    ] {
        let printed = curl(&stage.curl, &[version, "-w", show, &stage.url("/a?b=c")]).await;
        let (body, summary) = printed.rsplit_once('\n').unwrap();
        assert_eq!(summary, expected, "{version}");
        let echo: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&echo["path"], &echo["query"]),
            (&"/a".into(), &"b=c".into())
        );
    }
    // `Upgrade: h2c` is not taken, and the request is answered all the same.
    let url = stage.url("/");
    let printed = curl(&stage.curl, &["--http2", "-w", show, &url]).await;
    assert!(printed.ends_with("\n200 1.1"), "{printed}");
    assert!(!printed.to_lowercase().contains("h2c"), "{printed}");
}

#[tokio::test]
async fn http_1_0_keeps_its_connection_only_when_asked() {
    let Some(stage) = Stage::set(&[]) else { return };
    // One URL twice: how many connections were opened for the second?
    let (url, show) = (stage.url("/?size=10"), "\n%{num_connects}");
    let twice = [url.as_str(), &url];
    let plain = curl(
        &stage.curl,
        &[&["--http1.0", "-w", show], &twice[..]].concat(),
    )
    .await;
    assert!(plain.ends_with("\n1"), "{plain}");
    let asked = ["--http1.0", "-H", "Connection: keep-alive", "-w", show];
    let kept = curl(&stage.curl, &[&asked, &twice[..]].concat()).await;
    assert!(kept.ends_with("\n0"), "{kept}");
    // A body of unknown length ends with the connection, and curl gets all of it.
    let upstream = WireUpstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n, 1\r\n0\r\n\r\n",
    )
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let url = format!("http://{}/", dalbi.address(8080));
    let head_and_body = curl(&stage.curl, &["--http1.0", "-i", &url]).await;
    assert!(
        head_and_body.ends_with("\r\n\r\nhello, 1"),
        "{head_and_body}"
    );
    assert!(!head_and_body.contains("chunked"), "{head_and_body}");
}

#[tokio::test]
async fn large_uploads_wait_for_100_continue() {
    let Some(stage) = Stage::set(&[]) else { return };
    let data = format!("@{}", stage.file(3_000_000));
    let url = stage.url("/");
    // HTTP/2 has nobody who waits; it must be as good.
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "25"];
        let send = [version, "-v", "--data-binary", &data, &url];
        let sent = try_curl(&stage.curl, &[&expect[..], &send].concat()).await;
        let told = String::from_utf8_lossy(&sent.stderr);
        assert!(sent.status.success(), "{told}");
        let echo: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
        assert_eq!(echo["body"]["bytes"], 3_000_000, "{version}");
        if version == "--http1.1" {
            assert!(told.contains("< HTTP/1.1 100 Continue"), "{told}");
        }
    }
}

#[tokio::test]
async fn an_unwanted_upload_is_refused_before_it_is_sent() {
    let Some(curl_path) = peers::program("curl") else {
        return;
    };
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        wire.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nno\n")
            .await;
        wire.rest().await;
    })
    .await;
    let (dalbi, folder) = Site::to(&[upstream.address()]).serve(&[]);
    let file = folder.path().join("upload.bin");
    fs::write(&file, vec![b'x'; 5_000_000]).unwrap();
    let data = format!("@{}", file.display());
    let url = format!("http://{}/", dalbi.address(8080));
    let show = "%{http_code} %{size_upload}";
    let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "25"];
    let send = ["--http1.1", "-w", show, "--data-binary", &data, &url];
    let printed = curl(&curl_path, &[&expect[..], &send].concat()).await;
    assert_eq!(printed, "no\n413 0");
    assert!(!upstream.received()[0].contains("xxx"));
}

#[tokio::test]
async fn uploads_of_unknown_length() {
    let Some(stage) = Stage::set(&[]) else { return };
    let file = stage.file(200_000);
    let url = stage.url("/?echo=body");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"];
        let send = [version, "-X", "POST", "-T", &file, "-o", "-", &url];
        let back = try_curl(&stage.curl, &[&chunked[..], &send].concat()).await;
        assert!(back.stdout == fs::read(&file).unwrap(), "{version}");
    }
}

#[tokio::test]
async fn answers_without_a_body() {
    let Some(stage) = Stage::set(&[]) else { return };
    let show = "%{http_code} %{size_download} %{num_connects}\n";
    let (no_content, not_modified) = (stage.url("/?status=204"), stage.url("/?status=304"));
    let both = ["--http1.1", "-w", show, &no_content, &not_modified];
    // Both on one connection: had a body been waited for, or sent, it could not have been kept.
    assert_eq!(curl(&stage.curl, &both).await, "204 0 1\n304 0 0\n");
    let url = stage.url("/?size=1234");
    let twice = curl(&stage.curl, &["--http1.1", "--head", &url, &url]).await;
    let lengths = twice.to_lowercase().matches("content-length: 1234").count();
    assert_eq!(lengths, 2, "{twice}");

    // This curl can't use a connection by prior knowledge again, whoever the server is.
    let h2 = "--http2-prior-knowledge";
    for (url, expected) in [(no_content, "204 0 1\n"), (not_modified, "304 0 1\n")] {
        assert_eq!(curl(&stage.curl, &[h2, "-w", show, &url]).await, expected);
    }
    let head = curl(&stage.curl, &[h2, "--head", &url]).await;
    assert!(head.contains("content-length: 1234"), "{head}");
}

#[tokio::test]
async fn bodies_of_any_size_take_little_memory() {
    const SIZE: usize = 50 * 1024 * 1024;
    let Some(stage) = Stage::set(&[]) else { return };
    let file = stage.file(SIZE);
    let data = format!("@{file}");
    let before = stage.dalbi.process.peak_kib();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        // A slow reader must slow the server down instead of filling memory: 50 MiB at 100 MiB/s and
        // without a limit. The answer is thrown away.
        let down = stage.url(&format!("/?size={SIZE}"));
        let show = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
        let slow = [&[version, "--limit-rate", "100M"][..], &show, &[&down]].concat();
        assert_eq!(
            curl(&stage.curl, &slow).await,
            format!("200 {SIZE}"),
            "{version}"
        );
        let up = stage.url("/?size=2");
        let show = ["-o", "/dev/null", "-w", "%{http_code} %{size_upload}"];
        let upload = [&[version, "--data-binary", &data][..], &show, &[&up]].concat();
        assert_eq!(
            curl(&stage.curl, &upload).await,
            format!("200 {SIZE}"),
            "{version}"
        );
    }
    let grown = stage.dalbi.process.peak_kib() - before;
    assert!(grown < 16 * 1024, "bodies took {grown} KiB of memory");
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_server() {
    let upstream = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let before = dalbi.process.peak_kib();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client
            .send("GET /?size=200MiB HTTP/1.1\r\nhost: test\r\n\r\n")
            .await;
        assert!(client.arrives().await);
        clients.push(client);
    }
    // By now each has had a first piece, and what it does not take stays where it is.
    let others = support::http::get(dalbi.address(8080), "/?size=1MiB").await;
    assert_eq!(others.body.len(), 1024 * 1024);
    let grown = dalbi.process.peak_kib() - before;
    assert!(
        grown < 16 * 1024,
        "20 idle readers took {grown} KiB of memory"
    );
}

#[tokio::test]
async fn trailers_pass_in_every_combination() {
    let Some(curl_path) = peers::program("curl") else {
        return;
    };
    let upstream = WireUpstream::answering(
        "HTTP/1.1 200 OK\r\ntrailer: x-sum, content-length\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 42\r\ncontent-length: 99\r\n\r\n",
    )
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let url = format!("http://{}/", dalbi.address(8080));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        // curl prints trailers among the headers.
        let printed = curl(
            &curl_path,
            &[version, "-D", "-", "-H", "TE: trailers", &url],
        )
        .await;
        assert!(printed.contains("hello"), "{version}: {printed}");
        assert!(printed.contains("x-sum: 42"), "{version}: {printed}");
        assert!(!printed.contains("99"), "{version}: {printed}");
    }
    // The test server's own gRPC answers carry theirs over HTTP/2.
    let grpc = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[grpc.address()]).protocol("HTTP2").serve(&[]);
    let url = format!("http://{}/x.Y/Z", dalbi.address(8080));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let call = ["-X", "POST", "-H", "Content-Type: application/grpc"];
        let printed = curl(
            &curl_path,
            &[&call[..], &[version, "-D", "-", "-H", "TE: trailers", &url]].concat(),
        )
        .await;
        assert!(printed.contains("grpc-status: 0"), "{version}: {printed}");
    }
}

#[tokio::test]
async fn a_rewritten_request_says_where_it_came_from() {
    let Some(stage) = Stage::set(&[]) else { return };
    let send = |version| {
        let url = stage.url("/");
        let curl_path = stage.curl.clone();
        async move {
            let headers = [
                "-H",
                "X-Forwarded-For: 192.0.2.1",
                "-H",
                "X-Forwarded-Proto: https",
            ];
            let printed = curl(&curl_path, &[&headers[..], &[version, &url]].concat()).await;
            serde_json::from_str::<serde_json::Value>(&printed).unwrap()["headers"].take()
        }
    };
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let headers = send(version).await;
        assert_eq!(headers["x-forwarded-for"][0], "192.0.2.1, 127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], serde_json::json!(["http"]));
        assert!(headers["via"].is_null() && headers["connection"].is_null());
        for added in ["x-request-id", "traceparent"] {
            assert_eq!(headers[added].as_array().unwrap().len(), 1, "{added}");
        }
    }
}

#[tokio::test]
async fn hop_by_hop_fields_end_here() {
    let upstream = WireUpstream::answering(
        "HTTP/1.1 200 OK\r\nconnection: x-secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\n\
         proxy-authenticate: Basic\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send(
            "GET / HTTP/1.1\r\nhost: test\r\nconnection: close, X-Hop\r\nx-hop: 1\r\nx-end: 2\r\n\
             te: trailers, gzip\r\nproxy-connection: keep-alive\r\nkeep-alive: 1\r\n\r\n",
        )
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.text(), "ok");
    for gone in ["x-secret", "keep-alive"] {
        assert_eq!(header(&answer.head, gone), None, "{}", answer.head);
    }
    let received = upstream.received().remove(0);
    assert_eq!(header(&received, "x-end"), Some("2"));
    for gone in ["x-hop", "proxy-connection", "keep-alive"] {
        assert_eq!(header(&received, gone), None, "{received}");
    }
    assert!(client.is_closed().await, "the client asked for it");
}
