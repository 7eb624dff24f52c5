//! `dalbi explain`: it tells what the proxy does.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fmt::Write as _;

use support::http::{Answer, Connection, request};
use support::{Dalbi, Folder, Upstream, run_to_end};

/// How many requests both are asked about.
const REQUESTS: usize = 10_000;
/// Another one gives other rules and other requests.
const SEED: u64 = 4;

const HOSTS: [&str; 4] = ["a.example", "b.example", "'*.example'", "'*'"];
const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/ab", "/A", "/b", "/b/c", "/c"];
const REGEXES: [&str; 4] = ["/a(/.*)?", "/[ab]+", ".*c", "/b/\\\\w"];
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
const VALUES: [&str; 4] = ["1", "12", "x", ""];

/// One of a list.
fn one<'l>(random: &mut fastrand::Rng, list: &[&'l str]) -> &'l str {
    list[random.usize(..list.len())]
}

/// A condition on text, in Istio's words.
fn text_match(random: &mut fastrand::Rng, texts: &[&str], regexes: &[&str]) -> String {
    match random.u8(..4) {
        0 => format!("{{ regex: \"{}\" }}", one(random, regexes)),
        1 => format!("{{ exact: \"{}\" }}", one(random, texts)),
        _ => format!("{{ prefix: \"{}\" }}", one(random, texts)),
    }
}

/// One entry of `match`, which may ask for anything.
fn entry(random: &mut fastrand::Rng) -> String {
    let mut parts = Vec::new();
    if random.u8(..4) > 0 {
        parts.push(format!("uri: {}", text_match(random, &PATHS, &REGEXES)));
        if random.u8(..4) == 0 {
            parts.push("ignoreUriCase: true".to_owned());
        }
    }
    if random.u8(..3) == 0 {
        parts.push(format!("method: {{ exact: {} }}", one(random, &METHODS)));
    }
    if random.u8(..3) == 0 {
        let field = one(random, &["headers", "withoutHeaders"]);
        let value = match random.u8(..3) {
            0 => "{}".to_owned(),
            _ => text_match(random, &VALUES[..3], &["1.*", "[a-z]"]),
        };
        parts.push(format!("{field}: {{ x-a: {value} }}"));
    }
    if random.u8(..5) == 0 {
        let value = text_match(random, &VALUES[..3], &["1.*"]);
        parts.push(format!("queryParams: {{ q: {value} }}"));
    }
    if parts.is_empty() {
        parts.push("scheme: { exact: http }".to_owned());
    }
    format!("{{ {} }}", parts.join(", "))
}

/// One of `http`, with its number in whatever it does.
fn rule(random: &mut fastrand::Rng, number: usize) -> String {
    let entries: Vec<_> = (0..random.usize(1..3)).map(|_| entry(random)).collect();
    let action = match random.u8(..3) {
        0 => format!(
            "directResponse: {{ status: {}, body: {{ string: rule-{number} }} }}",
            210 + number % 80
        ),
        1 => match random.u8(..3) {
            0 => format!("redirect: {{ uri: /to-{number} }}"),
            1 => "redirect: { scheme: https, redirectCode: 308 }".to_owned(),
            _ => format!("redirect: {{ authority: r{number}.example, redirectCode: 302 }}"),
        },
        _ => {
            let rewrite = match random.u8(..4) {
                0 => format!("rewrite: {{ uri: /new-{number} }}, "),
                1 => format!("rewrite: {{ authority: h{number}.example }}, "),
                2 => "rewrite: { uriRegexRewrite: { match: '^/(.)', rewrite: '/x-\\1' } }, "
                    .to_owned(),
                _ => String::new(),
            };
            format!(
                "{rewrite}headers: {{ request: {{ set: {{ x-rule: r{number} }} }} }}, \
                 route: [{{ destination: {{ host: app.internal }} }}]"
            )
        }
    };
    format!(
        "  - {{ name: r{number}, match: [{}], {action} }}\n",
        entries.join(", ")
    )
}

fn documents(random: &mut fastrand::Rng, upstream_port: &str) -> String {
    let mut text = format!(
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{ name: edge }}
spec: {{ servers: [{{ port: {{ number: 8080, name: http, protocol: HTTP }}, hosts: ['*'] }}] }}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: app }}
spec:
  hosts: [app.internal]
  ports: [{{ number: 80, name: http, protocol: HTTP }}]
  resolution: STATIC
  endpoints: [{{ address: 127.0.0.1, ports: {{ http: {upstream_port} }} }}]
