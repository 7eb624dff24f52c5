//! Filters of rules and backends.

use std::sync::Arc;
use std::time::Duration;

use ::gateway_api::{Filters, HeaderChanges, PathModifier, Scheme, Target};

use super::super::clusters::Clusters;
use super::destinations::Towards;
use crate::model::{Cors, DestinationFilters, Fraction, HeaderEdits, HeaderOperations, Mirror};
use crate::route::{PathRewrite, Pattern, Redirect, RedirectPort, Rewrite, StringMatch};

/// The listener that a redirect leads back to where it says nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfListener {
    /// `None` on the mesh listener, where a redirect keeps what the request says.
    pub(super) port: Option<u16>,
    pub(super) is_tls: bool,
}

pub(super) fn headers(filters: &Filters<Target>) -> HeaderEdits {
    HeaderEdits {
        request: operations(&filters.request_headers),
        response: operations(&filters.response_headers),
    }
}

fn operations(changes: &HeaderChanges) -> HeaderOperations {
    HeaderOperations {
        set: changes.set.clone(),
        add: changes.add.clone(),
        remove: changes.remove.clone(),
    }
}

pub(super) fn mirrors(
    filters: &Filters<Target>,
    towards: Towards<'_>,
    clusters: &mut Clusters<'_>,
) -> Vec<Mirror> {
    let mirrors = filters.mirrors.iter();
    mirrors
        .map(|mirror| Mirror {
            cluster: towards.cluster(&mirror.backend, clusters),
            share: Fraction::of(mirror.share.numerator, mirror.share.denominator),
        })
        .collect()
}

pub(super) fn of_destination(
    filters: &Filters<Target>,
    listener: OfListener,
    towards: Towards<'_>,
    clusters: &mut Clusters<'_>,
) -> Option<Box<DestinationFilters>> {
    let made = DestinationFilters {
        redirect: filters.redirect.as_ref().map(|of| redirect(of, listener)),
        rewrite: rewrite(filters),
        mirrors: mirrors(filters, towards, clusters),
        cors: filters.cors.as_ref().map(|of| Arc::new(cors(of))),
    };
    (made != DestinationFilters::default()).then(|| Box::new(made))
}

pub(super) fn rewrite(filters: &Filters<Target>) -> Option<Rewrite> {
    let of = filters.rewrite.as_ref()?;
    Some(Rewrite {
        path: of.path.as_ref().map(|path| match path {
            PathModifier::Full(path) => PathRewrite::Full(path.clone()),
            PathModifier::Prefix(prefix) => PathRewrite::Uri(prefix.clone()),
        }),
        authority: of.hostname.clone(),
    })
}

/// Without a port of its own a redirect leads to its scheme's, or else to the listener's.
pub(super) fn redirect(of: &::gateway_api::Redirect, listener: OfListener) -> Redirect {
    let is_tls = match of.scheme {
        None => listener.is_tls,
        Some(scheme) => scheme == Scheme::Https,
    };
    let default = if is_tls { 443 } else { 80 };
    let port = match (of.port, of.scheme, listener.port) {
        (Some(port), ..) => Some(port),
        (None, Some(_), _) => Some(default),
        (None, None, port) => port,
    };
    let (uri, prefix) = match &of.path {
        None => (None, None),
        Some(PathModifier::Full(path)) => (Some(path.clone()), None),
        Some(PathModifier::Prefix(prefix)) => (None, Some(prefix.clone())),
    };
    Redirect {
        status: of.status,
        uri,
        prefix,
        authority: of.hostname.clone(),
        scheme: of.scheme.map(|scheme| match scheme {
            Scheme::Http => "http".to_owned(),
            Scheme::Https => "https".to_owned(),
        }),
        port: match port {
            None => RedirectPort::Kept,
            Some(port) if port == default => RedirectPort::Default,
            Some(port) => RedirectPort::Number(port),
        },
    }
}

pub(super) fn cors(of: &::gateway_api::Cors) -> Cors {
    Cors {
        allow_origins: of.allow_origins.iter().map(|text| origin(text)).collect(),
        allow_methods: of.allow_methods.clone(),
        allow_headers: of.allow_headers.clone(),
        expose_headers: of.expose_headers.clone(),
        max_age: Some(Duration::from_secs(of.max_age_s.into())),
        allow_credentials: of.allow_credentials,
        forwards_unmatched: false,
    }
}

/// `*` within an origin stands for one or more labels of its host.
fn origin(text: &str) -> StringMatch {
    if text == "*" {
        return StringMatch::Present;
    }
    if !text.contains('*') {
        return StringMatch::Exact(text.into());
    }
    let parts: Vec<_> = text.split('*').map(regex_syntax::escape).collect();
    match Pattern::new(&parts.join("[A-Za-z0-9.-]+")) {
        Ok(pattern) => StringMatch::Regex(pattern),
        Err(_) => StringMatch::Exact(text.into()),
    }
}
