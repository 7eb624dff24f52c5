use super::*;

fn only(text: &str) -> Node<'_> {
    let mut found = documents(text);
    assert_eq!(found.len(), 1, "{found:?}");
    let parsed = found.remove(0);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    parsed.root.unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let all = documents(text).into_iter().flat_map(|parsed| parsed.errors);
    all.map(|error| {
        format!(
            "{}:{}: {}",
            error.place.line, error.place.column, error.message
        )
    })
    .collect()
}

#[test]
fn places_are_those_of_the_file() {
    let found = documents("# about\n---\na: 1\n---\n\n---\nb:\n  - c: x\n");
    assert_eq!(found.len(), 2);
    let second = found[1].root.as_ref().unwrap();
    let Value::Sequence(items) = &second.get("b").unwrap().value else {
        panic!()
    };
    let c = items[0].get("c").unwrap();
    assert_eq!(c.place, Place { line: 8, column: 8 });
    let mut path = String::new();
    assert!(second.path_to(c.place, &mut path));
    assert_eq!(path, "b[0].c");
}

#[test]
fn one_bad_document_does_not_hide_the_next() {
    let found = documents("a: [1\n---\nb: 2\n--- # three\nc: 'x\n");
    assert_eq!(found.len(), 3);
    assert!(found[0].root.is_none() && found[2].root.is_none());
    assert_eq!(
        found[1].root.as_ref().unwrap().get("b").unwrap().text(),
        Some("2")
    );
}

#[test]
fn separators_inside_a_block_scalar_end_it_but_longer_dashes_do_not() {
    assert_eq!(documents("a: |\n  ---\n  x\nb: ----\n").len(), 1);
}

#[test]
fn duplicate_keys_are_refused() {
    assert_eq!(
        errors("a:\n  b: 1\n  b: 2\n"),
        ["3:3: key `b` is there twice in the same object"]
    );
}

#[test]
fn json_is_read() {
    let node = only("{\n\t\"a\": [true, null, \"\\u00e9\\/\\n\"],\n\t\"b\":{\"c\":\"http://x\"}}");
    let Value::Sequence(items) = &node.get("a").unwrap().value else {
        panic!()
    };
    assert_eq!(items[2].text(), Some("é/\n"));
    assert_eq!(
        node.get("b").and_then(|b| b.get("c")).and_then(Node::text),
        Some("http://x")
    );
}

#[test]
fn aliases_and_merges_work_within_bounds() {
    let node = only("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n");
    let mine = node.get("mine").unwrap();
    assert_eq!(
        (mine.get("x").unwrap().text(), mine.get("y").unwrap().text()),
        (Some("1"), Some("3"))
    );

    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let previous = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![previous; 10].join(", "));
    }
    assert!(
        errors(&laughs)[0].contains("aliases copy more than"),
        "{:?}",
        errors(&laughs)
    );
}

#[test]
fn depth_is_bounded() {
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    assert!(
        errors(&deep)[0].contains("nested more than"),
        "{:?}",
        errors(&deep)
    );
    let very_deep = "[".repeat(100_000);
    assert!(!errors(&very_deep).is_empty());
}

#[test]
fn addresses_that_end_in_colons_are_read_as_kubernetes_does() {
    let node = only("a: [1.2.3.4, 2001:db8::]\n");
    let Value::Sequence(items) = &node.get("a").unwrap().value else {
        panic!()
    };
    assert_eq!(items[1].text(), Some("2001:db8::"));
}

#[test]
fn surrogate_pairs_are_escapes_in_json_only() {
    let json = r#"{"a": "\ud83d\ude00 \\ud83d\ude00"}"#;
    // The second is a backslash and text; what is left of its pair is half a character, which nothing can be.
    let changed = with_yaml_escapes(json);
    assert_eq!(changed, r#"{"a": "\U0001f600 \\ud83d\ude00"}"#);
    let both = with_yaml_escapes("a: '\\ud83d\\ude00'\n---\n{\"a\": \"\\ud83d\\ude00\"}\n");
    let found = documents(&both);
    let text = |position: usize| {
        found[position]
            .root
            .as_ref()
            .unwrap()
            .get("a")
            .unwrap()
            .text()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (text(0).as_str(), text(1).as_str()),
        ("\\ud83d\\ude00", "\u{1f600}")
    );
}
