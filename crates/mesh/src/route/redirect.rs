//! `http[].redirect`, with Envoy's rules for what is kept of the request's URL, but for one: where the port asked
//! for is the scheme's default, Istio leaves the request's own port in place; we leave it out.

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
