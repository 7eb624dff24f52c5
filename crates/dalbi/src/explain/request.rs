//! A request as it is described on a command line.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method, Uri};
use mesh::{Mesh, RequestHead};

/// A request head that nobody sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    uri: Uri,
    /// From the `Host` header, else from the URL.
    authority: String,
    /// As it is matched and forwarded.
    path_and_query: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a description is not a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("`{0}` is not a method; write one such as GET")]
    Method(String),
    #[error("`{0}` is not a URL; write one such as http://bookinfo.example/productpage")]
    Url(String),
    #[error("scheme `{0}` is not served; use http or https, or tcp or tls for a bare connection")]
    Scheme(String),
    #[error("`{0}` names no host; write a whole URL or add -H 'host: bookinfo.example'")]
    Host(String),
    #[error("`{0}` has an escaped NUL; such requests get 400")]
    Path(String),
    #[error("`{0}` is not a header; write -H 'name: value'")]
    Header(String),
}

impl Request {
    /// From a method, a URL (`http://` may be left out, and the host too if a header names it) and header lines.
    pub(crate) fn new(
        method: &str,
        url: &str,
        header_lines: &[String],
    ) -> Result<Self, RequestError> {
        let method = method
            .parse()
            .map_err(|_| RequestError::Method(method.to_owned()))?;
        let headers = header_lines
            .iter()
            .map(|line| header(line))
            .collect::<Result<Vec<_>, _>>()?;
        let complete = if url.starts_with('/') || url.contains("://") {
            Cow::Borrowed(url)
        } else {
            format!("http://{url}").into()
        };
        let uri: Uri = complete
            .parse()
            .map_err(|_| RequestError::Url(url.to_owned()))?;
        if let Some(scheme) = uri
            .scheme_str()
            .filter(|scheme| !matches!(*scheme, "http" | "https" | "tcp" | "tls"))
        {
            return Err(RequestError::Scheme(scheme.to_owned()));
        }
        let host = headers
            .iter()
            .find(|(name, _)| name == http::header::HOST)
            .and_then(|(_, value)| value.to_str().ok());
        let authority = host.or(uri.authority().map(http::uri::Authority::as_str));
        let authority = authority
            .ok_or_else(|| RequestError::Host(url.to_owned()))?
            .to_owned();
        let path_and_query = mesh::normalize(sent_path(&uri))
            .ok_or_else(|| RequestError::Path(url.to_owned()))?
            .into_owned();
        Ok(Self {
            method,
            uri,
            authority,
            path_and_query,
            headers,
        })
    }

    /// Whether it comes through TLS.
    pub(crate) fn is_https(&self) -> bool {
        matches!(self.uri.scheme_str(), Some("https" | "tls"))
    }

    /// The port that is connected to.
    pub(crate) fn port(&self) -> u16 {
        self.uri
            .port_u16()
            .unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether the URL says so itself.
    pub(crate) fn has_explicit_port(&self) -> bool {
        self.uri.port_u16().is_some()
    }

    /// Name that the client asks for in its TLS handshake.
    pub(crate) fn server_name(&self) -> &str {
        self.uri.host().unwrap_or(&self.authority)
    }

    /// Whether it is meant for a listener that does not look for requests.
    pub(crate) fn is_connection(&self) -> bool {
        matches!(self.uri.scheme_str(), Some("tcp" | "tls"))
    }

    /// The URL in full, its path as it was sent.
    pub(crate) fn url(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or(self.scheme());
        let authority = self
            .uri
            .authority()
            .map_or(self.authority.as_str(), http::uri::Authority::as_str);
        format!("{scheme}://{authority}{}", sent_path(&self.uri))
    }
}

/// The path and query as a client sends them.
fn sent_path(uri: &Uri) -> &str {
    uri.path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str)
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), RequestError> {
    let refused = || RequestError::Header(line.to_owned());
    let (name, value) = line.split_once(':').ok_or_else(refused)?;
    Ok((
        name.trim().parse().map_err(|_| refused())?,
        value.trim().parse().map_err(|_| refused())?,
    ))
}

impl RequestHead for Request {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn scheme(&self) -> &str {
        if self.is_https() { "https" } else { "http" }
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
        let values: Vec<&[u8]> = self
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_bytes())
            .collect();
        match *values.as_slice() {
            [] => None,
            [only] => Some(only.into()),
            _ => Some(values.join(&b","[..]).into()),
        }
    }
}

/// A request on a connection whose TLS handshake is done.
pub(crate) struct Arrived<'a> {
    request: &'a Request,
    tls_server: Option<usize>,
}

impl<'a> Arrived<'a> {
    /// On the listener at this position, whose server the handshake has chosen.
    pub(crate) fn new(mesh: &Mesh, listener: usize, request: &'a Request) -> Self {
        let tls = mesh.listeners[listener].tls.as_ref();
        Self {
            request,
            tls_server: tls.and_then(|tls| tls.select(Some(request.server_name()))),
        }
    }
}

impl RequestHead for Arrived<'_> {
    fn method(&self) -> &str {
        self.request.method()
    }

    fn scheme(&self) -> &str {
        self.request.scheme()
    }

    fn authority(&self) -> &str {
        self.request.authority()
    }

    fn path_and_query(&self) -> &str {
        self.request.path_and_query()
    }

    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.request.header(name)
    }

    fn tls_server(&self) -> Option<usize> {
        self.tls_server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str, headers: &[&str]) -> Result<Request, RequestError> {
        let headers: Vec<String> = headers.iter().map(|line| (*line).to_owned()).collect();
        Request::new("GET", url, &headers)
    }

    #[test]
    fn urls_may_be_short() {
        let short = request("bookinfo.example:8080/a?b", &["X-A: 1", "x-a:2"]).unwrap();
        assert_eq!(short.url(), "http://bookinfo.example:8080/a?b");
        assert_eq!((short.port(), short.has_explicit_port()), (8080, true));
        assert_eq!(short.header("x-a").unwrap().as_ref(), b"1,2");
        assert_eq!(short.header("x-b"), None);

        let relative = request("/a", &["Host: h"]).unwrap();
        assert_eq!((relative.authority(), relative.port()), ("h", 80));
        assert_eq!(relative.url(), "http://h/a");

        let secure = request("https://a", &["host: b"]).unwrap();
        assert_eq!(
            (secure.authority(), secure.server_name(), secure.port()),
            ("b", "a", 443)
        );
        assert_eq!(secure.path_and_query(), "/");

        let spelled = request("http://a/x/%2e%2e/b?c=/../d", &[]).unwrap();
        assert_eq!(spelled.path_and_query(), "/b?c=/../d");
        assert_eq!(spelled.url(), "http://a/x/%2e%2e/b?c=/../d");
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (url, headers, expected) in [
            ("/a", &[][..], "names no host"),
            ("ftp://a/", &[], "scheme `ftp` is not served"),
            ("http://a b/", &[], "is not a URL"),
            ("a", &["no colon"], "is not a header"),
            ("a/%00", &[], "has an escaped NUL"),
        ] {
            let message = request(url, headers).unwrap_err().to_string();
            assert!(message.contains(expected), "{url}: {message}");
        }
        assert!(
            Request::new("GE T", "a", &[])
                .unwrap_err()
                .to_string()
                .contains("is not a method")
        );
    }
}
