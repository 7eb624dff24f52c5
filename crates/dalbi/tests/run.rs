//! `dalbi run` as a process: what it says, what it reloads, how it ends.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use support::http::{self, Connection, request};
use support::{Dalbi, Folder, Process, Upstream, free_port, run_to_end};

/// One gateway on port 8080 that answers everything with `body`.
fn answering(body: &str) -> String {
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 8080, name: http, protocol: HTTP}}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all}}
spec:
  hosts: ['*']
  gateways: [gate]
  http:
  - directResponse:
      status: 200
      body: {{string: {body}}}
"
    )
}

/// The same, leading to servers on these ports.
fn forwarding(ports: &[String]) -> String {
    let mut documents = answering("unused");
    let action = documents.find("  - directResponse").unwrap();
    documents.truncate(action);
    // The first line's indentation counts, so nothing may eat it.
    documents.push_str(
        "  - route:
    - destination: {host: app.internal}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.internal]
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP}
  endpoints:
",
    );
    for port in ports {
        documents.push_str(&format!(
            "  - address: 127.0.0.1\n    ports: {{http: {port}}}\n"
        ));
    }
    documents
}

async fn body(dalbi: &Dalbi) -> String {
    http::get(dalbi.address(8080), "/").await.text().to_owned()
}

#[tokio::test]
async fn it_says_what_it_serves() {
    let folder = Folder::new();
    folder.write("a.yaml", &answering("one"));
    folder.write(
        "b.json",
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}"#,
    );
    let dalbi = Dalbi::run(folder.path(), &[]);
    let addresses: Vec<_> = dalbi.listeners().values().copied().collect();
    assert_eq!(addresses, [dalbi.address(8080)]);
    assert_eq!(http::get(dalbi.admin(), "/ready").await.status(), 200);
    assert_eq!(body(&dalbi).await, "one");
}

#[tokio::test]
async fn a_change_is_served_and_a_mistake_is_not() {
    let folder = Folder::new();
    folder.write("a.yaml", &answering("one"));
    let dalbi = Dalbi::run(folder.path(), &[]);
    folder.write("a.yaml", &answering("two"));
    support::until("the change is served", async || body(&dalbi).await == "two").await;

    folder.write("a.yaml", &answering("three").replace("hosts:", "hoosts:"));
    dalbi.process.log_line("a refusal", |line| {
        line.contains("documents not taken").then_some(())
    });
    assert_eq!(body(&dalbi).await, "two");
    let status = http::get(dalbi.admin(), "/config/status").await;
    assert!(status.text().contains("hoosts"), "{}", status.text());

    folder.write("a.yaml", &answering("four"));
    support::until("the next change is served", async || {
        body(&dalbi).await == "four"
    })
    .await;
    assert_eq!(dalbi.terminate().await, Some(0));
}

#[tokio::test]
async fn sighup_reads_the_folder_again() {
    let folder = Folder::new();
    folder.write("a.yaml", &answering("one"));
    let dalbi = Dalbi::run(folder.path(), &[]);
    dalbi.process.signal(Signal::HUP);
    dalbi
        .process
        .log_line("a reload", |line| line.contains("reloaded").then_some(()));
    assert_eq!(body(&dalbi).await, "one");
}

