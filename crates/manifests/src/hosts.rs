//! Host patterns: an exact name, `*` followed by a suffix (`*.example.com`), or `*`. `*` stands for at least one
//! character and may span labels. Case makes no difference.

/// How well `pattern` fits `name`: `None` not at all, else more is better, an exact name best.
pub fn pattern_rank(pattern: &str, name: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        Some("") => Some(0),
        Some(suffix) => {
            let start = name
                .len()
                .checked_sub(suffix.len())
                .filter(|start| *start > 0)?;
            name.get(start..)?
                .eq_ignore_ascii_case(suffix)
                .then_some(suffix.len())
        }
        None => pattern.eq_ignore_ascii_case(name).then_some(usize::MAX),
    }
}

/// Whether every name that `inner` stands for is one that `outer` stands for.
pub fn is_subset(inner: &str, outer: &str) -> bool {
    match (inner.strip_prefix('*'), outer.strip_prefix('*')) {
        (_, Some("")) => true,
        (None, None) => inner.eq_ignore_ascii_case(outer),
        (Some(_), None) => false,
        (None, Some(_)) => pattern_rank(outer, inner).is_some(),
        (Some(inner), Some(outer)) => ends_with_ignore_case(inner, outer),
    }
}

fn ends_with_ignore_case(name: &str, suffix: &str) -> bool {
    name.len()
        .checked_sub(suffix.len())
        .and_then(|start| name.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// The names that both patterns stand for, as a pattern: the narrower of the two, if they overlap.
pub fn intersection<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    if is_subset(a, b) {
        Some(a)
    } else if is_subset(b, a) {
        Some(b)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersections_are_the_narrower_pattern() {
        for (a, b, narrower) in [
            ("*", "a.com", Some("a.com")),
            ("*.com", "*.a.com", Some("*.a.com")),
            ("*.a.com", "b.a.com", Some("b.a.com")),
            ("*.a.com", "c.b.a.com", Some("c.b.a.com")),
            ("*.a.com", "a.com", None),
            ("a.com", "b.com", None),
            ("*.a.com", "*.b.com", None),
            ("*", "*", Some("*")),
        ] {
            assert_eq!(intersection(a, b), narrower, "{a} {b}");
            assert_eq!(intersection(b, a), narrower, "{b} {a}");
        }
    }
}
