//! `headers` of a rule and of a destination.

use crate::decode::{Context, Fields, Finding, list_of, map_of, string};
use crate::model::{HeaderEdits, HeaderOperations};
use crate::yaml::Node;

/// Header changes, and the authority among them.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    pub(crate) edits: HeaderEdits,
    /// What `set` or `add` of `Host` or `:authority` on the request asks for.
    pub(crate) authority: Option<String>,
}

pub(super) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Headers> {
    let mut fields = Fields::of(node, context)?;
    let mut headers = Headers::default();
    if let Some(request) = fields.node("request") {
        headers.edits.request = operations(request, context, Some(&mut headers.authority))?;
    }
    if let Some(response) = fields.node("response") {
        headers.edits.response = operations(response, context, None)?;
    }
    fields.finish();
    Some(headers)
}

/// `authority` is where a request's new authority goes; responses have none.
fn operations(
    node: &Node<'_>,
    context: Context<'_>,
    mut authority: Option<&mut Option<String>>,
) -> Option<HeaderOperations> {
    let mut fields = Fields::of(node, context)?;
    let mut operations = HeaderOperations::default();
    for (field, target) in [("set", &mut operations.set), ("add", &mut operations.add)] {
        for (name, value) in fields.optional(field, map_of(value)).unwrap_or_default() {
            let name = name.to_ascii_lowercase();
            match &mut authority {
                Some(authority) if is_authority(&name) => {
                    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                        let message = format!("`{value}` is not an authority");
                        fields.error_at(field, message);
                    }
                    if authority.replace(value).is_some() {
                        fields.error_at(field, "sets the authority twice");
                    }
                }
                _ => {
                    check_name(&fields, field, &name);
                    target.push((name, value));
                }
            }
        }
    }
    for name in fields
        .optional("remove", list_of(string))
        .unwrap_or_default()
    {
        let name = name.to_ascii_lowercase();
        check_name(&fields, "remove", &name);
        operations.remove.push(name);
    }
    fields.finish();
    Some(operations)
}

fn is_authority(name: &str) -> bool {
    matches!(name, "host" | ":authority")
}

fn check_name(fields: &Fields<'_>, field: &str, name: &str) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if is_authority(name) || name.starts_with(':') {
        fields.error_at(field, format!("`{name}` can't be changed here"));
    } else if name.is_empty() || !name.bytes().all(token) {
        fields.error_at(field, format!("`{name}` is not a header name"));
    }
}

fn value<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    if text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        context.error(
            node.place,
            "a header value must not hold line breaks or NUL",
        );
        return None;
    }
    // To Envoy a lone `%` begins a variable such as %DOWNSTREAM_REMOTE_ADDRESS%; `%%` is a percent sign.
    let literal = text.replace("%%", "\0");
    if literal.contains('%') {
        let finding = Finding::warning(
            "variables (`%NAME%`) in header values are not served yet: the text is sent as it is",
        );
        context.report(node.place, finding.help("write `%%` for a percent sign"));
    }
    Some(literal.replace('\0', "%"))
}
