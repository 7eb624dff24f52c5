//! A large folder, as the figures in the issues ask for: 1,000 VirtualServices and 10,000 endpoints.

use mesh::{Decision, Options, load};

use crate::folder::{LARGE, MANY_RULES, folder};
use crate::request::Request;

#[test]
fn a_large_folder_is_loaded_whole() {
    let loaded = load(&folder(LARGE), &Options::default());
    assert_eq!(loaded.diagnostics, []);
    let mesh = loaded.mesh.expect("no errors");
    let endpoints: usize = mesh
        .clusters
        .iter()
        .filter(|cluster| cluster.subset.is_empty())
        .map(|cluster| cluster.endpoints.len())
        .sum();
    assert_eq!((mesh.clusters.len(), endpoints), (2000, 10_000));
    let decision = mesh.route(
        0,
        &Request::parse("mesh GET http://s999/api end-user=jason"),
        0,
    );
    let Decision::Forward { destination, .. } = decision else {
        panic!("{decision:?}")
    };
    let cluster = mesh.cluster(destination.cluster.clone().expect("the subset is there"));
    assert_eq!(
        cluster.name,
        "outbound|80|v1|s999.default.svc.cluster.local"
    );
}

#[test]
fn every_rule_of_many_is_reached() {
    let loaded = load(&folder(MANY_RULES), &Options::default());
    assert_eq!(loaded.diagnostics.first(), None);
    let mesh = loaded.mesh.expect("no errors");
    let rule = |path: &str| {
        let line = format!("mesh GET http://s9999{path} end-user=jason");
        match mesh.route(0, &Request::parse(&line), 0) {
            Decision::Forward { route, .. } => route.name.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(rule("/api"), "default/s9999#0");
    assert_eq!(rule("/rule9/"), "default/s9999#8");
    assert_eq!(rule("/other"), "default/s9999#9");
}