"
    );
    for (number, host) in HOSTS.iter().enumerate() {
        write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: v{number} }}\nspec:\n  \
             gateways: [edge]\n  hosts: [{host}]\n  http:\n"
        )
        .unwrap();
        for position in 0..12 {
            text.push_str(&rule(random, number * 12 + position));
        }
    }
    text
}

/// A request as a client may write it, in other spellings too.
struct Sent {
    method: &'static str,
    path: String,
    host: &'static str,
    header: Option<&'static str>,
}

fn sent(random: &mut fastrand::Rng) -> Sent {
    let mut path = one(random, &PATHS).to_owned();
    path.push_str(match random.u8(..8) {
        0 => "/c",
        1 => "/../b",
        2 => "/./c",
        3 => "%2Fb",
        4 => "/%62",
        5 => "//b",
        _ => "",
    });
    if random.bool() {
        path.push_str("?q=");
        path.push_str(one(random, &VALUES));
    }
    Sent {
        method: METHODS[random.usize(..METHODS.len())],
        path,
        host: one(
            random,
            &[
                "a.example",
                "A.Example",
                "b.example:8080",
                "c.example",
                "d.c.example",
                "other",
                "127.0.0.1:1",
            ],
        ),
        header: random.bool().then(|| one(random, &VALUES)),
    }
}

