use mesh::{Options, SourceFile};

use super::*;

const ROUTES: &str = include_str!("../../../../examples/route-tests/shop.yaml");

fn file(text: &str) -> SourceFile {
    SourceFile {
        path: "a.yaml".into(),
        text: text.to_owned(),
    }
}

/// Tries one case against the example's routes.
fn judged(case: &str) -> Verdict {
    let case: String = case.lines().map(|line| format!("    {line}\n")).collect();
    let (cases, wrong) = decode(&file(&format!("testCases:\n  -\n{case}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let routes = file(ROUTES);
    let assumed = assumed(std::slice::from_ref(&routes), "default");
    let files: Vec<_> = std::iter::once(routes)
        .chain(assumed.files.clone())
        .collect();
    let loaded = mesh::load(&files, &Options::default());
    let mesh = loaded
        .mesh
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
    judge(&cases[0], &mesh, &assumed.owners)
}

/// What is told about the first request that fails.
fn told(case: &str) -> String {
    let verdict = judged(case);
    let failure = verdict.failures.first().expect("it fails");
    let mut text: Vec<String> = failure
        .mismatches
        .iter()
        .map(|mismatch| {
            format!(
                "{}: {} but {}",
                mismatch.what, mismatch.expected, mismatch.got
            )
        })
        .collect();
    text.extend(failure.hint.clone());
    text.join("\n")
}

const CART: &str = "description: a\nrequest: { authority: shop.example, uri: /cart }\n";

#[test]
fn every_part_of_a_case_can_fail() {
    for (part, expected) in [
        (
            "wantMatch: true\nroute: [{ destination: { host: cart, subset: stable } }]",
            "route: cart/stable but 90% cart.default.svc.cluster.local/stable, 10% cart.default.svc.cluster.local/canary",
        ),
        (
            "wantMatch: true\nredirect: { uri: / }",
            "redirect: path / but 90% cart.default.svc.cluster.local/stable, 10% cart.default.svc.cluster.local/canary",
        ),
        (
            "wantMatch: true\nrewrite: { uri: /b }",
            "rewrite: matched path to /b but none",
        ),
        (
            "wantMatch: true\nfault: { abort: { percentage: { value: 100 }, httpStatus: 403 } }",
            "fault: 100% of requests get 403 but none",
        ),
        (
            "wantMatch: true\nheaders: { request: { set: { X-Team: other } } }",
            "headers: request: set x-team: other but request: set x-team: checkout",
        ),
        (
            "wantMatch: true\ndelegate: { name: other }",
            "delegate: other but default/shop",
        ),
        ("expect: { rule: all }", "expect.rule: all but cart"),
        ("expect: { timeout: 1s }", "expect.timeout: 1s but 2s"),
        ("expect: { retries: 3 }", "expect.retries: 3 but 1"),
        ("expect: { path: /a }", "expect.path: /a but /cart"),
        (
            "expect: { authority: a }",
            "expect.authority: a but shop.example",
        ),
        ("expect: { location: / }", "expect.location: / but none"),
        ("expect: { body: hi }", "expect.body: hi but none"),
        (
            "expect: { mirrors: { a: 5% } }",
            "expect.mirrors: 5% a but none",
        ),
        (
            "expect: { shares: { cart/stable: 80%, cart/canary: 20% } }",
            "expect.shares: 20% cart/canary, 80% cart/stable (each within 0.5%) but \
             90% cart.default.svc.cluster.local/stable, 10% cart.default.svc.cluster.local/canary",
        ),
        ("expect: { status: 200 }", "expect.status: 200 but 503"),
        (
            "wantMatch: false\nexpect: { timeout: 2s }",
            "it is served as described, which `wantMatch: false` says it is not to be",
        ),
        (
            "gateway: other\nexpect: { timeout: 2s }",
            "no listener is called `other`; there are gateway default/edge:80",
        ),
    ] {
        assert_eq!(told(&format!("{CART}{part}")), expected, "{part}");
    }
}

#[test]
fn parts_that_hold_pass() {
    for part in [
        "wantMatch: true\nroute: [{ destination: { host: cart, subset: canary } }, { destination: { host: cart, subset: stable } }]",
        "wantMatch: true\nroute: [{ destination: { host: cart, subset: stable }, weight: 9 }, { destination: { host: cart, subset: canary }, weight: 1 }]",
        "wantMatch: false\nroute: [{ destination: { host: cart } }]",
        "gateway: edge\nexpect: { rule: cart }",
        "gateway: default/edge\nexpect: { rule: cart }",
        "gateway: 80\nexpect: { rule: cart }",
        "expect: { shares: { cart/stable: 88, cart/canary: 12 }, tolerance: 2, mirrors: [] }",
    ] {
        let verdict = judged(&format!("{CART}{part}"));
        assert!(verdict.failures.is_empty(), "{part}: {verdict:?}");
    }
}

#[test]
fn requests_are_all_combinations() {
    let verdict = judged(
        "description: a\nwantMatch: true\nrequest:\n  authority: [shop.example, SHOP.example:80]\n  method: [GET, PUT, POST]\n  \
         uri: [/basket, /basket/1]\nredirect: { uri: /cart }",
    );
    assert_eq!(
        (verdict.requests, verdict.failures.len()),
        (12, 0),
        "{verdict:?}"
    );
}

#[test]
fn mistakes_are_told_where_they_are() {
    let wrong = |text: &str| {
        let (_, wrong) = decode(&file(text));
        wrong.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let request = "request: { authority: [a] }";
    for (text, expected) in [
        (
            format!("testCases:\n- {{ description: a, {request}, route: [] }}"),
            "a.yaml:2:3: error: testCases[0].wantMatch: is required (write true if the requests are to be served \
             like this, false if they are not to be)",
        ),
        (
            format!("testCases:\n- {{ description: a, wantMatch: true, {request} }}"),
            "a.yaml:2:3: error: testCases[0]: expects nothing, so it can't fail (add one of route, redirect, \
             rewrite, fault, headers, delegate, expect)",
        ),
        (
            format!(
                "testCases:\n- {{ description: a, wantMatc: true, {request}, expect: {{ status: 404 }} }}"
            ),
            "a.yaml:2:21: error: testCases[0].wantMatc: unknown field `wantMatc` (did you mean `wantMatch`?)",
        ),
        (
            "testCases:\n- { description: a, request: { uri: [/] }, expect: { status: 99 } }"
                .to_owned(),
            "a.yaml:2:30: error: testCases[0].request.authority: is required",
        ),
        (
            format!(
                "testCases:\n- {{ description: a, {request}, expect: {{ shares: {{ a: 120% }} }} }}"
            ),
            "a.yaml:2:73: error: testCases[0].expect.shares.a: must be a share of 0% to 100%, but is the string `120%`",
        ),
        (
            "testCases: 7".to_owned(),
            "a.yaml:1:12: error: testCases: must be a list, but is the number 7",
        ),
    ] {
        let found = wrong(&text);
        assert!(
            found.iter().any(|found| found == expected),
            "{expected}\nis not in {found:#?}"
        );
    }
}

#[test]
fn test_files_are_told_from_manifests() {
    for (text, expected) in [
        ("testCases: []", true),
        ("# a\n---\ntestCases: []\n---\ntestCases: []", true),
        ("{\"testCases\": []}", true),
        ("kind: ConfigMap\ntestCases: []", false),
        ("kind: ConfigMap\ndata: { a: testCases }", false),
        ("testCases: []\n---\nkind: Service", false),
        ("# testCases:", false),
        ("", false),
    ] {
        assert_eq!(is_test_file(text), expected, "{text}");
    }
}

#[test]
fn routes_of_the_gateway_api_need_no_gateway_either() {
    let route = file(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: a, namespace: ns }
spec:
  parentRefs: [{ name: edge, namespace: infra, sectionName: web }, { name: edge, namespace: infra, port: 8080 }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: /a } }], backendRefs: [{ name: app, port: 80 }] }]
",
    );
    let found = assumed(std::slice::from_ref(&route), "default");
    assert_eq!(
        found.notes,
        [
            "Service ns/app is not in the folder; assumed one without endpoints",
            "Gateway infra/edge is not in the folder; assumed one that takes HTTP for every host",
        ]
    );
    let files: Vec<_> = std::iter::once(route).chain(found.files).collect();
    let loaded = mesh::load(&files, &Options::default());
    let mesh = loaded
        .mesh
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
    let case = "\
testCases:
- description: a
  wantMatch: true
  request: { authority: [a.example], uri: [/a/b] }
  route: [{ destination: { host: app.ns, port: { number: 80 } } }]
- description: b
  request: { authority: a.example, uri: [/ab] }
  expect: { status: 404 }
";
    let (cases, wrong) = decode(&file(case));
    assert!(wrong.is_empty(), "{wrong:#?}");
    for case in &cases {
        let verdict = judge(case, &mesh, &found.owners);
        assert!(verdict.failures.is_empty(), "{verdict:#?}");
    }
}

#[test]
fn what_is_not_there_is_assumed() {
    let text = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: root, namespace: ns }
spec:
  gateways: [mesh, istio-system/edge]
  hosts: [a.example]
  http: [{ delegate: { name: there } }, { delegate: { name: missing, namespace: other } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: there, namespace: ns }
spec: { http: [{ directResponse: { status: 200 } }] }
";
    let found = assumed(&[file(text)], "default");
    assert_eq!(
        found.notes,
        [
            "Gateway istio-system/edge is not in the folder; assumed one that takes HTTP on port 80 for every host",
            "VirtualService other/missing is not in the folder; assumed one that answers 503",
        ]
    );
    assert_eq!(found.owners.len(), 4);
    let loaded = mesh::load(&found.files, &Options::default());
    assert!(loaded.mesh.is_some(), "{:#?}", loaded.diagnostics);
}
