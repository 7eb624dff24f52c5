//! Golden pairs: `golden/CASE/in.yaml` in, `expected.txt` out: findings, then every condition, then what is served.
//!
//! `UPDATE_GOLDEN=1 cargo test -p gateway-api --test golden` writes what comes out; read the difference before you
//! keep it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has to read the files that the crate is given"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_api::{
    Attached, CONTROLLER, Documents, Kind, Name, Service, ServicePort, StatusOf, World,
};
use manifests::decode::{Context, Fields};
use manifests::{Document, Metadata, Object, Report, by_place, yaml};

#[test]
fn every_case_comes_out_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = root
        .read_dir()
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.sort();
    let mut wrong = Vec::new();
    for case in &cases {
        let text = std::fs::read_to_string(case.join("in.yaml")).expect("documents");
        let found = describe(&text);
        let path = case.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &found).expect("a writable case");
        } else if found != std::fs::read_to_string(&path).unwrap_or_default() {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Guards against a check of nothing.
    assert!(cases.len() >= 4);
}

/// Read the same way whatever the order: only the places in findings differ.
#[test]
fn the_order_of_documents_makes_no_difference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for case in ["listeners", "routes", "policies"] {
        let text = std::fs::read_to_string(root.join(case).join("in.yaml")).expect("documents");
        let mut documents: Vec<&str> = text.split("---\n").collect();
        documents.reverse();
        let meaning = |text: &str| {
            let described = describe(text);
            let (_, meaning) = described.split_once("\n\n").expect("findings come first");
            meaning.to_owned()
        };
        let reversed: Vec<_> = documents
            .iter()
            .map(|document| format!("{}\n", document.trim_end()))
            .collect();
        assert_eq!(meaning(&text), meaning(&reversed.join("---\n")), "{case}");
    }
}

fn describe(text: &str) -> String {
    let file: Arc<Path> = Arc::from(Path::new("in.yaml"));
    let files: Vec<Document<'_>> = (1..)
        .zip(yaml::documents(text))
        .map(|(number, parsed)| Document {
            file: Arc::clone(&file),
            number,
            root: parsed.root,
            errors: parsed.errors,
        })
        .collect();
    let report = Report::default();
    let documents = read(&files, &report);
    // With an error nothing would be served.
    let attached = match report.has_errors() {
        true => Attached::default(),
        false => documents.attach(&files, &world(), CONTROLLER, &report),
    };
    let mut findings = report.into_diagnostics();
    findings.sort_by(by_place);
    let mut out = String::new();
    for finding in findings {
        writeln!(out, "{finding}").expect("a string");
    }
    out.push('\n');
    describe_statuses(&attached, &mut out);
    describe_listeners(&attached, &mut out);
    out
}

