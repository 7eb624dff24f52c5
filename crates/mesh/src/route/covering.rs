//! Which conditions take every request that others take: how rules that can never be reached are found.

use super::matching::{HeaderMatch, QueryMatch, RequestMatch, StringMatch, UriMatch, has_segments};
use crate::model::Route;

impl Route {
    /// Whether every request that `other` takes is one that this rule takes, so that `other` is never reached
    /// behind it. False wherever it cannot be told, as between two regular expressions.
    pub fn covers(&self, other: &Self) -> bool {
        let everything = [RequestMatch::default()];
        let entries = |route: &Self| route.matches.is_empty();
        let ours = if entries(self) {
            &everything[..]
        } else {
            &self.matches
        };
        let theirs = if entries(other) {
            &everything[..]
        } else {
            &other.matches
        };
        theirs
            .iter()
            .all(|theirs| ours.iter().any(|ours| ours.covers(theirs)))
    }

    /// False only where no request can be one that both rules take.
    pub fn may_overlap(&self, other: &Self) -> bool {
        let all = |route: &Self| route.matches.is_empty();
        all(self)
            || all(other)
            || self
                .matches
                .iter()
                .any(|ours| other.matches.iter().any(|theirs| ours.may_overlap(theirs)))
    }
}

impl RequestMatch {
    /// Whether every request that fulfils `other` fulfils this. False wherever it cannot be told.
    pub fn covers(&self, other: &Self) -> bool {
        let Self {
            name: _,
            uri,
            scheme,
            method,
            authority,
            headers,
            query_params,
        } = self;
        let strings = [
            (scheme, &other.scheme),
            (method, &other.method),
            (authority, &other.authority),
        ];
        let ours = uri.as_ref().filter(|uri| !uri.is_any());
        covers_optional(ours, other.uri.as_ref(), UriMatch::covers)
            && strings.into_iter().all(|(ours, theirs)| {
                covers_optional(ours.as_ref(), theirs.as_ref(), StringMatch::covers)
            })
            && headers
                .iter()
                .all(|ours| other.headers.iter().any(|theirs| ours.covers(theirs)))
            && query_params
                .iter()
                .all(|ours| other.query_params.iter().any(|theirs| ours.covers(theirs)))
    }

    /// False only where no request can fulfil both.
    pub fn may_overlap(&self, other: &Self) -> bool {
        let apart = |ours: &Option<StringMatch>, theirs: &Option<StringMatch>| match (ours, theirs)
        {
            (Some(ours), Some(theirs)) => ours.excludes(theirs),
            _ => false,
        };
        let uris_apart = match (&self.uri, &other.uri) {
            (Some(ours), Some(theirs)) => {
                !ours.ignore_case && !theirs.ignore_case && ours.matcher.excludes(&theirs.matcher)
            }
            _ => false,
        };
        let headers_apart = self.headers.iter().any(|ours| {
            let theirs = other
                .headers
                .iter()
                .filter(|theirs| theirs.name == ours.name);
            let mut theirs = theirs.map(|theirs| match (ours.invert, theirs.invert) {
                (false, false) => ours.matcher.excludes(&theirs.matcher),
                (true, false) => ours.matcher.covers(&theirs.matcher),
                (false, true) => theirs.matcher.covers(&ours.matcher),
                (true, true) => false,
            });
            theirs.any(|apart| apart)
        });
        let query_apart = self.query_params.iter().any(|ours| {
            let theirs = other.query_params.iter();
            let mut theirs = theirs.filter(|theirs| theirs.name == ours.name);
            theirs.any(|theirs| ours.matcher.excludes(&theirs.matcher))
        });
        !(uris_apart
            || headers_apart
            || query_apart
            || apart(&self.scheme, &other.scheme)
            || apart(&self.method, &other.method)
            || apart(&self.authority, &other.authority))
    }
}

/// No condition is fulfilled by every request.
fn covers_optional<T>(
    ours: Option<&T>,
    theirs: Option<&T>,
    covers: impl Fn(&T, &T) -> bool,
) -> bool {
    match (ours, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(ours), Some(theirs)) => covers(ours, theirs),
    }
}

