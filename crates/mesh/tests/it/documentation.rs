//! What the documentation shows has to load.

use std::path::Path;

use mesh::{Options, SourceFile, load};

#[test]
fn examples_in_the_documentation_load_without_a_finding() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/balancing/policy.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let blocks: Vec<_> = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .collect();
    assert!(!blocks.is_empty());
    for (block, _) in blocks {
        let file = SourceFile {
            path: "policy.yaml".into(),
            text: block.to_owned(),
        };
        let loaded = load(&[file], &Options::default());
        assert_eq!(loaded.diagnostics, [], "{block}");
    }
}

#[test]
fn the_documented_defaults_are_those_in_use() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/balancing/policy.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let alba = alba::Alba::default();
    let admission = alba::AdmissionSettings::default();
    for (field, default) in [
        ("alba.draws", alba.draws.to_string()),
        ("alba.freshness", format!("{:?}", alba.fresh)),
        ("alba.toll", alba.toll.to_string()),
        (
            "alba.probes.perRequest",
            alba.probes_per_request.to_string(),
        ),
        ("alba.probes.perSecond", alba.probes_per_s.to_string()),
        ("locality.zonePrice", format!("{:?}", alba.zone_price)),
        ("locality.regionPrice", format!("{:?}", alba.region_price)),
        (
            "admission.deadlineShare",
            admission.deadline_share.to_string(),
        ),
        ("admission.maxWait", format!("{:?}", admission.max_wait)),
        ("admission.maxWaiting", admission.max_waiting.to_string()),
    ] {
        let row = format!("| `{field}` | {default} |");
        assert!(text.contains(&row), "{row}");
    }
}
