//! Conditions on a request head, with Envoy's meaning.

use std::borrow::Cow;

use super::RequestHead;
use super::pattern::Pattern;

/// One entry of a rule's `match`: all of its conditions together.
#[derive(Debug, Clone, Default)]
pub struct RequestMatch {
    /// `match[].name`.
    pub name: Option<String>,
    /// On the path without the query.
    pub uri: Option<UriMatch>,
    /// On `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// On the method.
    pub method: Option<StringMatch>,
    /// On the authority as the client sent it, port and all; case matters.
    pub authority: Option<StringMatch>,
    /// On headers, `headers` and `withoutHeaders` both.
    pub headers: Vec<HeaderMatch>,
    /// On query parameters as they stand in the URL, not decoded.
    pub query_params: Vec<QueryMatch>,
}

/// `match[].uri`.
#[derive(Debug, Clone)]
pub struct UriMatch {
    /// The condition.
    pub matcher: StringMatch,
    /// `ignoreUriCase`; regular expressions keep their own case.
    pub ignore_case: bool,
}

/// `match[].headers` and `match[].withoutHeaders`.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// Lower case; or `:method`, `:path`, `:scheme`, `:authority`.
    pub name: String,
    /// On the value; several lines are joined with commas.
    pub matcher: StringMatch,
    /// True for `withoutHeaders`, where an absent header counts as an empty one.
    pub invert: bool,
}

/// `match[].queryParams`.
#[derive(Debug, Clone)]
pub struct QueryMatch {
    /// Name of the parameter.
    pub name: String,
    /// On the first value.
    pub matcher: StringMatch,
}

/// Istio's `StringMatch`.
#[derive(Debug, Clone, PartialEq)]
pub enum StringMatch {
    /// The whole value.
    Exact(Box<str>),
    /// How it begins, byte by byte.
    Prefix(Box<str>),
    /// How a path begins, segment by segment (Gateway API's `PathPrefix`), without a `/` at its end: `/a` takes `/a`
    /// and `/a/b`, but not `/ab`.
    Segments(Box<str>),
    /// RE2, against the whole value.
    Regex(Pattern),
    /// There is one: an empty `StringMatch`, or Istio's special regular expression `*`.
    Present,
}

impl StringMatch {
    /// Whether a value that is present fits.
    pub fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value == exact.as_bytes(),
            Self::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            Self::Segments(prefix) => has_segments(value, prefix.as_bytes()),
            Self::Regex(pattern) => pattern.is_match(value),
            Self::Present => true,
        }
    }
}

pub(super) fn has_segments(path: &[u8], prefix: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

impl std::fmt::Display for StringMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exactly `{text}`"),
            Self::Prefix(text) => write!(f, "prefix `{text}`"),
            Self::Segments(prefix) => write!(f, "path prefix `{prefix}/`"),
            Self::Regex(pattern) => write!(f, "regex `{}`", pattern.text()),
            Self::Present => f.write_str("present"),
        }
    }
}

impl UriMatch {
    /// Whether every path fits.
    pub(super) fn is_any(&self) -> bool {
        match &self.matcher {
            StringMatch::Prefix(prefix) => prefix.is_empty() || &**prefix == "/",
            StringMatch::Segments(prefix) => prefix.is_empty(),
            StringMatch::Regex(pattern) => matches!(pattern.text(), ".*" | "/.*"),
            StringMatch::Present => true,
            StringMatch::Exact(_) => false,
        }
    }

    /// What part of the path a rewrite replaces, if the path fits.
    fn matched(&self, path: &str) -> Option<Matched> {
        let (bytes, fold) = (path.as_bytes(), self.ignore_case);
        match &self.matcher {
            StringMatch::Exact(exact) if fold => path
                .eq_ignore_ascii_case(exact)
                .then_some(Matched::WholePath),
            StringMatch::Prefix(prefix) if fold => {
                let head = bytes.get(..prefix.len())?;
                head.eq_ignore_ascii_case(prefix.as_bytes())
                    .then_some(Matched::Prefix(prefix.len()))
            }
            StringMatch::Prefix(prefix) => bytes
                .starts_with(prefix.as_bytes())
                .then_some(Matched::Prefix(prefix.len())),
            StringMatch::Segments(prefix) => {
                has_segments(bytes, prefix.as_bytes()).then_some(Matched::Segments(prefix.len()))
            }
            matcher => matcher.is_match(bytes).then_some(Matched::WholePath),
        }
    }
}

/// What a `uri` rewrite replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// This many bytes of the path. Without a `uri` condition it is Envoy's implied prefix `/`.
    Prefix(usize),
    /// This many bytes of the path, behind which it ends or goes on with `/`.
    Segments(usize),
    /// All of the path (exact and regex conditions).
    WholePath,
}

