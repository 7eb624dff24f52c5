//! Requests written as lines.

use std::borrow::Cow;

use mesh::{ListenerKind, Mesh, RequestHead};

/// A request head for tests.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) listener: String,
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) tls_server: Option<usize>,
    pub(crate) local_port: Option<u16>,
}

impl Request {
    pub(crate) fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut next = || {
            words
                .next()
                .unwrap_or_else(|| panic!("too few words in `{line}`"))
        };
        let (listener, method, url) = (next(), next(), next());
        let (scheme, rest) = url
            .split_once("://")
            .unwrap_or_else(|| panic!("no scheme in `{line}`"));
        let slash = rest.find('/').unwrap_or(rest.len());
        let target = if slash == rest.len() {
            "/"
        } else {
            &rest[slash..]
        };
        let header = |word: String| {
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            (name.to_owned(), value.to_owned())
        };
        Self {
            listener,
            method,
            scheme: scheme.to_owned(),
            authority: rest[..slash].to_owned(),
            target: target.to_owned(),
            headers: words.map(header).collect(),
            tls_server: None,
            local_port: None,
        }
    }

    pub(crate) fn listener_in(&self, mesh: &Mesh) -> Option<usize> {
        mesh.listeners
            .iter()
            .position(|listener| match listener.kind {
                ListenerKind::Mesh => self.listener == "mesh",
                ListenerKind::Gateway => self.listener == listener.port.to_string(),
            })
    }
}

impl RequestHead for Request {
    fn method(&self) -> &str {
        &self.method
    }
    fn scheme(&self) -> &str {
        &self.scheme
    }
    fn authority(&self) -> &str {
        &self.authority
    }
    fn path_and_query(&self) -> &str {
        &self.target
    }
    fn tls_server(&self) -> Option<usize> {
        self.tls_server
    }
    fn local_port(&self) -> Option<u16> {
        self.local_port
    }
    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>> {
        let values: Vec<_> = self
            .headers
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_bytes())
            .collect();
        match values.as_slice() {
            [] => None,
            [one] => Some(Cow::Borrowed(one)),
            several => Some(Cow::Owned(several.join(&b","[..]))),
        }
    }
}