impl UriMatch {
    fn covers(&self, other: &Self) -> bool {
        if self.is_any() {
            return true;
        }
        match (self.ignore_case, other.ignore_case) {
            (false, false) => self.matcher.covers(&other.matcher),
            (false, true) => false,
            // Case folding changes no length, so the folded texts can stand for what they match.
            (true, _) => match (&self.matcher, &other.matcher) {
                (StringMatch::Regex(_), _) | (_, StringMatch::Regex(_)) => {
                    !other.ignore_case && self.matcher.covers(&other.matcher)
                }
                (ours, theirs) => ours.folded().covers(&theirs.folded()),
            },
        }
    }
}

impl HeaderMatch {
    fn covers(&self, other: &Self) -> bool {
        self.name == other.name
            && match (self.invert, other.invert) {
                (false, false) => self.matcher.covers(&other.matcher),
                // An absent header counts as an empty one, but for `Present`, which asks for one.
                (true, true) if other.matcher == StringMatch::Present => {
                    self.matcher == StringMatch::Present || !self.matcher.is_match(b"")
                }
                // What is refused is less, so the condition takes more.
                (true, true) => other.matcher.covers(&self.matcher),
                (true, false) => self.matcher.excludes(&other.matcher),
                (false, true) => false,
            }
    }
}

impl QueryMatch {
    fn covers(&self, other: &Self) -> bool {
        self.name == other.name && self.matcher.covers(&other.matcher)
    }
}

