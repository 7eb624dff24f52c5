//! `http[].redirect` and `http[].directResponse`: rules that answer by themselves.

use std::sync::Arc;

use crate::decode::{Context, Fields, Finding, integer, non_empty_url_text, one_of, port, string};
use crate::documents::secret::decode_base64;
use crate::route::{Redirect, RedirectPort};
use crate::yaml::Node;

/// `redirect`, before it is known on which port.
#[derive(Debug, Clone)]
pub(crate) struct RedirectTo {
    pub(crate) redirect: Redirect,
    /// `derivePort: FROM_REQUEST_PORT`: the listener's port.
    pub(crate) port_of_request: bool,
}

impl RedirectTo {
    /// The redirect on a listener.
    pub(crate) fn on(&self, port: u16, is_tls: bool) -> Redirect {
        let mut redirect = self.redirect.clone();
        if self.port_of_request {
            redirect.port = RedirectPort::Number(port);
        }
        let own_scheme = if is_tls { "https" } else { "http" };
        let scheme = redirect.scheme.as_deref().unwrap_or(own_scheme);
        if let ("http", RedirectPort::Number(80)) | ("https", RedirectPort::Number(443)) =
            (scheme, redirect.port)
        {
            redirect.port = RedirectPort::Default;
        }
        redirect
    }
}

pub(super) fn redirect<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<RedirectTo> {
    const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
    let mut fields = Fields::of(node, context)?;
    let uri = fields.optional("uri", non_empty_url_text);
    let authority = fields.optional("authority", non_empty_url_text);
    let scheme = fields.optional("scheme", one_of(&[("http", "http"), ("https", "https")]));
    let port = fields.optional("port", port);
    const DERIVE: &[(&str, bool)] = &[
        ("FROM_PROTOCOL_DEFAULT", false),
        ("FROM_REQUEST_PORT", true),
    ];
    let derived = fields.optional("derivePort", one_of(DERIVE));
    let status = fields
        .optional("redirectCode", integer(0..=i64::from(u16::MAX)))
        .unwrap_or(301);
    let status = if status == 0 { 301 } else { status };
    if !STATUSES.contains(&status) {
        fields.error_at(
            "redirectCode",
            format!("must be 301, 302, 303, 307 or 308, but is {status}"),
        );
    }
    if port.is_some() && derived.is_some() {
        fields.error_at(
            "derivePort",
            "only one of `port` and `derivePort` can be set",
        );
    }
    if uri.as_ref().is_some_and(|uri| !uri.starts_with('/')) {
        let finding = Finding::error("must begin with `/`, as it replaces the path");
        fields.report_at(
            "uri",
            finding.help("use `authority` and `scheme` to redirect elsewhere"),
        );
    }
    let changes = ["uri", "authority", "scheme", "port", "derivePort"];
    if !changes.iter().any(|name| fields.is_written(name)) {
        fields.error(
            "changes nothing: `uri`, `authority`, `scheme`, `port` or `derivePort` is required",
        );
    }
    fields.finish();
    let redirect = Redirect {
        status,
        uri,
        prefix: None,
        authority,
        scheme: scheme.map(str::to_owned),
        port: port.map_or(RedirectPort::Kept, RedirectPort::Number),
    };
    Some(RedirectTo {
        redirect,
        port_of_request: derived == Some(true),
    })
}

/// Istio's limit on a body that stands in a document.
const MAX_BODY_BYTES: usize = 1 << 20;

pub(super) fn direct_response<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<(u16, Arc<[u8]>)> {
    let mut fields = Fields::of(node, context)?;
    let status = fields.required("status", integer(100..=599));
    let body = fields.optional("body", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let text = fields
            .optional("string", string)
            .map(|text| text.as_bytes().to_vec());
        let bytes = fields.optional("bytes", |node, context| {
            let decoded = decode_base64(string(node, context)?);
            if decoded.is_none() {
                context.error(node.place, "is not base64");
            }
            decoded
        });
        if text.is_some() && bytes.is_some() {
            fields.error("only one of `string` and `bytes` can be set");
        }
        fields.finish();
        Some(text.or(bytes).unwrap_or_default())
    });
    let body = body.unwrap_or_default();
    if body.len() > MAX_BODY_BYTES {
        fields.error_at(
            "body",
            format!("has {} bytes, the limit is {MAX_BODY_BYTES}", body.len()),
        );
    }
    fields.finish();
    Some((status?, body.into()))
}