/// What the proxy did, in the words of [`told`].
fn done(answer: &Answer) -> String {
    match answer.status() {
        404 if answer.header("x-dalbi-response-flags") == "NR" => "not found".to_owned(),
        300..400 => format!("{} to {}", answer.status(), answer.header("location")),
        status if answer.upstream() == "app" => {
            let seen = answer.json();
            let query = match seen["query"].as_str().unwrap_or_default() {
                "" => String::new(),
                query => format!("?{query}"),
            };
            let header = |name: &str| {
                seen["headers"][name][0]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let path = seen["path"].as_str().unwrap_or_default();
            assert_eq!(status, 200);
            format!(
                "{} got {path}{query} for {}",
                header("x-rule"),
                header("host")
            )
        }
        status => format!("{status} {}", answer.text()),
    }
}

/// What `explain` says is done.
fn told(story: &serde_json::Value) -> String {
    let outcome = &story["outcome"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match outcome["kind"].as_str().unwrap() {
        "not_found" => "not found".to_owned(),
        "redirect" => format!("{} to {}", outcome["status"], text(&outcome["location"])),
        "direct_response" => format!("{} {}", outcome["status"], text(&outcome["body"])),
        "forward" => format!(
            "{} got {} for {}",
            text(&story["rule"]["name"]),
            text(&outcome["path_and_query"]),
            text(&outcome["authority"])
        ),
        other => panic!("{other} in {story}"),
    }
}

#[tokio::test]
async fn explain_and_the_proxy_agree() {
    let random = &mut fastrand::Rng::with_seed(SEED);
    let app = Upstream::start(&["--name", "app"]);
    let folder = Folder::new();
    folder.write("routes.yaml", &documents(random, &app.port()));
    let all: Vec<Sent> = (0..REQUESTS).map(|_| sent(random)).collect();
    let mut lines = String::new();
    for Sent {
        method,
        path,
        host,
        header,
    } in &all
    {
        let header = header.map_or_else(String::new, |value| format!("\tx-a: {value}"));
        writeln!(lines, "{method} {path}\thost: {host}{header}").unwrap();
    }
    let requests = Folder::new();
    requests.write("requests.txt", &lines);
    let explained = run_to_end(&[
        "explain",
        folder.path().to_str().unwrap(),
        "--listener",
        "8080",
        "--requests",
        requests.path().join("requests.txt").to_str().unwrap(),
    ]);
    assert_eq!(explained.status.code(), Some(0), "{explained:?}");
    let stories: Vec<serde_json::Value> = explained
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(stories.len(), REQUESTS);

    let dalbi = Dalbi::run(folder.path(), &["--response-flags"]);
    let mut connection = Connection::open(dalbi.address(8080)).await.unwrap();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for (sent, story) in all.iter().zip(&stories) {
        let mut headers = vec![("host", sent.host)];
        headers.extend(sent.header.map(|value| ("x-a", value)));
        let answer = connection
            .send(request(sent.method, &sent.path, &headers))
            .await
            .unwrap();
        assert_eq!(
            done(&answer),
            told(story),
            "seed {SEED}: {} {} for {}, x-a {:?}\n{story:#}",
            sent.method,
            sent.path,
            sent.host,
            sent.header
        );
        *seen
            .entry(story["outcome"]["kind"].as_str().unwrap())
            .or_default() += 1;
    }
    // Each way is gone often enough to mean something.
    for kind in ["not_found", "redirect", "direct_response", "forward"] {
        assert!(
            seen.get(kind).is_some_and(|count| *count > 100),
            "{kind} in {seen:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_to_ourselves_leads_to_the_port_in_use() {
    let folder = Folder::new();
    folder.write(
        "routes.yaml",
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec: { servers: [{ port: { number: 8080, name: http, protocol: HTTP }, hosts: ['*'] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge }
spec:
  gateways: [edge]
  hosts: [a.example]
  http: [{ redirect: { scheme: https, port: 8443 } }]
",
    );
    let dalbi = Dalbi::run(folder.path(), &[]);
    let location = async |host: &str| {
        let answer =
            support::http::send(dalbi.address(8080), request("GET", "/", &[("host", host)])).await;
        answer.header("location").to_owned()
    };
    let ours = format!("a.example:{}", dalbi.address(8080).port());
    let expected = format!("https://a.example:{}/", dalbi.address(8443).port());
    assert_eq!(location(&ours).await, expected);
    assert_eq!(
        location("a.example").await,
        "https://a.example:8443/",
        "nobody named our port"
    );
}

/// Documents with everything that a rule can do to a request.
const EVERYTHING: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: app }
spec:
  hosts: [app.example]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: 9001 } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: app }
spec:
  host: app.example
  trafficPolicy:
    loadBalancer: { simple: LEAST_REQUEST }
    outlierDetection: { consecutive5xxErrors: 3, baseEjectionTime: 30s }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: app }
spec:
  hosts: [app.example]
  http:
  - match: [{ sourceNamespace: prod }]
    directResponse: { status: 204 }
  - fault:
      delay: { percentage: { value: 10 }, fixedDelay: 2s }
      abort: { percentage: { value: 1.5 }, httpStatus: 503 }
    corsPolicy: { allowOrigins: [{ exact: 'https://a.example' }], allowMethods: [GET] }
    mirror: { host: app.example }
    mirrorPercentage: { value: 25 }
    timeout: 3s
    route: [{ destination: { host: app.example } }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: none }
spec: {}
";

#[test]
fn everything_that_a_rule_does_is_told() {
    let folder = Folder::new();
    folder.write("all.yaml", EVERYTHING);
    let explain = |arguments: &[&str]| {
        let folder = folder.path().to_str().unwrap();
        let output = run_to_end(
            &[
                &["explain", folder, "GET", "http://app.example/"],
                arguments,
            ]
            .concat(),
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = explain(&[]);
    for line in [
        "  fault         10% of requests wait 2s, 1.5% of requests get 503",
        "  CORS          origins exactly `https://a.example`, methods GET",
        "  mirror        25% outbound|80||app.example",
        "  access        everybody: 1 AuthorizationPolicy not enforced yet",
        "  cluster       100% outbound|80||app.example (HTTP/1.1, least request of 2)",
        "                  ejects after 3 5xx in a row, for 30s at first, at most 10% of endpoints",
    ] {
        assert!(
            told.lines().any(|found| found == line),
            "{line} in:\n{told}"
        );
    }
    let from_prod = explain(&["--from", "namespace=prod"]);
    assert!(
        from_prod.contains("  answer        204 without a body"),
        "{from_prod}"
    );
    let json: serde_json::Value = serde_json::from_str(&explain(&["--output", "json"])).unwrap();
    assert_eq!(
        (&json["fault"]["delay_ms"], &json["fault"]["abort_status"]),
        (&2000.0.into(), &503.into())
    );
    assert_eq!(json["mirrors"][0]["percent"], 25.0);
}

#[test]
fn bare_connections_are_followed_too() {
    let folder = Folder::new();
    folder.write(
        "tcp.yaml",
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  servers:
  - { port: { number: 8443, name: tls, protocol: TLS }, hosts: [db.example], tls: { mode: PASSTHROUGH } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: db }
spec:
  gateways: [edge]
  hosts: [db.example]
  tls: [{ match: [{ port: 8443, sniHosts: [db.example] }], route: [{ destination: { host: db.internal } }] }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: db }
spec:
  hosts: [db.internal]
  ports: [{ number: 5432, name: tcp, protocol: TCP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { tcp: 9001 } }]
",
    );
    let explain = |url: &str| {
        let output = run_to_end(&["explain", folder.path().to_str().unwrap(), "CONNECT", url]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = explain("tls://db.example:8443");
    assert!(
        told.contains("  bytes         go on as they are, TLS and all\n"),
        "{told}"
    );
    assert!(
        told.contains("  cluster       100% outbound|5432||db.internal (TCP"),
        "{told}"
    );
    let other = explain("tls://other.example:8443");
    assert!(
        other.contains("no server of this listener has the name other.example"),
        "{other}"
    );
}
