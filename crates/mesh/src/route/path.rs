//! One spelling for paths that servers take for the same, so that no spelling gets around a rule: Istio's default
//! (`pathNormalization: BASE`), which is Envoy's `normalize_path`.

use std::borrow::Cow;

/// The path as it is matched and forwarded, with its query as it was; `None` if it must be refused with 400.
///
/// Segments `.` and `..` are resolved (RFC 3986 section 5.2.4; above the root there is nothing, so `/../a` is `/a`),
/// `\` becomes `/`, escapes of unreserved characters (`%2e`, `%41`) are decoded, and characters that have no place in
/// a path are escaped. Slashes are not merged, and `%2F` and `%5C` stay, as servers differ about them. Refused are
/// an escaped NUL and a fragment.
///
/// ```
/// assert_eq!(mesh::normalize("/a/%2e%2e\\b?q=/../").as_deref(), Some("/b?q=/../"));
/// assert_eq!(mesh::normalize("/a%00"), None);
/// ```
pub fn normalize(path_and_query: &str) -> Option<Cow<'_, str>> {
    if is_normal(path_and_query) {
        return Some(Cow::Borrowed(path_and_query));
    }
    let end = path_and_query.find('?').unwrap_or(path_and_query.len());
    let (path, query) = path_and_query.split_at(end);
    let mut output = Output {
        path: String::with_capacity(path_and_query.len() + 16),
        stray_percent: None,
    };
    output.resolve(path.as_bytes())?;
    output.path.push_str(query);
    Some(Cow::Owned(output.path))
}

/// Bytes that stand in a path as they are; `%` is not one of them.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b':'
                | b';'
                | b'='
                | b'@'
                | b'['
                | b']'
        )
}

/// RFC 3986 section 2.3: escaped or not, they mean the same.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a path is normal already, as nearly all are. (`/.well-known` is too, but is not told from `/./` here.)
fn is_normal(path_and_query: &str) -> bool {
    if !path_and_query.starts_with('/') {
        return path_and_query == "*";
    }
    let mut behind_slash = 0;
    for byte in path_and_query.bytes() {
        let kind = KINDS[usize::from(byte)];
        if kind & (MARK | behind_slash) != 0 {
            return byte == b'?';
        }
        behind_slash = (kind & SLASH) >> 1;
    }
    true
}

/// Ends the look: the query begins, or there is something to do.
const MARK: u8 = 1;
/// Ends it behind a slash only.
const DOT: u8 = 2;
/// One bit above, so that a shift lets the next byte's [`DOT`] count.
const SLASH: u8 = DOT << 1;

/// What a byte is for [`is_normal`], in one look-up, as every request pays for it.
const KINDS: [u8; 256] = {
    let mut kinds = [MARK; 256];
    let mut byte = 0;
    while byte < 256 {
        if is_path_byte(byte as u8) {
            kinds[byte] = 0;
        }
        byte += 1;
    }
    kinds[b'.' as usize] = DOT;
    kinds[b'/' as usize] = SLASH;
    kinds
};

struct Output {
    /// Begins with a slash once there is anything.
    path: String,
    /// Where in `path` a `%` stands that begins no escape.
    stray_percent: Option<usize>,
}

impl Output {
    fn resolve(&mut self, path: &[u8]) -> Option<()> {
        if !matches!(path.first(), Some(b'/' | b'\\')) {
            self.path.push('/');
        }
        let mut at = 0;
        while let Some(&byte) = path.get(at) {
            if let Some(dot) = dot_length(&path[at..]) {
                at += if self.path.ends_with('/') {
                    self.dots(&path[at..], dot)
                } else {
                    self.path.push('.');
                    dot
                };
                continue;
            }
            at += match (byte, escaped(&path[at..])) {
                (b'%', Some(0)) | (b'#', _) => return None,
                (b'%', Some(meant)) if is_unreserved(meant) && !self.would_complete(meant) => {
                    self.path.push(char::from(meant));
                    3
                }
                (b'%', Some(_)) => {
                    let escape = &path[at..at + 3];
                    self.path.extend(escape.iter().copied().map(char::from));
                    3
                }
                (b'%', None) => {
                    self.stray_percent = Some(self.path.len());
                    self.path.push('%');
                    1
                }
                (b'\\', _) => {
                    self.path.push('/');
                    1
                }
                (byte, _) if is_path_byte(byte) => {
                    self.path.push(char::from(byte));
                    1
                }
                (byte, _) => {
                    self.path.push_str(&format!("%{byte:02X}"));
                    1
                }
            };
        }
        Some(())
    }

