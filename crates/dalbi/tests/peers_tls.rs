//! TLS towards curl and towards nginx.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::PathBuf;
use std::process::Output;

use support::http;
use support::peers::{self, try_curl};
use support::{Authority, Dalbi, Folder, Site, Upstream, WebServer};

/// curl before dalbi's HTTPS port.
struct Client<'d> {
    curl: PathBuf,
    dalbi: &'d Dalbi,
    folder: &'d Folder,
}

impl Client<'_> {
    /// Sends a GET to `host`, trusting the authority named `trusted`.
    async fn try_get(&self, host: &str, trusted: &str, more: &[&str]) -> Output {
        let address = self.dalbi.address(8443);
        let port = address.port();
        let resolve = format!("{host}:{port}:{}", address.ip());
        let trusted = self.path(&format!("{trusted}.crt"));
        let url = format!("https://{host}:{port}/?header=x-a:b");
        let show = "\n%{http_code} %{http_version}";
        let always = [
            "--resolve",
            &resolve,
            "--cacert",
            &trusted,
            "-w",
            show,
            &url,
        ];
        try_curl(&self.curl, &[&always, more].concat()).await
    }

    /// The same; what curl printed as its last line.
    async fn get(&self, host: &str, trusted: &str, more: &[&str]) -> String {
        let output = self.try_get(host, trusted, more).await;
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.rsplit_once('\n').unwrap().1.to_owned()
    }

    fn path(&self, file: &str) -> String {
        let path = self.folder.path().join(file);
        path.to_str().unwrap().to_owned()
    }
}

