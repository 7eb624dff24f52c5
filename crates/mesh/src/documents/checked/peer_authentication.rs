//! `PeerAuthentication`.

use super::selector::selector;
use crate::decode::{Context, Fields, map_of, one_of};
use crate::yaml::Node;

const MODES: &[(&str, ())] = &[
    ("UNSET", ()),
    ("DISABLE", ()),
    ("PERMISSIVE", ()),
    ("STRICT", ()),
];

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.optional("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let selects = fields.optional("selector", selector).unwrap_or(false);
        fields.optional("mtls", mutual_tls);
        let ports = fields.optional("portLevelMtls", |node, context| {
            let ports = map_of(mutual_tls)(node, context)?;
            if ports.is_empty() {
                context.error(node.place, "must name at least one port");
            }
            for (port, ()) in &ports {
                match port.parse::<u64>() {
                    Ok(1..=65535) => {}
                    Ok(_) => {
                        let message = format!("`{port}`: a port must be 1 to 65535");
                        context.error(node.place, message);
                    }
                    Err(_) => context.error(node.place, format!("`{port}` is not a port number")),
                }
            }
            Some(ports.len())
        });
        if ports.is_some_and(|ports| ports > 0) && !selects {
            let message = "needs a `selector` with `matchLabels`: ports are those of workloads";
            fields.error_at("portLevelMtls", message);
        }
        fields.finish();
        Some(())
    })
}

fn mutual_tls<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    fields.optional("mode", one_of(MODES));
    fields.finish();
    Some(())
}
