//! `BackendTLSPolicy`: how connections to a Service are encrypted, and what is checked.

use manifests::decode::{Context, Fields, Finding, Located, located, non_empty, one_of, owned};
use manifests::yaml::Node;

use super::names::{hostname, precise_hostname};
use super::reference::{ObjectRef, object_ref};
use crate::attached::SubjectAltName;

/// TLS towards the Services that it names.
#[derive(Debug)]
pub(crate) struct BackendTlsPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) ca: Ca,
    pub(crate) hostname: String,
    pub(crate) subject_alt_names: Vec<SubjectAltName>,
}

/// A Service, or one of its ports by name.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) section: Option<String>,
    pub(crate) place: manifests::yaml::Place,
}

/// What a certificate must chain to.
#[derive(Debug)]
pub(crate) enum Ca {
    References(Vec<ObjectRef>),
    /// `wellKnownCACertificates`: `System`, or a name that is not known here.
    WellKnown(Located<String>),
}

pub(crate) fn decode(object: &mut Fields<'_>) -> Option<BackendTlsPolicy> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        if fields.node("targetRefs").is_none_or(|node| node.len() == 0) {
            fields.error_at("targetRefs", "needs at least one target");
        }
        let targets = fields.list("targetRefs", target);
        let validation = fields.required("validation", validation);
        if fields.node("options").is_some() {
            let message = "is not served: no option is known here";
            fields.report_at("options", Finding::warning(message));
        }
        fields.finish();
        let (ca, hostname, subject_alt_names) = validation?;
        Some(BackendTlsPolicy {
            targets,
            ca,
            hostname,
            subject_alt_names,
        })
    })
}

fn target<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Target> {
    let mut fields = Fields::of(node, context)?;
    let group = fields.optional("group", owned).unwrap_or_default();
    let kind = fields.required("kind", non_empty);
    let name = fields.required("name", non_empty);
    let section = fields.optional("sectionName", non_empty);
    fields.finish();
    Some(Target {
        group,
        kind: kind?,
        name: name?,
        section,
        place: node.place,
    })
}

fn validation<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<(Ca, String, Vec<SubjectAltName>)> {
    let mut fields = Fields::of(node, context)?;
    let references = fields.list("caCertificateRefs", object_ref);
    let well_known = fields.optional("wellKnownCACertificates", located(non_empty));
    let hostname = fields.required("hostname", precise_hostname);
    let subject_alt_names = fields.list("subjectAltNames", subject_alt_name);
    let referred = fields
        .node("caCertificateRefs")
        .is_some_and(|node| node.len() > 0);
    let ca = match (referred, well_known) {
        (true, None) => Some(Ca::References(references)),
        (false, Some(well_known)) => Some(Ca::WellKnown(well_known)),
        (true, Some(_)) => {
            let message = "must not stand beside `wellKnownCACertificates`";
            fields.error_at("caCertificateRefs", message);
            None
        }
        (false, None) => {
            fields.error("needs `caCertificateRefs` or `wellKnownCACertificates`");
            None
        }
    };
    fields.finish();
    Some((ca?, hostname?, subject_alt_names))
}

fn subject_alt_name<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<SubjectAltName> {
    const TYPES: &[(&str, bool)] = &[("Hostname", false), ("URI", true)];
    let mut fields = Fields::of(node, context)?;
    let is_uri = fields.required("type", one_of(TYPES));
    let name = fields.optional("hostname", hostname);
    let uri = fields.optional("uri", non_empty);
    let (wanted, other) = match is_uri {
        Some(true) => ("uri", "hostname"),
        _ => ("hostname", "uri"),
    };
    if is_uri.is_some() {
        if !fields.is_written(wanted) {
            fields.error_at(wanted, "is required with this type");
        }
        if fields.is_written(other) {
            fields.error_at(other, "must not be written with this type");
        }
    }
    fields.finish();
    match is_uri? {
        true => uri.map(SubjectAltName::Uri),
        false => name.map(SubjectAltName::Hostname),
    }
}
