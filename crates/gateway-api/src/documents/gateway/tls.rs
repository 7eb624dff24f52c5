//! TLS of a Gateway's listeners: certificates, and what is asked of clients.

use std::collections::BTreeSet;

use manifests::decode::{Context, Fields, Finding, one_of, port, string_map};
use manifests::yaml::Node;

use crate::attached::ClientValidationMode;
use crate::documents::reference::{ObjectRef, object_ref, secret_ref};

/// `listeners[].tls`.
#[derive(Debug)]
pub(crate) struct ListenerTls {
    pub(crate) passthrough: bool,
    pub(crate) certificates: Vec<ObjectRef>,
    /// Of the listener itself, as older versions of the API had it.
    pub(crate) validation: Option<Validation>,
}

/// `tls.frontend`: what is asked of clients, by port.
#[derive(Debug, Default)]
pub(crate) struct FrontendTls {
    pub(crate) default: Option<Validation>,
    /// A port that is here does not have the default.
    pub(crate) per_port: Vec<(u16, Option<Validation>)>,
}

/// What a client's certificate must chain to.
#[derive(Debug)]
pub(crate) struct Validation {
    pub(crate) ca: Vec<ObjectRef>,
    pub(crate) mode: ClientValidationMode,
}

impl FrontendTls {
    /// What is asked of clients on a port.
    pub(crate) fn of_port(&self, port: u16) -> Option<&Validation> {
        match self.per_port.iter().find(|(number, _)| *number == port) {
            Some((_, validation)) => validation.as_ref(),
            None => self.default.as_ref(),
        }
    }

    pub(crate) fn validations(&self) -> impl Iterator<Item = &Validation> {
        let per_port = self.per_port.iter().filter_map(|(_, of)| of.as_ref());
        self.default.iter().chain(per_port)
    }
}

pub(super) fn listener_tls<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ListenerTls> {
    const MODES: &[(&str, bool)] = &[("Terminate", false), ("Passthrough", true)];
    let mut fields = Fields::of(node, context)?;
    let passthrough = fields.optional("mode", one_of(MODES)).unwrap_or(false);
    let certificates = fields.list("certificateRefs", secret_ref);
    let validation = fields.optional("frontendValidation", validation);
    if let Some(options) = fields.optional("options", string_map) {
        for name in options.keys() {
            let message = format!("`{name}` is not served: no option is known here");
            fields.report_at("options", Finding::warning(message));
        }
    }
    let has_certificates = fields
        .node("certificateRefs")
        .is_some_and(|node| node.len() > 0);
    if !passthrough && !has_certificates {
        let message = "is required with mode Terminate";
        fields.error_at("certificateRefs", message);
    }
    fields.finish();
    Some(ListenerTls {
        passthrough,
        certificates,
        validation,
    })
}

pub(super) fn frontend<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<FrontendTls> {
    let mut fields = Fields::of(node, context)?;
    let default = fields.required("default", tls_config).flatten();
    let per_port = fields.list("perPort", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let port = fields.required("port", port);
        let validation = fields.required("tls", tls_config).flatten();
        fields.finish();
        Some((port?, validation))
    });
    let mut ports = BTreeSet::new();
    for (port, _) in &per_port {
        if !ports.insert(port) {
            fields.error_at("perPort", format!("port {port} is there twice"));
        }
    }
    fields.finish();
    Some(FrontendTls { default, per_port })
}

fn tls_config<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Option<Validation>> {
    let mut fields = Fields::of(node, context)?;
    let validation = fields.optional("validation", validation);
    fields.finish();
    Some(validation)
}

fn validation<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Validation> {
    const MODES: &[(&str, ClientValidationMode)] = &[
        ("AllowValidOnly", ClientValidationMode::AllowValidOnly),
        (
            "AllowInsecureFallback",
            ClientValidationMode::AllowInsecureFallback,
        ),
    ];
    let mut fields = Fields::of(node, context)?;
    let ca = fields.list("caCertificateRefs", object_ref);
    let mode = fields
        .optional("mode", one_of(MODES))
        .unwrap_or(ClientValidationMode::AllowValidOnly);
    if fields
        .node("caCertificateRefs")
        .is_none_or(|node| node.len() == 0)
    {
        fields.error_at("caCertificateRefs", "needs at least one reference");
    }
    fields.finish();
    Some(Validation { ca, mode })
}
