use mesh::{Options, SourceFile};

use super::*;

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: { name: shop }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: shop, labels: { kubernetes.io/service-name: shop } }
addressType: IPv4
ports: [{ name: http, port: 9001 }]
endpoints: [{ addresses: [127.0.0.1] }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: shop }
spec:
  host: shop
  subsets: [{ name: v1 }, { name: v2 }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  servers: [{ port: { number: 8080, name: http, protocol: HTTP }, hosts: ['*'] }]
";

/// The services, and a VirtualService on the gateway with these rules.
fn mesh(hosts: &str, rules: &[&str]) -> Mesh {
    let rules: String = rules.iter().map(|rule| format!("    - {rule}\n")).collect();
    let virtual_service = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: edge }}\nspec:\n  \
         gateways: [edge]\n  hosts: {hosts}\n  http:\n{rules}"
    );
    load(&[SERVICES, &virtual_service])
}

fn load(texts: &[&str]) -> Mesh {
    let files: Vec<SourceFile> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| SourceFile {
            path: format!("{number}.yaml").into(),
            text: (*text).to_owned(),
        })
        .collect();
    let loaded = mesh::load(&files, &Options::default());
    loaded
        .mesh
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

const TO_SHOP: &str = "route: [{ destination: { host: shop } }]";

/// A rule for a prefix, with the rest of its fields.
fn rule(prefix: &str, rest: &str) -> String {
    format!("{{ match: [{{ uri: {{ prefix: {prefix} }} }}], {rest} }}")
}

fn text(before: &Mesh, after: &Mesh) -> String {
    let mut out = Vec::new();
    Differences::between(before, after)
        .write_text(&mut out)
        .unwrap();
    String::from_utf8(out).unwrap()
}

/// The changes of the only host that differs.
fn rules(before: &Mesh, after: &Mesh) -> Vec<RuleDifference> {
    let mut found = Differences::between(before, after);
    assert_eq!(
        (found.listeners.len(), found.clusters.len()),
        (1, 0),
        "{found:?}"
    );
    let mut listener = found.listeners.remove(0);
    assert_eq!(listener.hosts.len(), 1, "{listener:?}");
    listener.hosts.remove(0).rules
}

#[test]
fn the_same_is_no_difference() {
    let one = || {
        mesh(
            "[a.example]",
            &[&rule("/a", TO_SHOP), &format!("{{ {TO_SHOP} }}")],
        )
    };
    assert!(Differences::between(&one(), &one()).is_empty());
    assert_eq!(text(&one(), &one()), "no request is served differently\n");
}

#[test]
fn names_and_places_make_no_difference() {
    let before = mesh("[a.example]", &[&format!("{{ {TO_SHOP} }}")]);
    let after = mesh(
        "[a.example]",
        &[&format!("{{ name: other, {TO_SHOP}, timeout: 0s }}")],
    );
    assert!(Differences::between(&before, &after).is_empty());
}

#[test]
fn weights_count_by_what_they_are_to_each_other() {
    let split = |v1: u32, v2: u32| {
        let to = |subset: &str, weight: u32| {
            format!("{{ destination: {{ host: shop, subset: {subset} }}, weight: {weight} }}")
        };
        mesh(
            "[a.example]",
            &[&format!(
                "{{ route: [{}, {}] }}",
                to("v1", v1),
                to("v2", v2)
            )],
        )
    };
    assert!(Differences::between(&split(8, 2), &split(80, 20)).is_empty());
    let found = rules(&split(80, 20), &split(50, 50));
    assert_eq!(found[0].change, RuleChange::Changed);
    let host = "shop.default.svc.cluster.local:80";
    assert_eq!(
        found[0].settings,
        [SettingChange {
            name: "to".to_owned(),
            before: Some(format!("80% {host}/v1, 20% {host}/v2")),
            after: Some(format!("50% {host}/v1, 50% {host}/v2")),
        }]
    );
}

#[test]
fn a_rule_that_is_put_in_front_takes_from_those_behind() {
    let all = format!("{{ {TO_SHOP} }}");
    let slow = rule(
        "/a",
        "timeout: 3s, route: [{ destination: { host: shop } }]",
    );
    let before = mesh("[a.example]", &[&slow, &all]);
    let after = mesh(
        "[a.example]",
        &[&rule("/", "directResponse: { status: 503 }"), &slow, &all],
    );
    let found = rules(&before, &after);
    let changes: Vec<_> = found
        .iter()
        .map(|rule| {
            (
                rule.change,
                rule.shadowed_by.as_ref().map(|by| by.name.as_str()),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            (RuleChange::Added, None),
            (RuleChange::Shadowed, Some("default/edge#0")),
            (RuleChange::Shadowed, Some("default/edge#0")),
        ]
    );
    let back = rules(&after, &before);
    let changes: Vec<_> = back.iter().map(|rule| rule.change).collect();
    assert_eq!(
        changes,
        [
            RuleChange::Uncovered,
            RuleChange::Uncovered,
            RuleChange::Removed
        ]
    );
}

#[test]
fn rules_that_change_places_do_so_only_where_they_overlap() {
    let (a, ab, b) = (
        rule(
            "/a",
            "timeout: 1s, route: [{ destination: { host: shop } }]",
        ),
        "{ match: [{ method: { exact: PUT } }], directResponse: { status: 405 } }",
        rule(
            "/b",
            "timeout: 2s, route: [{ destination: { host: shop } }]",
        ),
    );
    let apart = rules(
        &mesh("[a.example]", &[&a, ab]),
        &mesh("[a.example]", &[ab, &a]),
    );
    assert_eq!((apart.len(), apart[0].change), (1, RuleChange::Moved));
    let one = mesh("[a.example]", &[&a, &b]);
    let other = mesh("[a.example]", &[&b, &a]);
    assert!(Differences::between(&one, &other).is_empty());
}

#[test]
fn a_host_that_a_wildcard_takes_over_is_told_as_what_it_becomes() {
    let exact = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: exact }
spec:
  gateways: [edge]
  hosts: [a.example.com]
  http: [{ timeout: 1s, route: [{ destination: { host: shop } }] }]
";
    let wildcard = exact
        .replace("exact", "wild")
        .replace("a.ex", "'*.ex")
        .replace(".com", ".com'")
        .replace("1s", "2s");
    let before = load(&[SERVICES, exact, &wildcard]);
    let after = load(&[SERVICES, &wildcard]);
    let found = Differences::between(&before, &after);
    let host = &found.listeners[0].hosts[0];
    assert_eq!(host.change, Change::Changed);
    assert_eq!(
        (host.hosts.as_slice(), host.now_taken_by.as_deref()),
        (&["a.example.com".to_owned()][..], Some("default/wild"))
    );
    assert_eq!(host.rules[0].settings[0].after.as_deref(), Some("2s"));
}