/// The first condition of a match entry that the request does not fulfil.
#[derive(Debug, Clone, Copy)]
pub enum Mismatch<'m> {
    /// `uri`.
    Uri(&'m UriMatch),
    /// `scheme`.
    Scheme(&'m StringMatch),
    /// `method`.
    Method(&'m StringMatch),
    /// `authority`.
    Authority(&'m StringMatch),
    /// `headers` or `withoutHeaders`.
    Header(&'m HeaderMatch),
    /// `queryParams`.
    Query(&'m QueryMatch),
}

impl Mismatch<'_> {
    /// Says it for people: `uri is /a, not prefix /b`.
    pub fn describe(&self, head: &impl RequestHead) -> String {
        let text = |value: Option<Cow<'_, [u8]>>| match value {
            Some(value) => format!("is `{}`", String::from_utf8_lossy(&value)),
            None => "is absent".to_owned(),
        };
        let bytes = |value: &str| text(Some(Cow::Owned(value.as_bytes().to_vec())));
        match self {
            Self::Uri(uri) => {
                let fold = if uri.ignore_case {
                    " (ignoring case)"
                } else {
                    ""
                };
                format!(
                    "uri {}, not {}{fold}",
                    bytes(path_of(head.path_and_query())),
                    uri.matcher
                )
            }
            Self::Scheme(matcher) => format!("scheme {}, not {matcher}", bytes(head.scheme())),
            Self::Method(matcher) => format!("method {}, not {matcher}", bytes(head.method())),
            Self::Authority(matcher) => {
                format!("authority {}, not {matcher}", bytes(head.authority()))
            }
            Self::Header(header) => {
                let value = text(header_value(head, &header.name));
                let not = if header.invert {
                    "which withoutHeaders refuses:"
                } else {
                    "not"
                };
                format!("header {} {value}, {not} {}", header.name, header.matcher)
            }
            Self::Query(query) => {
                let value = query_value(head.path_and_query(), &query.name)
                    .map(|value| Cow::Borrowed(value.as_bytes()));
                format!(
                    "query parameter {} {}, not {}",
                    query.name,
                    text(value),
                    query.matcher
                )
            }
        }
    }
}

impl RequestMatch {
    /// Tests all conditions.
    ///
    /// # Errors
    /// The first one that is not fulfilled.
    pub fn matched<'m>(&'m self, head: &impl RequestHead) -> Result<Matched, Mismatch<'m>> {
        let target = head.path_and_query();
        let matched = match &self.uri {
            Some(uri) => uri.matched(path_of(target)).ok_or(Mismatch::Uri(uri))?,
            None => Matched::Prefix(1),
        };
        if let Some(matcher) = &self.method
            && !matcher.is_match(head.method().as_bytes())
        {
            return Err(Mismatch::Method(matcher));
        }
        if let Some(matcher) = &self.scheme
            && !matcher.is_match(head.scheme().as_bytes())
        {
            return Err(Mismatch::Scheme(matcher));
        }
        if let Some(matcher) = &self.authority
            && !matcher.is_match(head.authority().as_bytes())
        {
            return Err(Mismatch::Authority(matcher));
        }
        for header in &self.headers {
            if !header.is_match(head) {
                return Err(Mismatch::Header(header));
            }
        }
        for query in &self.query_params {
            if !query_value(target, &query.name)
                .is_some_and(|value| query.matcher.is_match(value.as_bytes()))
            {
                return Err(Mismatch::Query(query));
            }
        }
        Ok(matched)
    }

    /// Whether every request fits: no condition, or only the prefix `/`.
    pub(crate) fn is_catch_all(&self) -> bool {
        let any_uri = self.uri.as_ref().is_none_or(UriMatch::is_any);
        let rest = self.scheme.is_none() && self.method.is_none() && self.authority.is_none();
        any_uri && rest && self.headers.is_empty() && self.query_params.is_empty()
    }
}

impl HeaderMatch {
    fn is_match(&self, head: &impl RequestHead) -> bool {
        let value = header_value(head, &self.name);
        match (&self.matcher, self.invert) {
            (StringMatch::Present, invert) => value.is_some() != invert,
            (matcher, true) => !matcher.is_match(value.as_deref().unwrap_or_default()),
            (matcher, false) => value.is_some_and(|value| matcher.is_match(&value)),
        }
    }
}

fn header_value<'h>(head: &'h impl RequestHead, name: &str) -> Option<Cow<'h, [u8]>> {
    let pseudo = match name {
        ":method" => head.method(),
        ":path" => head.path_and_query(),
        ":scheme" => head.scheme(),
        ":authority" | "host" => head.authority(),
        _ => return head.header(name),
    };
    Some(Cow::Borrowed(pseudo.as_bytes()))
}

/// The path without its query.
pub(super) fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The query with its `?`, or nothing.
pub(super) fn query_of(target: &str) -> &str {
    &target[path_of(target).len()..]
}

/// First value of a query parameter; `?a` and `?a=` are both empty values.
pub(crate) fn query_value<'h>(target: &'h str, name: &str) -> Option<&'h str> {
    let query = query_of(target).strip_prefix('?')?;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