fn server(file: &str, more: &str) -> String {
    format!("{{mode: SIMPLE, serverCertificate: {file}.crt, privateKey: {file}.key{more}}}")
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() {
    let Some(curl) = peers::program("curl") else {
        return;
    };
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    // An authority each: trusting one shows whose certificate was sent.
    for name in ["a", "b"] {
        let authority = Authority::new(&folder, &format!("ca-{name}"));
        authority.sign(&folder, name, &format!("{name}.example"));
    }
    let dalbi = Site::to(&[app.address()])
        .tls("a.example", &server("a", ""))
        .tls("b.example", &server("b", ""))
        .serve_in(&folder, &[]);
    let (dalbi, folder) = (&dalbi, &folder);
    let client = Client {
        curl,
        dalbi,
        folder,
    };
    for name in ["a", "b"] {
        let (host, authority) = (format!("{name}.example"), format!("ca-{name}"));
        assert_eq!(client.get(&host, &authority, &["--http2"]).await, "200 2");
        assert_eq!(
            client.get(&host, &authority, &["--http1.1"]).await,
            "200 1.1"
        );
        assert_eq!(
            client.get(&host, &authority, &["--no-alpn"]).await,
            "200 1.1"
        );
    }
    let other = client.try_get("a.example", "ca-b", &[]).await;
    assert_eq!(
        other.status.code(),
        Some(60),
        "a.example has b's: {other:?}"
    );
    let nobody = client.try_get("c.example", "ca-a", &["--insecure"]).await;
    assert!(
        !nobody.status.success(),
        "nobody serves c.example: {nobody:?}"
    );

    // A request on a's connection for b's host: what the handshake agreed to is what is served.
    let strayed = ["-H", "Host: b.example", "--http1.1"];
    let answer = client.get("a.example", "ca-a", &strayed).await;
    assert!(matches!(answer.as_str(), "421 1.1" | "404 1.1"), "{answer}");
}

#[tokio::test]
async fn a_client_may_have_to_show_a_certificate() {
    let Some(curl) = peers::program("curl") else {
        return;
    };
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    authority.sign(&folder, "a", "a.example");
    authority.sign(&folder, "client", "client.example");
    let stranger = Authority::new(&folder, "other");
    stranger.sign(&folder, "stranger", "client.example");
    let mutual =
        "{mode: MUTUAL, serverCertificate: a.crt, privateKey: a.key, caCertificates: ca.crt}";
    let dalbi = Site::to(&[app.address()])
        .tls("a.example", mutual)
        .serve_in(&folder, &[]);
    let (dalbi, folder) = (&dalbi, &folder);
    let client = Client {
        curl,
        dalbi,
        folder,
    };
    let show = |name: &str| {
        [
            client.path(&format!("{name}.crt")),
            client.path(&format!("{name}.key")),
        ]
    };
    for version in ["--http1.1", "--http2"] {
        let [certificate, key] = show("client");
        let shown = [version, "--cert", &certificate, "--key", &key];
        let answer = client.get("a.example", "ca", &shown).await;
        assert!(answer.starts_with("200 "), "{answer}");
        let none = client.try_get("a.example", "ca", &[version]).await;
        assert!(!none.status.success(), "{none:?}");
        let [certificate, key] = show("stranger");
        let shown = [version, "--cert", &certificate, "--key", &key];
        let wrong = client.try_get("a.example", "ca", &shown).await;
        assert!(!wrong.status.success(), "{wrong:?}");
    }
}

#[tokio::test]
async fn versions_of_tls_are_bounded() {
    let Some(curl) = peers::program("curl") else {
        return;
    };
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    for name in ["new", "old", "any"] {
        authority.sign(&folder, name, &format!("{name}.example"));
    }
    let dalbi = Site::to(&[app.address()])
        .tls(
            "new.example",
            &server("new", ", minProtocolVersion: TLSV1_3"),
        )
        .tls(
            "old.example",
            &server("old", ", maxProtocolVersion: TLSV1_2"),
        )
        .tls("any.example", &server("any", ""))
        .serve_in(&folder, &[]);
    let (dalbi, folder) = (&dalbi, &folder);
    let client = Client {
        curl,
        dalbi,
        folder,
    };
    let (only_1_2, only_1_3) = (
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    );
    for (host, offer, works) in [
        ("new.example", only_1_2, false),
        ("new.example", only_1_3, true),
        ("old.example", only_1_2, true),
        ("old.example", only_1_3, false),
        ("any.example", only_1_2, true),
        ("any.example", only_1_3, true),
    ] {
        let output = client.try_get(host, "ca", &offer).await;
        assert_eq!(
            output.status.success(),
            works,
            "{host} {offer:?}: {output:?}"
        );
    }
}

#[tokio::test]
async fn a_changed_certificate_is_served_without_a_reload() {
    let Some(curl) = peers::program("curl") else {
        return;
    };
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    let old = Authority::new(&folder, "old");
    old.sign(&folder, "a", "a.example");
    let dalbi = Site::to(&[app.address()])
        .tls("a.example", &server("a", ""))
        .serve_in(&folder, &[]);
    let (dalbi, folder) = (&dalbi, &folder);
    let client = Client {
        curl,
        dalbi,
        folder,
    };
    let works_by = async |authority: &str| {
        let output = client.try_get("a.example", authority, &[]).await;
        output.status.success()
    };
    assert!(works_by("old").await);
    let new = Authority::new(folder, "new");
    // Half of a change is no reason to serve nothing: the key is the new one's, the certificate the old.
    folder.write(
        "spare.crt",
        &std::fs::read_to_string(client.path("a.crt")).unwrap(),
    );
    new.sign(folder, "a", "a.example");
    support::until("the new one is served", async || works_by("new").await).await;
    assert!(!works_by("old").await);

    let good = std::fs::read_to_string(client.path("a.crt")).unwrap();
    folder.write("a.crt", "not a certificate");
    dalbi.process.log_line("a warning", |line| {
        line.contains("the old one stays").then_some(())
    });
    assert!(works_by("new").await);
    folder.write("a.crt", &good);
    assert!(works_by("new").await);
}

/// nginx with TLS for `app.example`, signed by the authority `ca`.
fn nginx(folder: &Folder, listens: &str, more: &str) -> Option<WebServer> {
    let authority = Authority::new(folder, "ca");
    authority.sign(folder, "app", "app.example");
    let path = folder.path().display();
    WebServer::nginx(
        listens,
        &format!("ssl_certificate {path}/app.crt; ssl_certificate_key {path}/app.key; {more}"),
    )
}

#[tokio::test]
async fn endpoints_are_spoken_to_over_tls() {
    for (listens, protocol) in [("ssl", "HTTPS"), ("ssl http2", "HTTP2")] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let folder = Folder::new();
            let more = format!("ssl_protocols {version};");
            let Some(server) = nginx(&folder, listens, &more) else {
                return;
            };
            let dalbi = Site::to(&[server.address()])
                .protocol(protocol)
                .policy("{tls: {mode: SIMPLE, caCertificates: ca.crt, sni: app.example}}")
                .serve_in(&folder, &[]);
            for _ in 0..3 {
                let answer = http::get(dalbi.address(8080), "/large.bin").await;
                assert!(
                    answer.body == server.file("large.bin"),
                    "{protocol} {version}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_who_it_should_be_is_not_spoken_to() {
    let folder = Folder::new();
    let Some(server) = nginx(&folder, "ssl", "") else {
        return;
    };
    Authority::new(&folder, "other");
    let told = async |tls: &str| {
        let dalbi = Site::to(&[server.address()])
            .rule("retries: {attempts: 0}")
            .policy(&format!("{{tls: {tls}}}"))
            .serve_in(&folder, &[]);
        let answer = http::get(dalbi.address(8080), "/hello.txt").await;
        let flags = answer.header("x-dalbi-response-flags").to_owned();
        (answer.status(), flags)
    };
    let good = (200, String::new());
    let failed = (503, "UF".to_owned());
    for (tls, expected) in [
        (
            "{mode: SIMPLE, caCertificates: ca.crt, sni: app.example}",
            &good,
        ),
        (
            "{mode: SIMPLE, caCertificates: other.crt, sni: app.example}",
            &failed,
        ),
        (
            "{mode: SIMPLE, caCertificates: ca.crt, sni: wrong.example}",
            &failed,
        ),
        (
            "{mode: SIMPLE, caCertificates: ca.crt, sni: wrong.example, subjectAltNames: [app.example]}",
            &good,
        ),
        (
            "{mode: SIMPLE, caCertificates: ca.crt, sni: app.example, subjectAltNames: [x.example]}",
            &failed,
        ),
        // Nobody that this machine trusts has signed it.
        ("{mode: SIMPLE, sni: app.example}", &failed),
        (
            "{mode: SIMPLE, sni: app.example, insecureSkipVerify: true}",
            &good,
        ),
    ] {
        assert_eq!(&told(tls).await, expected, "{tls}");
    }
}

#[tokio::test]
async fn endpoints_may_want_to_know_us() {
    let folder = Folder::new();
    let path = folder.path().display();
    let more = format!("ssl_verify_client on; ssl_client_certificate {path}/ca.crt;");
    let Some(server) = nginx(&folder, "ssl", &more) else {
        return;
    };
    let authority = Authority::new(&folder, "clients");
    authority.sign(&folder, "stranger", "us.example");
    for (certificate, status) in [("app", 200), ("stranger", 400)] {
        let dalbi = Site::to(&[server.address()])
            .policy(&format!(
                "{{tls: {{mode: MUTUAL, caCertificates: ca.crt, sni: app.example, \
                 clientCertificate: {certificate}.crt, privateKey: {certificate}.key}}}}"
            ))
            .serve_in(&folder, &[]);
        let answer = http::get(dalbi.address(8080), "/hello.txt").await;
        assert_eq!(answer.status(), status, "{certificate}");
    }
}
