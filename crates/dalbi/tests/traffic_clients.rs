//! Clients that leave before they are answered, and that come to the wrong place.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use support::peers::{self, curl};
use support::wire::{Wire, WireUpstream, in_time};
use support::{Authority, Folder, Site, Upstream, http, until};

/// An endpoint that answers nothing and tells when its connection ends.
async fn hanging() -> (WireUpstream, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let (ended, ends) = tokio::sync::mpsc::unbounded_channel();
    let upstream = WireUpstream::start(move |_, mut wire: Wire| {
        let ended = ended.clone();
        async move {
            while wire.more().await {}
            ended.send(()).ok();
        }
    })
    .await;
    (upstream, ends)
}

#[tokio::test]
async fn an_endpoint_does_not_go_on_for_a_client_that_left() {
    let (upstream, mut ends) = hanging().await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let get = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
    // One resets its connection, the other closes it, which could as well mean that it reads on.
    for (count, (request, resets)) in [(get, true), (post, false)].into_iter().enumerate() {
        let mut client = Wire::connect(dalbi.address(8080)).await;
        client.send(request).await;
        until("the endpoint has it", async || {
            upstream.requests("HTTP/1.1") == count + 1
        })
        .await;
        match resets {
            true => client.reset(),
            false => drop(client),
        }
        in_time("the endpoint's end", ends.recv()).await.unwrap();
    }
    until("both are counted", async || {
        let metrics = http::get(dalbi.admin(), "/metrics").await;
        let series = "response_code=\"0\",response_flags=\"DC\"} 2\n";
        metrics.text().contains(series)
    })
    .await;
}

#[tokio::test]
async fn a_request_for_another_servers_host_is_sent_away() {
    let Some(program) = peers::program("curl") else {
        return;
    };
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let server =
        |file| format!("{{mode: SIMPLE, serverCertificate: {file}.crt, privateKey: {file}.key}}");
    for name in ["a", "b"] {
        authority.sign(&folder, name, &format!("{name}.example"));
    }
    let dalbi = Site::to(&[app.address()])
        .tls("a.example", &server("a"))
        .tls("*.example", &server("b"))
        .serve_in(&folder, &[]);
    let address = dalbi.address(8443);
    let ask = async |name: &str, host: &str, version: &str| {
        let resolve = format!("{name}:{}:{}", address.port(), address.ip());
        let url = format!("https://{name}:{}/", address.port());
        let host = format!("Host: {host}");
        let show = ["-o", "/dev/null", "-w", "%{http_code}"];
        let ask = [
            "--insecure",
            "--resolve",
            &resolve,
            "-H",
            &host,
            version,
            &url,
        ];
        curl(&program, &[&show[..], &ask].concat()).await
    };
    for version in ["--http1.1", "--http2"] {
        assert_eq!(ask("a.example", "a.example", version).await, "200");
        assert_eq!(ask("b.example", "c.example", version).await, "200");
        assert_eq!(ask("b.example", "a.example", version).await, "421");
        assert_eq!(ask("a.example", "b.example:443", version).await, "421");
        assert_eq!(ask("a.example", "elsewhere.test", version).await, "404");
    }
}
