//! `dalbi check`: files beside the documents, the Gateway API's objects, and what is served of it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use support::{Dalbi, Folder, http, run_to_end};

const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: dalbi }
spec: { controllerName: dalbi.io/gateway-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: dalbi
  listeners: [{ name: web, port: 8080, protocol: HTTP }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: shop }
spec:
  parentRefs: [{ name: edge }]
  rules: [{ backendRefs: [{ name: missing, port: 80 }] }]
";

fn stdout(output: &std::process::Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// The cells of the lines about an object.
fn rows<'t>(text: &'t str, object: &str) -> Vec<Vec<&'t str>> {
    let lines = text.lines().filter(|line| line.starts_with(object));
    let cells = |line: &'t str| {
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    lines.map(cells).collect()
}

#[tokio::test]
async fn conditions_are_shown_by_check_and_by_the_admin_server() {
    let folder = Folder::new();
    folder.write("route.yaml", ROUTE);
    let path = folder.path().to_str().unwrap();
    let output = run_to_end(&["check", path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    let route = rows(text, "HTTPRoute default/shop");
    assert!(
        route.iter().any(|row| row[1..5]
            == [
                "Gateway default/edge",
                "ResolvedRefs",
                "False",
                "BackendNotFound"
            ]),
        "{text}"
    );
    let gateway = rows(text, "Gateway default/edge");
    assert!(
        gateway
            .iter()
            .any(|row| row[1..4] == ["Programmed", "True", "Programmed"]),
        "{text}"
    );

    let json = run_to_end(&["check", path, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(stdout(&json)).unwrap();
    let kinds: Vec<_> = json["statuses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|status| &status["kind"])
        .collect();
    assert!(kinds.contains(&&"HTTPRoute".into()), "{kinds:?}");

    let dalbi = Dalbi::run(folder.path(), &[]);
    let status = http::get(dalbi.admin(), "/config/status").await.json();
    assert_eq!(status["objects"], json["statuses"]);
}

#[test]
fn files_of_tls_are_looked_at() {
    let folder = Folder::of_example("tls", &[]);
    let check = || run_to_end(&["check", folder.path().to_str().unwrap(), "--strict"]);
    let missing = check();
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let text = stdout(&missing);
    assert!(
        text.contains("warning: read ") && text.contains("shop.example.crt"),
        "{text}"
    );
    assert!(
        text.contains("`dalbi run` refuses to start without it"),
        "{text}"
    );

    folder.write("shop.example.crt", "not a certificate");
    folder.write("shop.example.key", "not a key");
    let broken = check();
    let text = stdout(&broken);
    assert!(
        text.contains("error: certificate in ") && text.contains("no PEM block named CERTIFICATE"),
        "{text}"
    );

    let certificate = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    folder.write("shop.example.key", &certificate.signing_key.serialize_pem());
    folder.write("shop.example.crt", &certificate.cert.pem());
    let good = check();
    assert_eq!(good.status.code(), Some(0), "{good:?}");
}

#[test]
fn served_features_are_named_one_a_line() {
    let output = run_to_end(&["check", "--features"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let names: Vec<&str> = stdout(&output).lines().collect();
    assert!(
        names.contains(&"HTTPRoute") && names.contains(&"Gateway"),
        "{names:?}"
    );
    assert!(
        names
            .iter()
            .all(|name| name.chars().all(|c| c.is_ascii_alphanumeric())),
        "{names:?}"
    );
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(
        run_to_end(&["check"]).status.code(),
        Some(2),
        "a folder is needed otherwise"
    );
}