#[test]
fn listeners_hosts_and_endpoints_come_and_go() {
    let before = mesh("[a.example, b.example]", &[&format!("{{ {TO_SHOP} }}")]);
    let after = mesh("[a.example, c.example]", &[&format!("{{ {TO_SHOP} }}")]);
    assert_eq!(
        text(&before, &after),
        "\
~ listener gateway default/edge:8080 (port 8080)
  - host b.example
    - rule default/edge#0  1.yaml:8:7
        takes every request
        to       shop.default.svc.cluster.local:80
        retries  2 on connect-failure,refused-stream,unavailable,cancelled
  + host c.example
    + rule default/edge#0  1.yaml:8:7
        takes every request
        to       shop.default.svc.cluster.local:80
        retries  2 on connect-failure,refused-stream,unavailable,cancelled
1 listener changed; 1 host added, 1 host removed; 1 rule added, 1 rule removed
"
    );
    let moved = load(&[&SERVICES.replace("9001", "9002").replace("8080", "8081")]);
    let text = text(&load(&[SERVICES]), &moved);
    for line in [
        "- listener gateway default/edge:8080 (port 8080)",
        "+ listener gateway default/edge:8081 (port 8081)",
        "~ cluster outbound|80||shop.default.svc.cluster.local",
        "    - 127.0.0.1:9001  weight 1",
        "    + 127.0.0.1:9002  weight 1",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} in:\n{text}"
        );
    }
}

#[test]
fn cluster_settings_are_told_by_name() {
    let policy = |ejection: u32| {
        SERVICES.replace(
            "  host: shop\n",
            &format!(
                "  host: shop\n  trafficPolicy: {{ loadBalancer: {{ simple: RANDOM }}, outlierDetection: {{ \
                 consecutive5xxErrors: {ejection} }} }}\n"
            ),
        )
    };
    let found = Differences::between(&load(&[&policy(5)]), &load(&[&policy(7)]));
    assert_eq!(found.clusters.len(), 1, "{found:?}");
    assert_eq!(
        found.clusters[0].settings,
        [SettingChange {
            name: "balancing outlier_detection consecutive_5xx".to_owned(),
            before: Some("5".to_owned()),
            after: Some("7".to_owned()),
        }]
    );
}

/// Documents at random, and the same in another order.
#[test]
fn order_makes_no_difference_whatever_the_documents() {
    for seed in 0..60 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let mut documents: Vec<String> = SERVICES.split("\n---\n").map(str::to_owned).collect();
        for number in 0..random.usize(1..8) {
            let rules: String = (0..random.usize(1..4))
                .map(|_| {
                    let prefix = ["/", "/a", "/ab", "/b"][random.usize(..4)];
                    let rest = match random.u8(..3) {
                        0 => "redirect: { uri: /x }".to_owned(),
                        1 => format!("directResponse: {{ status: {} }}", random.u16(200..599)),
                        _ => format!("timeout: {}s, {TO_SHOP}", random.u8(..9)),
                    };
                    format!("    - {}\n", rule(prefix, &rest))
                })
                .collect();
            let host = ["a.example", "b.example", "'*.example'"][random.usize(..3)];
            let gateways = ["[edge]", "[mesh]", "[edge, mesh]"][random.usize(..3)];
            let (gateways, host) = match host {
                "'*.example'" => ("[edge]", host),
                _ => (gateways, host),
            };
            documents.push(format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: v{number} }}\nspec:\n  \
                 gateways: {gateways}\n  hosts: [{host}]\n  http:\n{rules}"
            ));
        }
        let load_all =
            |documents: &[String]| load(&documents.iter().map(String::as_str).collect::<Vec<_>>());
        let before = load_all(&documents);
        random.shuffle(&mut documents);
        let found = Differences::between(&before, &load_all(&documents));
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        let removed = documents.pop().unwrap();
        let fewer = Differences::between(&before, &load_all(&documents));
        let back = Differences::between(&load_all(&documents), &before);
        assert_eq!(
            fewer.is_empty(),
            back.is_empty(),
            "seed {seed}, without\n{removed}"
        );
    }
}
