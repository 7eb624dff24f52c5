//! Host names as the Gateway API's CRDs take them: lower case, no addresses, `*` only as the whole first label.

use manifests::decode::{Context, string};
use manifests::yaml::Node;

/// `Hostname`: may begin with `*.`.
pub(crate) fn hostname<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    checked(text, text.strip_prefix("*.").unwrap_or(text), node, context)
}

/// `PreciseHostname`: without a wildcard.
pub(crate) fn precise_hostname<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    checked(text, text, node, context)
}

fn checked(text: &str, name: &str, node: &Node<'_>, context: Context<'_>) -> Option<String> {
    let wrong = if text.len() > 253 {
        Some(format!("has {} characters, the limit is 253", text.len()))
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        Some(format!(
            "must be a host name, but `{text}` is an IP address"
        ))
    } else if !name.split('.').all(is_label) {
        Some(format!(
            "`{text}` is not a host name: labels of 1 to 63 lower-case letters, digits and inner `-`"
        ))
    } else {
        None
    };
    match wrong {
        Some(message) => {
            context.error(node.place, message);
            None
        }
        None => Some(text.to_owned()),
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A header's name, lower case: HTTP's, or HTTP/2's pseudo headers are not for documents to name.
pub(crate) fn header_name<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 256 || !text.bytes().all(token) {
        context.error(
            node.place,
            format!("`{text}` is not a header name of 1 to 256 characters"),
        );
        return None;
    }
    Some(text.to_ascii_lowercase())
}
