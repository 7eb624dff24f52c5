//! Clients that leave before they are answered, and that come to the wrong place.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use support::peers::{self, curl};
use support::wire::{Wire, WireUpstream, in_time};
use support::{Authority, Folder, Site, Upstream, until};

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
        let metrics = support::metrics(&dalbi).await;
        let series = "response_code=\"0\",response_flags=\"DC\"} 2\n";
        metrics.contains(series)
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

/// `openssl s_client`, whose connection stays while the configuration changes.
struct Secure {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Secure {
    fn connect(program: &Path, address: SocketAddr, name: &str) -> Self {
        let mut child = Command::new(program)
            .args(["s_client", "-quiet", "-servername", name, "-connect"])
            .arg(address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    /// The status of the answer to a GET.
    fn get(&mut self, host: &str) -> u16 {
        write!(self.input, "GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.output.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let length = support::wire::header(&head, "content-length").unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.output.read_exact(&mut body).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn is_closed(&mut self) -> bool {
        self.output.read(&mut [0]).unwrap() == 0
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn a_reload_gives_no_connection_what_its_handshake_did_not() {
    let Some(openssl) = peers::program("openssl") else {
        return;
    };
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    authority.sign(&folder, "a", "a.example");
    let files = "serverCertificate: a.crt, privateKey: a.key";
    let simple = format!("{{mode: SIMPLE, {files}}}");
    let mutual = format!("{{mode: MUTUAL, {files}, caCertificates: ca.crt}}");
    let site = Site::to(&[app.address()]);
    let dalbi = site.clone().tls("*", &simple).serve_in(&folder, &[]);
    let address = dalbi.address(8443);
    let mut client = Secure::connect(&openssl, address, "pub.example");
    assert_eq!(client.get("pub.example"), 200);
    assert_eq!(client.get("admin.example"), 200);

    // Another server takes the place in the list that the connection's own had.
    let documents = site.clone().tls("admin.example", &mutual).tls("*", &simple);
    folder.write("site.yaml", &documents.documents());
    until("the host needs a certificate", async || {
        Secure::connect(&openssl, address, "pub.example").get("admin.example") == 421
    })
    .await;
    assert_eq!(client.get("admin.example"), 421);
    assert_eq!(client.get("pub.example"), 200);

    let documents = site.tls("*", &mutual);
    folder.write("site.yaml", &documents.documents());
    let client = RefCell::new(client);
    until("this one's server does too", async || {
        client.borrow_mut().get("pub.example") == 421
    })
    .await;
    assert!(client.borrow_mut().is_closed());
}
