//! `WorkloadGroup`: a pattern for WorkloadEntries that register themselves.

use super::selector::labels;
use crate::decode::{
    Context, Fields, count, integer, list_of, map_of, one_of, owned, port, string,
};
use crate::yaml::Node;

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("metadata", |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.optional("labels", labels);
            fields.optional("annotations", map_of(owned));
            fields.finish();
            Some(())
        });
        fields.required("template", template);
        fields.optional("probe", probe);
        fields.finish();
        Some(())
    })
}

fn template<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    for name in ["address", "network", "locality", "serviceAccount"] {
        fields.optional(name, owned);
    }
    fields.optional("labels", labels);
    fields.optional("ports", map_of(port));
    fields.optional("weight", count);
    fields.finish();
    Some(())
}

fn probe<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    for name in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        fields.optional(name, integer::<u32>(0..=i64::from(i32::MAX)));
    }
    fields.optional("httpGet", http_get);
    fields.optional("tcpSocket", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("host", owned);
        fields.required("port", port);
        fields.finish();
        Some(())
    });
    fields.optional("exec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("command", list_of(string));
        fields.finish();
        Some(())
    });
    fields.optional("grpc", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.required("port", port);
        fields.optional("service", owned);
        fields.finish();
        Some(())
    });
    let ways = ["httpGet", "tcpSocket", "exec", "grpc"];
    if ways.iter().filter(|way| fields.is_written(way)).count() > 1 {
        fields.error("has several ways to ask; keep one");
    }
    fields.finish();
    Some(())
}

fn http_get<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    const SCHEMES: &[(&str, ())] = &[("HTTP", ()), ("HTTPS", ())];
    let mut fields = Fields::of(node, context)?;
    fields.optional("path", owned);
    fields.optional("host", owned);
    fields.required("port", port);
    fields.optional("scheme", one_of(SCHEMES));
    fields.list("httpHeaders", |node, context| {
        let mut fields = Fields::of(node, context)?;
        if let Some(name) = fields.required("name", string) {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name.is_empty() || !name.bytes().all(inner) {
                fields.error_at("name", format!("`{name}` is not a header name"));
            }
        }
        fields.optional("value", owned);
        fields.finish();
        Some(())
    });
    fields.finish();
    Some(())
}
