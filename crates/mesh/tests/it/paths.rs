//! The paths of fields in findings, which people look for and tools read.

use mesh::{Options, SourceFile, load};

/// What is found in a `VirtualService` whose `http` is `rules`.
fn fields(rules: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: vs\nspec:\n  \
         hosts:\n  - a.example.com\n  http:\n{rules}"
    );
    let path = "in.yaml".into();
    let loaded = load(&[SourceFile { path, text }], &Options::default());
    let found = loaded.diagnostics.into_iter();
    found.map(|found| found.field).collect()
}

#[test]
fn the_first_item_of_a_list_has_its_index_in_every_style() {
    let two = [
        "spec.http[0].route[0].wieght",
        "spec.http[0].route[1].wieght",
    ];
    for rules in [
        "  - route:
    - wieght: 5
      destination:
        host: a
    - wieght: 5
      destination:
        host: b
",
        // Of more than one line or with an accent, a document is read by the full parser.
        "  - route: # é
    - wieght: 5
      destination:
        host: a
    - wieght: 5
      destination:
        host: b
",
        "    -
      route:
        - # the first
          wieght: 5
          destination: { host: a }
        - { wieght: 5, destination: { host: b } }
",
        "  - { route: [{ wieght: 5, destination: { host: a } }, { wieght: 5, destination: { host: b } }] }
",
    ] {
        assert_eq!(fields(rules), two, "{rules}");
    }
}

#[test]
fn a_weight_that_cannot_be_read_is_not_counted_as_0() {
    let rules = |weight: &str| {
        format!(
            "  - route:\n    - destination:\n        host: a\n{weight}    - destination:\n        host: b\n"
        )
    };
    assert_eq!(fields(&rules("")), ["spec.http[0].route"]);
    for (weight, field) in [
        ("      wieght: 5\n", "spec.http[0].route[0].wieght"),
        ("      weight: five\n", "spec.http[0].route[0].weight"),
        ("      weight: -1\n", "spec.http[0].route[0].weight"),
    ] {
        assert_eq!(fields(&rules(weight)), [field]);
    }
}
