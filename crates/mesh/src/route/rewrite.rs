//! What a rule changes about the path and the authority.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::RequestHead;
use super::matching::{Matched, path_of, query_of};
use super::pattern::compile;

/// `http[].rewrite`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewrite {
    /// The path.
    pub path: Option<PathRewrite>,
    /// The authority.
    pub authority: Option<String>,
}

/// How a path is rewritten.
#[derive(Debug, Clone, PartialEq)]
pub enum PathRewrite {
    /// `uri`: replaces what the match entry matched.
    Uri(String),
    /// `replaceFullPath`: replaces all of it, whatever matched.
    Full(String),
    /// `uriRegexRewrite`: replaces every match in the path.
    Regex(RegexRewrite),
}

/// `rewrite.uriRegexRewrite`.
#[derive(Debug, Clone)]
pub struct RegexRewrite {
    pattern: Regex,
    /// In the regex crate's syntax.
    substitution: String,
}

impl PartialEq for RegexRewrite {
    fn eq(&self, other: &Self) -> bool {
        (self.pattern.as_str(), &self.substitution) == (other.pattern.as_str(), &other.substitution)
    }
}

/// The pattern, and what takes the place of what it matches, `${1}` being its first group.
impl std::fmt::Display for RegexRewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` to `{}`", self.pattern, self.substitution)
    }
}

impl RegexRewrite {
    /// Compiles a pattern and its substitution, in which `\1` stands for the first group and `\0` for all.
    ///
    /// # Errors
    /// Says what is wrong with the pattern, or which group does not exist.
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, String> {
        let pattern = compile(pattern)?;
        let mut translated = String::with_capacity(substitution.len() + 4);
        let mut rest = substitution.chars();
        while let Some(character) = rest.next() {
            match character {
                '$' => translated.push_str("$$"),
                '\\' => match rest.next() {
                    Some('\\') => translated.push('\\'),
                    Some(digit) if digit.is_ascii_digit() => {
                        let group = digit as usize - '0' as usize;
                        if group >= pattern.captures_len() {
                            return Err(format!("substitution names group \\{group}, but the pattern has {}", pattern.captures_len() - 1));
                        }
                        translated.push_str(&format!("${{{group}}}"));
                    }
                    _ => return Err("substitution has a lone `\\`; write `\\\\` for a backslash or `\\1` for a group".to_owned()),
                },
                other => translated.push(other),
            }
        }
        Ok(Self {
            pattern,
            substitution: translated,
        })
    }

    fn apply<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match self
            .pattern
            .replace_all(path.as_bytes(), self.substitution.as_bytes())
        {
            Cow::Borrowed(_) => Cow::Borrowed(path),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

impl Rewrite {
    /// The new path and query, or `None` when they stay as they are. The query is always kept.
    pub fn path_and_query<'h>(
        &self,
        head: &'h impl RequestHead,
        matched: Matched,
    ) -> Option<Cow<'h, str>> {
        let target = head.path_and_query();
        let path = path_of(target);
        let rewritten = match self.path.as_ref()? {
            PathRewrite::Uri(uri) => match matched {
                Matched::WholePath => Cow::Borrowed(uri.as_str()),
                Matched::Segments(length) => Cow::Owned(in_place_of_segments(path, length, uri)),
                Matched::Prefix(length) => {
                    Cow::Owned(format!("{uri}{}", path.get(length..).unwrap_or_default()))
                }
            },
            PathRewrite::Full(path) => Cow::Borrowed(path.as_str()),
            PathRewrite::Regex(rewrite) => rewrite.apply(path),
        };
        if rewritten == path {
            return None;
        }
        // A request line needs a path; an empty prefix replacement must not produce an invalid one.
        let slash = if rewritten.starts_with('/') || rewritten == "*" {
            ""
        } else {
            "/"
        };
        Some(Cow::Owned(format!(
            "{slash}{rewritten}{}",
            query_of(target)
        )))
    }

    /// The new authority, or `None` when it stays as it is.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }
}

/// `path` with its first `length` bytes, which are whole segments, replaced. Where the path goes on there is one `/`
/// between the two, whether or not the replacement ends in one.
pub(super) fn in_place_of_segments(path: &str, length: usize, replacement: &str) -> String {
    let rest = path.get(length..).unwrap_or_default();
    match rest {
        "" if replacement.is_empty() => "/".to_owned(),
        "" => replacement.to_owned(),
        rest => format!("{}{rest}", replacement.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Gateway API's own table for `replacePrefixMatch`, and prefixes of no segment.
    #[test]
    fn segments_are_replaced_with_one_slash_behind_them() {
        for (path, prefix, replacement, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/", "/foo", "/xyz/", "/xyz/"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo", "/foo", "/xyz/", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "", "/xyz", "/xyz/foo"),
            ("/", "", "/xyz", "/xyz/"),
        ] {
            let replaced = in_place_of_segments(path, prefix.len(), replacement);
            assert_eq!(replaced, expected, "{path} {prefix} {replacement}");
        }
    }
}
