//! Regular expressions, each compiled once however many rules have it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Weak};

use regex::bytes::{Regex, RegexBuilder};

use crate::hosts::HostHasher;

/// A compiled regular expression with its source text. Patterns of the same text share what was compiled, and the
/// memory that searches work in.
#[derive(Debug, Clone)]
pub struct Pattern {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    text: Box<str>,
    whole: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// Compiled size above which a pattern is refused: far more than a route needs, and it bounds what a hostile
/// document can make us hold.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

impl Pattern {
    /// Compiles `text` to match whole values, unless a living pattern of this thread has it already.
    ///
    /// # Errors
    /// Says what is wrong with the expression.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Some(compiled) = LIVING.with_borrow(|living| living.find(text)) {
            return Ok(Self { compiled });
        }
        // Checked on its own first: `a)|(b` would become valid inside our own group.
        regex_syntax::ast::parse::Parser::new()
            .parse(text)
            .map_err(|error| first_line(&error.kind().to_string()))?;
        let whole = compile(&format!(r"\A(?:{text})\z"))?;
        let compiled = Arc::new(Compiled {
            text: text.into(),
            whole,
        });
        LIVING.with_borrow_mut(|living| living.add(&compiled));
        Ok(Self { compiled })
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.compiled.text
    }

    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        self.compiled.whole.is_match(value)
    }
}

thread_local! {
    /// Whether a text is compiled anew makes no difference to what it matches, so results stay the same whatever was
    /// loaded before.
    static LIVING: RefCell<Living> = RefCell::default();
}

/// Patterns that somebody still holds, by text.
#[derive(Default)]
struct Living {
    by_text: HashMap<Box<str>, Weak<Compiled>, BuildHasherDefault<HostHasher>>,
    /// Size at which the dead are taken out.
    sweep_at: usize,
}

/// Below this many, looking for dead ones is not worth it.
const FEW: usize = 1024;

impl Living {
    fn find(&self, text: &str) -> Option<Arc<Compiled>> {
        self.by_text.get(text)?.upgrade()
    }

    fn add(&mut self, compiled: &Arc<Compiled>) {
        if self.by_text.len() >= self.sweep_at {
            self.by_text
                .retain(|_, compiled| compiled.strong_count() > 0);
            self.sweep_at = (self.by_text.len() * 2).max(FEW);
        }
        self.by_text
            .insert(compiled.text.clone(), Arc::downgrade(compiled));
    }
}

/// RE2's classes (`\d`, `\w`, `\b`, case folding) are ASCII, so Unicode mode is only for the patterns that need it.
pub(super) fn compile(text: &str) -> Result<Regex, String> {
    let build = |unicode| {
        RegexBuilder::new(text)
            .unicode(unicode)
            .size_limit(PATTERN_SIZE_LIMIT)
            .dfa_size_limit(PATTERN_SIZE_LIMIT)
            .build()
    };
    build(false)
        .or_else(|_| build(true))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("compiles to more than {limit} bytes; use fewer or smaller repetitions")
            }
            error => first_line(&error.to_string()),
        })
}

fn first_line(message: &str) -> String {
    message
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_values_as_re2_does() {
        let is_match = |pattern: &str, value: &[u8]| Pattern::new(pattern).unwrap().is_match(value);
        assert!(is_match("a|bc", b"bc") && !is_match("a|bc", b"abc") && !is_match("a", b"a\n"));
        assert!(is_match("(?i)jason", b"JaSon") && is_match("", b""));
        assert!(is_match("[ä]+", "ää".as_bytes()) && is_match(".*", b"\xff\xfe"));
        // RE2's classes are ASCII.
        assert!(!is_match(r"\d", "\u{663}".as_bytes()) && !is_match(r"\w", "ä".as_bytes()));
    }

    #[test]
    fn the_same_text_is_compiled_once() {
        let first = Pattern::new("a+b").unwrap();
        let second = Pattern::new("a+b").unwrap();
        assert!(Arc::ptr_eq(&first.compiled, &second.compiled));
        drop((first, second));
        assert!(LIVING.with_borrow(|living| living.find("a+b")).is_none());
        // The dead don't pile up.
        for number in 0..3 * FEW {
            Pattern::new(&format!("x{number}")).unwrap();
        }
        assert!(LIVING.with_borrow(|living| living.by_text.len()) <= FEW + 1);
    }

    #[test]
    fn hostile_patterns_are_refused() {
        for (pattern, why) in [
            ("a)|(b", "unopened group"),
            ("(", "unclosed group"),
            ("(((a{100}){100}){100}){100}", "compiles to more than"),
            (r"(a)\1", "backreferences"),
            ("(?=a)", "look-around"),
        ] {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }
}