fn read(files: &[Document<'_>], report: &Report) -> Documents {
    let mut documents = Documents::default();
    for (position, document) in files.iter().enumerate() {
        assert!(document.errors.is_empty(), "{:?}", document.errors);
        let root = document.root.as_ref().expect("a document");
        let text = |key| root.get(key).and_then(yaml::Node::text).unwrap_or_default();
        let (group, version) = text("apiVersion").split_once('/').expect("a group");
        let kind = Kind::of(group, version, text("kind"))
            .expect("a kind of the Gateway API")
            .expect("a known version");
        let metadata = root.get("metadata");
        let name = metadata.and_then(|metadata| metadata.get("name"));
        let label = format!(
            "{} {}",
            text("kind"),
            name.and_then(yaml::Node::text).unwrap_or_default()
        );
        let context = Context {
            file: &document.file,
            document: document.number,
            root,
            object: &label,
            report,
        };
        let mut fields = Fields::of(root, context).expect("an object");
        fields.accept(&["apiVersion", "kind"]);
        let meta = Metadata::decode(&mut fields, text("kind"), "default", position, root.place);
        let spec = kind.decode(&mut fields);
        fields.finish();
        if let (Some(meta), Some(spec)) = (meta, spec) {
            documents.push(Object { meta, spec });
        }
    }
    documents.sort();
    documents
}

/// Services `web` and `cart` in two namespaces, a certificate and a CA bundle of each quality.
fn world() -> World {
    let service = || Service {
        ports: vec![
            ServicePort {
                number: 80,
                name: "http".to_owned(),
                app_protocol: None,
            },
            ServicePort {
                number: 81,
                name: "odd".to_owned(),
                app_protocol: Some("kubernetes.io/unheard-of".to_owned()),
            },
        ],
    };
    let bad = || Err("has no PEM block".to_owned());
    World {
        namespaces: [(
            "shop".to_owned(),
            [("team".to_owned(), "shop".to_owned())].into(),
        )]
        .into(),
        services: [
            (Name::new("default", "web"), service()),
            (Name::new("default", "cart"), service()),
            (Name::new("shop", "web"), service()),
        ]
        .into(),
        secrets: [
            (Name::new("default", "certificate"), Ok(())),
            (Name::new("default", "broken"), bad()),
            (Name::new("shop", "certificate"), Ok(())),
        ]
        .into(),
        ca_secrets: [(Name::new("default", "certificate"), bad())].into(),
        config_maps: [
            (Name::new("default", "ca"), Ok(())),
            (Name::new("default", "broken"), bad()),
        ]
        .into(),
    }
}

fn describe_statuses(attached: &Attached, out: &mut String) {
    for status in &attached.statuses {
        let json = serde_json::to_value(&status.status).expect("a status is JSON");
        let namespace = status.namespace.as_deref().unwrap_or("-");
        writeln!(out, "{} {namespace}/{}", status.kind, status.name).expect("a string");
        let mut conditions = |indent: &str, of: &serde_json::Value| {
            for condition in of["conditions"].as_array().expect("conditions") {
                let word = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
                let generation = &condition["observedGeneration"];
                let seen = match generation.as_i64() {
                    Some(generation) => format!(" @{generation}"),
                    None => String::new(),
                };
                let (kind, holds, reason) = (word("type"), word("status"), word("reason"));
                let line = format!("{indent}{kind}={holds} {reason}{seen} {}", word("message"));
                writeln!(out, "{}", line.trim_end()).expect("a string");
            }
        };
        match &status.status {
            StatusOf::GatewayClass { .. } => conditions("  ", &json),
            StatusOf::Gateway { .. } | StatusOf::ListenerSet { .. } => {
                conditions("  ", &json);
                let listeners = json["listeners"].as_array().expect("listeners");
                let sets = json["attachedListenerSets"].as_u64().unwrap_or(0);
                for listener in listeners {
                    conditions(&format!("  {} ", listener["name"]), listener);
                }
                let kinds = |listener: &serde_json::Value| {
                    let kinds = listener["supportedKinds"].as_array().expect("kinds");
                    kinds
                        .iter()
                        .map(|kind| kind["kind"].to_string())
                        .collect::<Vec<_>>()
                        .join(" ")
                };
                for listener in listeners {
                    let (name, routes) = (&listener["name"], &listener["attachedRoutes"]);
                    writeln!(out, "  {name} takes {}, has {routes}", kinds(listener))
                        .expect("a string");
                }
                if sets > 0 {
                    writeln!(out, "  {sets} ListenerSets").expect("a string");
                }
            }
            StatusOf::Route { .. } => {
                for parent in json["parents"].as_array().expect("parents") {
                    let reference = &parent["parentRef"];
                    let section = reference["sectionName"].as_str().unwrap_or("*");
                    conditions(&format!("  {} {section} ", reference["name"]), parent);
                }
            }
            StatusOf::Policy { .. } => {
                for ancestor in json["ancestors"].as_array().expect("ancestors") {
                    conditions(&format!("  {} ", ancestor["ancestorRef"]["name"]), ancestor);
                }
            }
        }
    }
}

fn describe_listeners(attached: &Attached, out: &mut String) {
    out.push('\n');
    for listener in &attached.listeners {
        writeln!(
            out,
            "{} {}:{} {:?} {:?}",
            listener.gateway,
            listener.section,
            listener.port,
            listener.addresses,
            listener.protocol
        )
        .expect("a string");
        for host in &listener.hosts {
            writeln!(out, "  {}", host.pattern).expect("a string");
            for entry in &host.entries {
                let rule = &entry.rule;
                let backends: Vec<_> = rule
                    .backends
                    .iter()
                    .map(|backend| match &backend.target {
                        Ok(target) => {
                            format!("{} {}:{}", backend.weight, target.service, target.port)
                        }
                        Err(why) => format!("{} nobody ({why})", backend.weight),
                    })
                    .collect();
                let when = &entry.when;
                writeln!(
                    out,
                    "    {:?} {:?} {:?} {:?} -> {}#{} {}",
                    when.path,
                    when.method,
                    when.headers,
                    when.query,
                    rule.route,
                    rule.index,
                    backends.join(", ")
                )
                .expect("a string");
            }
            if !host.wider.is_empty() {
                writeln!(out, "    then {}", host.wider.join(", ")).expect("a string");
            }
        }
        for stream in &listener.streams {
            writeln!(
                out,
                "  {:?} -> {}#{}",
                stream.hostnames, stream.route, stream.index
            )
            .expect("a string");
        }
    }
    for rules in &attached.mesh {
        writeln!(
            out,
            "mesh {} {:?} for {:?}: {} entries",
            rules.service,
            rules.port,
            rules.consumer,
            rules.entries.len()
        )
        .expect("a string");
    }
    for ((service, section), tls) in &attached.backend_tls {
        writeln!(out, "TLS {service} {section:?}: {tls:?}").expect("a string");
    }
}