    /// Takes dots that follow a slash, the first of them `dot` bytes long; returns how many bytes were taken.
    fn dots(&mut self, rest: &[u8], dot: usize) -> usize {
        let slash_or_end = |at: usize| match rest.get(at) {
            None => Some(0),
            Some(b'/' | b'\\') => Some(1),
            Some(_) => None,
        };
        if let Some(slash) = slash_or_end(dot) {
            return dot + slash;
        }
        if let Some(second) = dot_length(&rest[dot..])
            && let Some(slash) = slash_or_end(dot + second)
        {
            self.leave_segment();
            return dot + second + slash;
        }
        self.path.push('.');
        dot
    }

    /// Takes back the last segment, leaving the slash before it.
    fn leave_segment(&mut self) {
        let inside = self.path.len() - 1;
        let length = self.path[..inside].rfind('/').map_or(1, |slash| slash + 1);
        self.path.truncate(length);
        self.stray_percent = self.stray_percent.filter(|at| *at < length);
    }

    /// Whether this character, decoded, would be read as part of an escape that nobody wrote: `%%341` is not `%41`.
    fn would_complete(&self, meant: u8) -> bool {
        let near = |at: usize| self.path.len() - at <= 2;
        meant.is_ascii_hexdigit() && self.stray_percent.is_some_and(near)
    }
}

/// How long a dot is that stands here: `.` or `%2e`.
fn dot_length(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'.', ..] => Some(1),
        [b'%', b'2', b'e' | b'E', ..] => Some(3),
        _ => None,
    }
}

/// What the escape that stands here means.
fn escaped(rest: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = rest else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_normal_is_not_copied() {
        for path in [
            "/",
            "*",
            "/a",
            "/a/b.c/d..e/f.",
            "/a//b/",
            "/~a-b_c/:@!$&'()*+,;=[]",
            "/a?",
            "/a?b=/../%2e\\{}#",
            "/?/./",
            "/0123456.890123456789?.",
        ] {
            assert!(
                matches!(normalize(path), Some(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn paths_are_normalized_as_envoy_does() {
        for (path, normal) in [
            ("/a/../b", "/b"),
            ("/a/b/./c", "/a/b/c"),
            ("/a/b/../../../../c", "/c"),
            ("/..", "/"),
            ("/../", "/"),
            ("/.", "/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/...", "/a/..."),
            ("/a/.b/..c", "/a/.b/..c"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/%2E./b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/a%2eb", "/a.b"),
            ("/a/..\\c", "/c"),
            ("\\a\\.\\b\\..", "/a/"),
            ("//a/..//b", "///b"),
            ("/a//../b", "/a/b"),
            ("a/b", "/a/b"),
            ("..", "/"),
            ("", "/"),
            ("?a", "/?a"),
            ("/%41%7e%2d%5F", "/A~-_"),
            ("/%2F%2f%5c%25%3b%c0%af", "/%2F%2f%5c%25%3b%c0%af"),
            ("/%2e%2e%2fb", "/..%2fb"),
            ("/%252e%252e/b", "/%252e%252e/b"),
            ("/a/%%2e", "/a/%."),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz", "/%zz"),
            ("/%%341", "/%%341"),
            ("/%4%31", "/%4%31"),
            ("/%/../1%31", "/11"),
            ("/{a}|b<c>\"^`", "/%7Ba%7D%7Cb%3Cc%3E%22%5E%60"),
            ("/\u{e4}", "/%C3%A4"),
            ("/a/../b?c=/../d%2e\\", "/b?c=/../d%2e\\"),
        ] {
            assert_eq!(normalize(path).as_deref(), Some(normal), "{path}");
        }
        for path in ["/%00", "/a/.%00../b", "/a%%0000", "/a#b", "/a/#?"] {
            assert_eq!(normalize(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_passes_only_what_stays(path in "/([a-z0-9.:/?-]|%2e|\\\\){0,40}") {
            let end = path.find('?').unwrap_or(path.len());
            let mut output = Output { path: String::new(), stray_percent: None };
            prop_assert!(output.resolve(&path.as_bytes()[..end]).is_some());
            let stays = output.path == path[..end];
            let dot = path[..end].contains("/.");
            prop_assert_eq!(is_normal(&path), stays && !dot, "{}", path);
        }

        #[test]
        fn normal_paths_stay_and_hold_no_dot_segments(
            path in "(/|\\\\|\\.|%2e|%2E|%|4|1|%31|%2F|[a-c?]|\\PC){0,24}"
        ) {
            let Some(normal) = normalize(&path) else {
                return Ok(());
            };
            let again = normalize(&normal);
            prop_assert_eq!(again.as_deref(), Some(&*normal));
            let (path, query) = normal.split_once('?').unwrap_or((&normal, ""));
            prop_assert!(normal.ends_with(query) && (path.starts_with('/') || path == "*"));
            prop_assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(!path.contains(['\\', '#']) && path.is_ascii());
        }
    }
}