impl StringMatch {
    /// Whether every value that `other` takes is one that this takes.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (_, Self::Exact(exact)) => self.is_match(exact.as_bytes()),
            (Self::Prefix(ours), Self::Prefix(theirs) | Self::Segments(theirs)) => {
                theirs.starts_with(&**ours)
            }
            (Self::Segments(ours), Self::Segments(theirs)) => {
                has_segments(theirs.as_bytes(), ours.as_bytes())
            }
            // All that begins with `/a/b`, but not all that begins with `/a`, is below `/a`.
            (Self::Segments(ours), Self::Prefix(theirs)) => {
                theirs.len() > ours.len() && has_segments(theirs.as_bytes(), ours.as_bytes())
            }
            (Self::Segments(ours), _) => ours.is_empty(),
            (Self::Prefix(ours), _) => ours.is_empty(),
            (Self::Regex(ours), Self::Regex(theirs)) if ours == theirs => true,
            (Self::Regex(ours), _) => ours.text() == ".*",
            (Self::Exact(_), _) => false,
        }
    }

    /// True only where no value is one that both take.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(exact), matcher) | (matcher, Self::Exact(exact)) => {
                !matcher.is_match(exact.as_bytes())
            }
            (Self::Prefix(ours), Self::Prefix(theirs)) => {
                !ours.starts_with(&**theirs) && !theirs.starts_with(&**ours)
            }
            (Self::Segments(ours), Self::Segments(theirs)) => {
                let (ours, theirs) = (ours.as_bytes(), theirs.as_bytes());
                !has_segments(ours, theirs) && !has_segments(theirs, ours)
            }
            (Self::Segments(segments), Self::Prefix(prefix))
            | (Self::Prefix(prefix), Self::Segments(segments)) => {
                !segments.starts_with(&**prefix)
                    && !has_segments(prefix.as_bytes(), segments.as_bytes())
            }
            _ => false,
        }
    }

    fn folded(&self) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase().into()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase().into()),
            Self::Segments(text) => Self::Segments(text.to_ascii_lowercase().into()),
            Self::Regex(_) | Self::Present => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Pattern;

    fn exact(text: &str) -> StringMatch {
        StringMatch::Exact(text.into())
    }

    fn prefix(text: &str) -> StringMatch {
        StringMatch::Prefix(text.into())
    }

    fn segments(text: &str) -> StringMatch {
        StringMatch::Segments(text.into())
    }

    fn regex(text: &str) -> StringMatch {
        StringMatch::Regex(Pattern::new(text).unwrap())
    }

    fn uri(matcher: StringMatch, ignore_case: bool) -> RequestMatch {
        RequestMatch {
            uri: Some(UriMatch {
                matcher,
                ignore_case,
            }),
            ..RequestMatch::default()
        }
    }

    fn header(matcher: StringMatch, invert: bool) -> RequestMatch {
        RequestMatch {
            headers: vec![HeaderMatch {
                name: "x".to_owned(),
                matcher,
                invert,
            }],
            ..RequestMatch::default()
        }
    }

    #[test]
    fn what_covers_what() {
        let all = RequestMatch::default();
        for (outer, inner, expected) in [
            (all.clone(), uri(exact("/a"), false), true),
            (uri(exact("/a"), false), all.clone(), false),
            (uri(prefix("/"), false), all, true),
            (uri(prefix("/"), false), uri(regex("/b.*"), false), true),
            (uri(prefix("/a"), false), uri(prefix("/ab"), false), true),
            (uri(prefix("/ab"), false), uri(prefix("/a"), false), false),
            (uri(prefix("/a"), false), uri(prefix("/A"), true), false),
            (uri(prefix("/A"), true), uri(prefix("/ab"), false), true),
            (uri(segments("/a"), false), uri(prefix("/a/"), false), true),
            (uri(segments("/a"), false), uri(prefix("/a"), false), false),
            (uri(segments("/a"), false), uri(exact("/ab"), false), false),
            (
                uri(segments("/a"), false),
                uri(segments("/a/b"), false),
                true,
            ),
            (
                uri(segments("/a"), false),
                uri(segments("/ab"), false),
                false,
            ),
            (uri(prefix("/a"), false), uri(segments("/ab"), false), true),
            (uri(segments(""), false), uri(regex("/b.*"), false), true),
            (uri(regex("/a.*"), false), uri(exact("/ab"), false), true),
            (uri(regex("/a.*"), false), uri(prefix("/ab"), false), false),
            (uri(regex("/a.*"), true), uri(exact("/A"), true), false),
            (
                header(StringMatch::Present, false),
                header(exact("1"), false),
                true,
            ),
            (
                header(exact("1"), false),
                header(StringMatch::Present, false),
                false,
            ),
            (header(exact("1"), true), header(prefix("1"), true), true),
            (header(prefix("1"), true), header(exact("1"), true), false),
            (
                header(exact(""), true),
                header(StringMatch::Present, true),
                false,
            ),
            (
                header(exact("1"), true),
                header(StringMatch::Present, true),
                true,
            ),
            (header(exact("1"), true), header(exact("2"), false), true),
            (header(exact("1"), false), header(exact("2"), true), false),
        ] {
            assert_eq!(outer.covers(&inner), expected, "{outer:?} over {inner:?}");
        }
    }

    #[test]
    fn what_is_apart() {
        for (one, other, expected) in [
            (uri(exact("/a"), false), uri(exact("/b"), false), false),
            (uri(exact("/a"), true), uri(exact("/A"), false), true),
            (uri(prefix("/a"), false), uri(prefix("/ab"), false), true),
            (uri(prefix("/a"), false), uri(prefix("/b"), false), false),
            (
                uri(segments("/a"), false),
                uri(segments("/ab"), false),
                false,
            ),
            (uri(segments("/a"), false), uri(prefix("/ab"), false), false),
            (uri(segments("/a"), false), uri(prefix("/"), false), true),
            (uri(segments("/a"), false), uri(prefix("/a/b"), false), true),
            (uri(regex("/a+"), false), uri(exact("/aa"), false), true),
            (uri(regex("/a+"), false), uri(exact("/b"), false), false),
            (uri(exact("/a"), false), header(exact("1"), false), true),
            (header(exact("1"), false), header(exact("1"), true), false),
            (header(exact("1"), false), header(exact("2"), true), true),
            (header(exact("1"), false), header(prefix("2"), false), false),
        ] {
            assert_eq!(one.may_overlap(&other), expected, "{one:?} and {other:?}");
            assert_eq!(other.may_overlap(&one), expected, "{other:?} and {one:?}");
        }
    }
}
