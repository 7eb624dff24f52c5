//! What holds for any documents and any requests.

use mesh::{Decision, Mesh, Options, SourceFile, load};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::golden::{cases, describe, files, requests};
use crate::request::Request;

/// All documents of a case, one text each.
fn documents(case: &std::path::Path) -> Vec<String> {
    let texts = files(case).into_iter().map(|file| file.text);
    texts
        .flat_map(|text| {
            text.split("\n---\n")
                .map(|part| format!("{part}\n"))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// What a case comes to, without the places in it.
fn meaning(files: &[SourceFile], requests: &str) -> String {
    let described = describe(&load(files, &Options::default()), requests);
    // Findings name files and lines, which the order changes.
    let (_, meaning) = described.split_once("\n\n").unwrap_or(("", &described));
    meaning.to_owned()
}

/// Whether a case's documents are right, as its name says.
fn is_right(case: &std::path::Path) -> bool {
    !case.to_string_lossy().ends_with("errors")
}

proptest! {
    #[test]
    fn files_and_their_order_make_no_difference(order in Just((0..64).collect::<Vec<usize>>()).prop_shuffle(), cuts in any::<[bool; 64]>()) {
        // Cases whose documents are wrong have no meaning; the one of same-named objects keeps the first.
        for case in cases().iter().filter(|case| is_right(case)) {
            let documents = documents(case);
            let requests = requests(case);
            let in_order = vec![SourceFile { path: "all.yaml".into(), text: documents.join("---\n") }];
            let mut shuffled: Vec<SourceFile> = Vec::new();
            for (position, cut) in order.iter().zip(cuts) {
                let Some(document) = documents.get(*position) else { continue };
                match shuffled.last_mut() {
                    Some(file) if !cut => file.text.push_str(&format!("---\n{document}")),
                    _ => shuffled.push(SourceFile { path: format!("{position}.yaml").into(), text: document.clone() }),
                }
            }
            prop_assert_eq!(meaning(&in_order, &requests), meaning(&shuffled, &requests), "{}", case.display());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        load(&[SourceFile { path: "any.yaml".into(), text }], &Options::default());
    }

    #[test]
    fn no_damage_makes_it_panic(case: Index, damage in prop::collection::vec((any::<Index>(), "[ -~\n\t]{0,3}", 0..6_usize), 1..6)) {
        let cases = cases();
        for mut file in files(case.get::<std::path::PathBuf>(&cases)) {
            for (at, with, length) in &damage {
                let mut bytes = std::mem::take(&mut file.text).into_bytes();
                let start = at.index(bytes.len());
                let end = (start + length).min(bytes.len());
                bytes.splice(start..end, with.bytes());
                file.text = String::from_utf8_lossy(&bytes).into_owned();
            }
            let loaded = load(&[file], &Options::default());
            let has_error = loaded.diagnostics.iter().any(|finding| finding.severity == mesh::Severity::Error);
            prop_assert_eq!(loaded.mesh.is_none(), has_error, "a mesh exactly if there is no error");
        }
    }

    #[test]
    fn explain_says_what_route_does(
        case: Index,
        line: Index,
        draw: u64,
        listener: Index,
        authority in prop::option::of("(web|reviews|a\\.example\\.com|[a-z.*:0-9\\[\\]]{0,12})"),
        target in prop::option::of("/[a-z/?=&]{0,12}"),
    ) {
        let cases = cases().into_iter();
        let cases: Vec<_> = cases.filter(|case| is_right(case) && !requests(case).is_empty()).collect();
        let case = case.get(&cases);
        let mesh = load(&files(case), &Options::default()).mesh.expect("the case loads");
        let lines = requests(case);
        let lines: Vec<_> = lines.lines().collect();
        let mut request = Request::parse(line.get(&lines).trim_start_matches("? "));
        request.authority = authority.unwrap_or(request.authority);
        request.target = target.unwrap_or(request.target);
        let listener = listener.index(mesh.listeners.len());
        let told = mesh.explain(listener, &request, draw);
        prop_assert!(same(&mesh.route(listener, &request, draw), &told.decision), "{request:?}");
        let sum: f64 = told.shares.iter().map(|share| share.share).sum();
        prop_assert!(told.shares.is_empty() || (sum - 1.0).abs() < 1e-9, "shares add up to {sum}");
    }
}

fn same(a: &Decision<'_>, b: &Decision<'_>) -> bool {
    match (a, b) {
        (
            Decision::Forward {
                route,
                destination,
                matched,
            },
            Decision::Forward {
                route: other,
                destination: other_destination,
                matched: other_matched,
            },
        ) => {
            std::ptr::eq(*route, *other)
                && std::ptr::eq(*destination, *other_destination)
                && matched == other_matched
        }
        (
            Decision::Redirect {
                route, location, ..
            },
            Decision::Redirect {
                route: other,
                location: other_location,
                ..
            },
        ) => std::ptr::eq(*route, *other) && location == other_location,
        (Decision::DirectResponse { route }, Decision::DirectResponse { route: other }) => {
            std::ptr::eq(*route, *other)
        }
        (Decision::NotFound, Decision::NotFound)
        | (Decision::Misdirected, Decision::Misdirected) => true,
        _ => false,
    }
}

#[test]
fn draws_fall_on_destinations_by_weight() {
    let text = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: split }
spec:
  hosts: [split.example.com]
  http:
    - route:
        - { destination: { host: a }, weight: 7 }
        - { destination: { host: b }, weight: 0 }
        - { destination: { host: c }, weight: 2 }
        - { destination: { host: d }, weight: 1 }
";
    let mesh: Mesh = load(
        &[SourceFile {
            path: "split.yaml".into(),
            text: text.to_owned(),
        }],
        &Options::default(),
    )
    .mesh
    .expect("the document is right");
    let request = Request::parse("mesh GET http://split.example.com/");
    let draws = 1000_u64;
    let mut counts = std::collections::BTreeMap::new();
    for step in 0..draws {
        let draw = (u64::MAX / draws) * step + u64::MAX / draws / 2;
        let Decision::Forward { destination, .. } = mesh.route(0, &request, draw) else {
            panic!("not forwarded")
        };
        *counts.entry(destination.weight).or_insert(0) += 1;
    }
    assert_eq!(counts, [(7, 700), (2, 200), (1, 100)].into());
}
