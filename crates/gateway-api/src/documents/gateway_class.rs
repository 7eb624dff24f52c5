//! `GatewayClass`.

use manifests::decode::{Fields, Finding, non_empty, string};

/// Who serves the Gateways of a class.
#[derive(Debug)]
pub(crate) struct GatewayClass {
    pub(crate) controller: String,
    /// It has parameters, none of which are known here.
    pub(crate) has_parameters: bool,
}

pub(crate) fn decode(object: &mut Fields<'_>) -> Option<GatewayClass> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let controller = fields.required("controllerName", |node, context| {
            let name = non_empty(node, context)?;
            let (domain, path) = name.split_once('/').unwrap_or_default();
            if domain.is_empty() || path.is_empty() {
                let message = format!("must be like `example.com/controller`, but is `{name}`");
                context.error(node.place, message);
                return None;
            }
            Some(name)
        });
        fields.optional("description", string);
        let has_parameters = fields.node("parametersRef").is_some();
        if has_parameters {
            let message = "is not served: no kind of parameters is known here";
            fields.report_at("parametersRef", Finding::warning(message));
        }
        fields.finish();
        Some(GatewayClass {
            controller: controller?,
            has_parameters,
        })
    })
}
