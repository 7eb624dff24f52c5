use proptest::prelude::*;

use super::super::parse_fully;
use super::*;

/// What [`read`] gives, after a check that the full parser gives the same.
fn checked(text: &str) -> Option<Node<'_>> {
    let root = read(text, 7)?;
    let full = parse_fully(text, 7);
    assert_eq!(full.len(), 1, "{text}");
    assert!(full[0].errors.is_empty(), "{text}\n{:?}", full[0].errors);
    assert_eq!(full[0].root.as_ref(), Some(&root), "{text}");
    Some(root)
}

#[test]
fn manifests_are_read_directly() {
    for text in [
        "a: 1",
        "a:\n",
        "---\na: b\n",
        "# c\n--- # d\n\na: b # e\n# f",
        "a:\n- b\n-   c: d\n    e: f\n- - g\n  - h\n- i: {}\n  j: []\nk: l m, n [o] {p}\n",
        "a:\n  - b\n\n  # c\n  - d # e\nf: 'g: \\d' # i\nj: \"k # l\"\nm: http://n#o\n",
        "a: # b\n  c:\n  d: null\n  e: 10:20\n\n",
        "kubernetes.io/name: x\na_b-c: c\n0: 1\n",
        "a:\n  b:\n    c:\n   # odd\n    - d\n  e: ''\n",
        "- a\n- b:\n  c:\n- d\n",
    ] {
        assert!(checked(text).is_some(), "{text}");
    }
}

#[test]
fn everything_else_is_left_to_the_full_parser() {
    for text in [
        "",
        "# a",
        "---",
        "a",
        " a: b",
        "a: b\n c",
        "a: b\n  c: d",
        "a:\n    b: c\n  d: e",
        "a:\n  - b\n  c: d",
        "a: b: c",
        "a: b:",
        "a: 'b''c'",
        "a: \"b\\n\"",
        "a: 'b\n  c'",
        "a: 'b' c",
        "a: 'b'#c",
        "a: |\n  b",
        "a: &b c",
        "a: *b",
        "a: !!str b",
        "a: [b]",
        "a: {b: c}",
        "a: {} b",
        "'a': b",
        "? a\n: b",
        "a b: c",
        "a:b: c",
        "- a::",
        "a: - b",
        "-a: b",
        "- a\nb",
        "-\n  a",
        "<<: {}\n",
        "null: a",
        "a: b\na: c",
        "a: b\n...\n",
        "---\n---\na: b",
        "%YAML 1.2\n---\na: b",
        "a:\tb",
        "a: b\r\n",
        "a: \u{e4}",
        "a: b\n- c",
    ] {
        assert_eq!(checked(text), None, "{text}");
    }
    let deep: String = (0..=MAX_DEPTH).map(|_| "- ").collect();
    assert_eq!(checked(&format!("{deep}a")), None);
    assert!(checked(&format!("{}a", &deep[2..])).is_some());
}

/// Scalars as they may stand in a file, most of them ones that are read directly.
fn scalar_text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z0-9/._(^$+][a-zA-Z0-9/._,=&*!|>%@`<~ -]{0,6}[a-z0-9:#]?",
        2 => "'[a-z:# {}-]{0,5}'",
        2 => "\"[a-z:# {}-]{0,5}\"",
        1 => Just("{}".to_owned()),
        1 => Just("[]".to_owned()),
        1 => "[ -~]{0,6}",
    ]
}

fn end_of_line() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => Just("\n"),
        1 => Just("  \n"),
        1 => Just(" # c: d\n"),
        1 => Just("\n\n"),
        1 => Just("\n  # c\n"),
        1 => Just("#\n"),
    ]
}

/// Lines in block style, mostly but not always indented as they should be.
fn block_lines() -> impl Strategy<Value = String> {
    let line = (
        0..6_usize,
        prop_oneof![6 => Just(0_usize), 1 => Just(1_usize)],
        prop_oneof![Just(""), Just("- "), Just("- - "), Just("-  ")],
        prop_oneof![6 => "[a-d]: ", 3 => "[a-d]:", 2 => Just(String::new()), 1 => "[ -~]{1,3}:"],
        prop_oneof![2 => scalar_text(), 1 => Just(String::new())],
        end_of_line(),
    );
    proptest::collection::vec(line, 1..8).prop_map(|lines| {
        let mut text = String::new();
        for (depth, odd, dash, key, value, end) in lines {
            let indent = if text.is_empty() { 0 } else { 2 * depth + odd };
            text.push_str(&" ".repeat(indent));
            text.extend([dash, &key, &value, end]);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_full_parser_reads_the_same(text in block_lines()) {
        checked(&text);
    }
}
