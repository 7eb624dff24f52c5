//! `WasmPlugin`.

use super::selector::selector_or_targets;
use crate::decode::{
    Context, Fields, integer, list_of, located, non_empty, one_of, owned, port, string,
};
use crate::yaml::Node;

const TRAFFIC: &[(&str, ())] = &[
    ("UNDEFINED", ()),
    ("CLIENT", ()),
    ("SERVER", ()),
    ("CLIENT_AND_SERVER", ()),
];

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        selector_or_targets(&mut fields);
        fields.required("url", url);
        fields.optional("sha256", |node, context| {
            let text = string(node, context)?;
            let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !text.is_empty() && !is_hash {
                let message = format!("`{text}` is not a SHA-256 sum: 64 hexadecimal digits");
                context.error(node.place, message);
            }
            Some(())
        });
        const PULL: &[(&str, ())] = &[
            ("UNSPECIFIED_POLICY", ()),
            ("IfNotPresent", ()),
            ("Always", ()),
        ];
        fields.optional("imagePullPolicy", one_of(PULL));
        for name in ["imagePullSecret", "pluginName"] {
            fields.optional(name, non_empty);
        }
        fields.optional("verificationKey", owned);
        const PHASES: &[(&str, ())] = &[
            ("UNSPECIFIED_PHASE", ()),
            ("AUTHN", ()),
            ("AUTHZ", ()),
            ("STATS", ()),
        ];
        fields.optional("phase", one_of(PHASES));
        fields.optional(
            "priority",
            integer::<i32>(i64::from(i32::MIN)..=i64::from(i32::MAX)),
        );
        const FAILURES: &[(&str, ())] =
            &[("FAIL_CLOSE", ()), ("FAIL_OPEN", ()), ("FAIL_RELOAD", ())];
        fields.optional("failStrategy", one_of(FAILURES));
        const TYPES: &[(&str, ())] = &[
            ("UNSPECIFIED_PLUGIN_TYPE", ()),
            ("HTTP", ()),
            ("NETWORK", ()),
        ];
        fields.optional("type", one_of(TYPES));
        fields.optional("vmConfig", vm_config);
        fields.list("match", |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.optional("mode", one_of(TRAFFIC));
            fields.list("ports", |node, context| {
                let mut fields = Fields::of(node, context)?;
                fields.required("number", port);
                fields.finish();
                Some(())
            });
            fields.finish();
            Some(())
        });
        // The plugin's own.
        fields.accept(&["pluginConfig"]);
        fields.finish();
        Some(())
    })
}

fn url<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    const SCHEMES: &[&str] = &["file", "http", "https", "oci"];
    let text = non_empty(node, context)?;
    let first = |byte: char| byte.is_ascii_alphanumeric();
    // Without a scheme it is an OCI image.
    let known = match text.split_once("://") {
        Some((scheme, _)) => SCHEMES.contains(&scheme),
        None => text.starts_with(first),
    };
    if !known {
        let schemes = SCHEMES.join(", ");
        context.error(
            node.place,
            format!("`{text}` must begin with one of {schemes} and `://`, or name an OCI image"),
        );
    }
    Some(())
}

fn vm_config<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    let names = fields
        .optional("env", list_of(variable))
        .unwrap_or_default();
    for (position, name) in names.iter().enumerate() {
        if names[..position]
            .iter()
            .any(|first| first.value == name.value)
        {
            context.error(name.place, format!("`{}` is already set", name.value));
        }
    }
    fields.finish();
    Some(())
}

fn variable<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<crate::decode::Located<String>> {
    const FROM: &[(&str, bool)] = &[("INLINE", true), ("HOST", false)];
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("name", located(non_empty));
    let is_inline = fields.optional("valueFrom", one_of(FROM)).unwrap_or(true);
    let value = fields.optional("value", owned);
    if !is_inline && value.is_some_and(|value| !value.is_empty()) {
        fields.error_at("value", "can be set only when `valueFrom` is INLINE");
    }
    fields.finish();
    name
}