#[tokio::test]
async fn listeners_come_and_go() {
    let folder = Folder::new();
    folder.write("a.yaml", &answering("one"));
    let dalbi = Dalbi::run(folder.path(), &[]);
    folder.write(
        "a.yaml",
        &answering("two").replace("number: 8080", "number: 8081"),
    );
    let get = |port| async move { http::try_send(port, request("GET", "/", &[])).await };
    support::until("the new port answers", async || {
        get(dalbi.address(8081)).await.is_ok()
    })
    .await;
    support::until("the old port is closed", async || {
        get(dalbi.address(8080)).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn requests_in_flight_end_before_the_process() {
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    folder.write("a.yaml", &forwarding(&[app.port()]));
    let dalbi = Dalbi::run(folder.path(), &[]);
    let mut connection = Connection::open(dalbi.address(8080)).await.unwrap();
    assert_eq!(
        connection
            .send(request("GET", "/", &[]))
            .await
            .unwrap()
            .status(),
        200
    );
    let in_flight =
        tokio::spawn(async move { connection.send(request("GET", "/?delay=1s", &[])).await });
    let clusters = async || {
        http::get(dalbi.admin(), "/clusters")
            .await
            .text()
            .contains(" in_flight 1 ")
    };
    support::until("the request has arrived", clusters).await;
    let terminated = tokio::spawn(dalbi.terminate());
    let answer = in_flight.await.unwrap().unwrap();
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (200, "close")
    );
    assert_eq!(terminated.await.unwrap(), Some(0));
}

#[test]
fn documents_with_errors_do_not_start() {
    let folder = Folder::new();
    folder.write("a.yaml", &answering("one").replace("hosts:", "hoosts:"));
    let output = run_to_end(&["run", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("did you mean `hosts`?"), "{stderr}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = Folder::new();
    folder.write("a.yaml", &answering("one"));
    let dalbi = Dalbi::run(folder.path(), &[]);
    let offset = (dalbi.address(8080).port() - 8080).to_string();
    let folder = folder.path().to_str().unwrap();
    let output = run_to_end(&[
        "run",
        folder,
        "--admin",
        "off",
        "--bind",
        "127.0.0.1",
        "--port-offset",
        &offset,
    ]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(&format!("listen on {}", dalbi.address(8080))),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_proxy_needs_no_documents() {
    let upstreams = ["one", "two"].map(|name| Upstream::start(&["--name", name]));
    let targets = upstreams
        .each_ref()
        .map(|upstream| upstream.address().to_string());
    let from = format!("127.0.0.1:{}", free_port());
    let process = Process::start(&[
        "proxy",
        "--from",
        &from,
        "--to",
        &targets[0],
        "--to",
        &targets[1],
        "--policy",
        "round_robin",
        "--health-check",
        "/healthz",
    ]);
    process.stdout_line("`ready`", |line| (line == "ready").then_some(()));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(
            http::get(from.parse().unwrap(), "/")
                .await
                .upstream()
                .to_owned(),
        );
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn what_a_proxy_prints_is_without_a_finding() {
    for arguments in [
        &["--to", "127.0.0.1:9001"][..],
        &["--to", "https://app.example", "--policy", "least_request"],
        &[
            "--to",
            "app:80",
            "--to",
            "127.0.0.1:81",
            "--http2",
            "--health-check",
            "/healthz",
        ],
        &["--to", "[::1]:80", "--policy", "random"],
    ] {
        let printed =
            run_to_end(&[&["proxy", "--from", "127.0.0.1:8080", "--print"], arguments].concat());
        assert_eq!(printed.status.code(), Some(0), "{arguments:?}");
        let folder = Folder::new();
        folder.write("proxy.yaml", std::str::from_utf8(&printed.stdout).unwrap());
        let checked = run_to_end(&["check", "--strict", folder.path().to_str().unwrap()]);
        assert_eq!(
            checked.status.code(),
            Some(0),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
}

#[test]
fn the_demo_sums_up_as_one_object() {
    let output = run_to_end(&["demo", "--duration", "1s", "--rate", "200", "--json"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // Poisson with mean 200; seed 1.
    assert!(
        (140..=260).contains(&summary["requests"].as_u64().unwrap()),
        "{summary:#}"
    );
    assert_eq!(summary["failed"], 0, "{summary:#}");
    assert!(summary["p50_ms"].as_f64().unwrap() <= summary["p99_ms"].as_f64().unwrap());
    let endpoints = summary["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 6);
    let requests: u64 = endpoints
        .iter()
        .map(|endpoint| endpoint["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(summary["requests"], requests);
    let shares: f64 = endpoints
        .iter()
        .map(|endpoint| endpoint["share"].as_f64().unwrap())
        .sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn a_comparing_demo_sums_up_both_sides() {
    let arguments = [
        "demo",
        "--compare",
        "round_robin",
        "--duration",
        "1s",
        "--rate",
        "200",
    ];
    let output = run_to_end(&[&arguments[..], &["--json"]].concat());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let comparison: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = comparison["results"].as_array().unwrap();
    let algorithms: Vec<_> = results.iter().map(|result| &result["algorithm"]).collect();
    assert_eq!(algorithms, ["alba", "round_robin"]);
    // One schedule: as many requests on both sides.
    assert_eq!(
        results[0]["requests"], results[1]["requests"],
        "{comparison:#}"
    );
    for result in results {
        assert_eq!(result["failed"], 0, "{comparison:#}");
        let requests = result["endpoints"].as_array().unwrap().iter();
        let requests = requests.map(|endpoint| endpoint["requests"].as_u64().unwrap());
        assert_eq!(result["requests"], requests.sum::<u64>(), "{comparison:#}");
    }
    // The other side really goes round: only what `flaky` fails, and its second try, lands unevenly.
    let endpoints = results[1]["endpoints"].as_array().unwrap();
    for endpoint in endpoints {
        let share = endpoint["share"].as_f64().unwrap();
        assert!((share - 1.0 / 6.0).abs() < 0.06, "{comparison:#}");
    }

    let output = run_to_end(&arguments);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "│ alba ",
        "│ round_robin\n",
        "ms with alba and ",
        " times as long.\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}

#[test]
fn what_a_demo_prints_is_without_a_finding() {
    let printed = run_to_end(&["demo", "--print"]);
    assert_eq!(printed.status.code(), Some(0));
    let folder = Folder::new();
    folder.write("demo.yaml", std::str::from_utf8(&printed.stdout).unwrap());
    let checked = run_to_end(&["check", "--strict", folder.path().to_str().unwrap()]);
    assert_eq!(
        checked.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn an_interrupted_demo_sums_up_too() {
    let mut demo = Process::start(&["demo", "--rate", "100"]);
    demo.stdout_line("the first second", |line| {
        line.contains(" req/s, ").then_some(())
    });
    demo.signal(Signal::INT);
    demo.stdout_line("a summary", |line| {
        line.contains(" requests, ").then_some(())
    });
    assert_eq!(demo.wait().code(), Some(0));
}
