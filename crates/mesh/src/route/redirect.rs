//! `http[].redirect`, with Envoy's rules for what is kept of the request's URL, but for one: where the port asked
//! for is the scheme's default, Istio leaves the request's own port in place; we leave it out.

use std::borrow::Cow;

use super::RequestHead;
use super::matching::{Matched, path_of, query_of};
use super::rewrite::in_place_of_segments;
use crate::hosts::split_port;

/// `http[].redirect`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Replaces the whole path. The request's query is kept unless this has one of its own.
    pub uri: Option<String>,
    /// Replaces what the rule's path prefix matched (Gateway API's `replacePrefixMatch`), where there is no `uri`.
    pub prefix: Option<String>,
    /// Replaces the host (and port).
    pub authority: Option<String>,
    /// Replaces the scheme.
    pub scheme: Option<String>,
    /// What becomes of the port.
    pub port: RedirectPort,
}

/// The port of a redirect's `Location`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectPort {
    /// The one in the request's host, unless `authority` replaces it or it is the default of a scheme that changes.
    #[default]
    Kept,
    /// None, as the one asked for is the default of the scheme.
    Default,
    /// This one.
    Number(u16),
}

impl Redirect {
    /// The `Location` for a request, of whose path the rule matched `matched`.
    pub fn location(&self, head: &impl RequestHead, matched: Matched) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(head.scheme());
        let host = match &self.authority {
            Some(authority) => authority.as_str(),
            None => self.host_of(head, scheme),
        };
        let target = head.path_and_query();
        let replaced = self.prefix.as_ref().map(|prefix| {
            let length = match matched {
                Matched::Prefix(length) | Matched::Segments(length) => length,
                Matched::WholePath => path_of(target).len(),
            };
            in_place_of_segments(path_of(target), length, prefix)
        });
        let uri = self.uri.as_deref();
        let (path, query) = match uri.or(replaced.as_deref()) {
            Some(uri) if uri.contains('?') => (uri, ""),
            Some(uri) => (uri, query_of(target)),
            None => (target, ""),
        };
        match self.port {
            RedirectPort::Number(port) => format!("{scheme}://{host}:{port}{path}{query}"),
            RedirectPort::Kept | RedirectPort::Default => format!("{scheme}://{host}{path}{query}"),
        }
    }

    /// [`Self::location`] on a port that the document gives as `documented`, but which the client knows by another
    /// number (`--port-offset`). A request that names that number is looked at as if it named the document's, and a
    /// redirect to the same host leads to a port that is moved as far: a listener of ours, as the document means.
    pub(super) fn location_on(
        &self,
        documented: u16,
        head: &impl RequestHead,
        matched: Matched,
    ) -> String {
        let (host, port) = split_port(head.authority());
        let moved = head
            .local_port()
            .filter(|local| *local != documented && port == Some(*local));
        match moved {
            Some(local) if self.authority.is_none() => {
                let authority = format!("{host}:{documented}");
                let as_documented = self.location(&AsDocumented { head, authority }, matched);
                with_port_moved(&as_documented, local.saturating_sub(documented))
            }
            _ => self.location(head, matched),
        }
    }

    /// The request's own host: without its port if that is replaced, or if it was the default port of a scheme
    /// that changes.
    fn host_of<'h>(&self, head: &'h impl RequestHead, scheme: &str) -> &'h str {
        let authority = head.authority();
        let (host, port) = split_port(authority);
        let default_of_old_scheme = matches!(
            (head.scheme(), port),
            ("http", Some(80)) | ("https", Some(443))
        );
        let strip =
            self.port != RedirectPort::Kept || (scheme != head.scheme() && default_of_old_scheme);
        if strip { host } else { authority }
    }
}

/// A request that names the port of the document.
struct AsDocumented<'h, H> {
    head: &'h H,
    authority: String,
}

impl<H: RequestHead> RequestHead for AsDocumented<'_, H> {
    fn method(&self) -> &str {
        self.head.method()
    }

    fn scheme(&self) -> &str {
        self.head.scheme()
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn path_and_query(&self) -> &str {
        self.head.path_and_query()
    }

    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.head.header(name)
    }
}

fn with_port_moved(location: &str, offset: u16) -> String {
    let moved = location.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority);
        let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
        let port = port.checked_add(offset)?;
        Some(format!("{scheme}://{host}:{port}{path}"))
    });
    moved.unwrap_or_else(|| location.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Get {
        authority: &'static str,
        local_port: u16,
    }

    impl RequestHead for Get {
        fn method(&self) -> &str {
            "GET"
        }

        fn scheme(&self) -> &str {
            "http"
        }

        fn authority(&self) -> &str {
            self.authority
        }

        fn path_and_query(&self) -> &str {
            "/a?b"
        }

        fn header<'a>(&'a self, _: &str) -> Option<Cow<'a, [u8]>> {
            None
        }

        fn local_port(&self) -> Option<u16> {
            Some(self.local_port)
        }
    }

    #[test]
    fn a_redirect_to_ourselves_moves_with_the_ports() {
        let to_https = || Redirect {
            scheme: Some("https".to_owned()),
            ..Redirect::default()
        };
        let elsewhere = Redirect {
            authority: Some("b".to_owned()),
            ..to_https()
        };
        let port = Redirect {
            port: RedirectPort::Number(8443),
            ..to_https()
        };
        for (redirect, authority, local_port, expected) in [
            (to_https(), "a:8080", 8080, "https://a:8443/a?b"),
            (Redirect::default(), "a:8080", 8080, "http://a:8080/a?b"),
            (port, "a:8080", 8080, "https://a:16443/a?b"),
            (to_https(), "[::1]:8080", 8080, "https://[::1]:8443/a?b"),
            // Nothing is known of what is between the client and us.
            (to_https(), "a", 8080, "https://a/a?b"),
            (to_https(), "a:9090", 8080, "https://a:9090/a?b"),
            (elsewhere, "a:8080", 8080, "https://b/a?b"),
            (to_https(), "a:80", 80, "https://a/a?b"),
            (to_https(), "a:65535", 65535, "https://a/a?b"),
        ] {
            let head = Get {
                authority,
                local_port,
            };
            let location = redirect.location_on(80, &head, Matched::Prefix(1));
            assert_eq!(location, expected, "{authority} on {local_port}");
        }
    }
}
