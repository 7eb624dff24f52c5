//! `RequestAuthentication`.

use super::selector::{non_empty_list, selector_or_targets};
use crate::decode::{
    Context, Fields, boolean, non_empty, one_of, owned, positive_duration, string,
};
use crate::yaml::Node;

const PRESENCE: &[(&str, ())] = &[("OPTIONAL", ()), ("REQUIRED", ())];

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.optional("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        selector_or_targets(&mut fields);
        fields.optional("jwtRules", crate::decode::list_of(not_null(jwt_rule)));
        fields.finish();
        Some(())
    })
}

/// An entry of a list, where `null` is not the same as an empty object.
fn not_null<'d>(
    decode: fn(&'d Node<'d>, Context<'d>) -> Option<()>,
) -> impl Fn(&'d Node<'d>, Context<'d>) -> Option<()> + Copy {
    move |node, context| {
        if matches!(node.value, crate::yaml::Value::Null) {
            context.error(node.place, "must be an object, but is empty");
            return None;
        }
        decode(node, context)
    }
}

fn jwt_rule<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.required("issuer", non_empty);
    for name in [
        "audiences",
        "fromParams",
        "fromCookies",
        "spaceDelimitedClaims",
    ] {
        fields.optional(name, non_empty_list);
    }
    for name in ["jwksUri", "jwks_uri"] {
        fields.optional(name, url);
    }
    fields.optional("jwks", owned);
    if fields.is_written("jwks") && (fields.is_written("jwksUri") || fields.is_written("jwks_uri"))
    {
        fields.error_at("jwks", "only one of `jwks` and `jwksUri` can be set");
    }
    fields.list("fromHeaders", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.required("name", non_empty);
        fields.optional("prefix", owned);
        fields.finish();
        Some(())
    });
    fields.optional("outputPayloadToHeader", owned);
    fields.optional("forwardOriginalToken", boolean);
    fields.optional(
        "outputClaimToHeaders",
        crate::decode::list_of(not_null(claim_to_header)),
    );
    fields.optional("timeout", positive_duration);
    fields.optional("presence", one_of(PRESENCE));
    fields.finish();
    Some(())
}

fn claim_to_header<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.required("claim", non_empty);
    if let Some(header) = fields.required("header", non_empty) {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !header.bytes().all(inner) {
            let message = format!("`{header}` is not a header name: letters, digits, `-` and `_`");
            fields.error_at("header", message);
        }
    }
    fields.finish();
    Some(())
}

fn url<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let text = string(node, context)?;
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| matches!(scheme, "http" | "https")) || text.len() > 2048 {
        let message = format!("`{text}` is not a URL with `http://` or `https://`");
        context.error(node.place, message);
    }
    Some(())
}
