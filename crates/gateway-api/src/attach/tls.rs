//! References to certificates and CA bundles.

use manifests::Metadata;

use super::grants::{From, permitted};
use super::{Input, Problem};
use crate::Name;
use crate::attached::CaReference;
use crate::documents::reference::ObjectRef;

/// The object in which a reference stands.
#[derive(Clone, Copy)]
pub(super) struct Referrer<'d> {
    pub(super) meta: &'d Metadata,
    pub(super) kind: &'d str,
}

impl<'d> Referrer<'d> {
    pub(super) fn from(self) -> From<'d> {
        From {
            kind: self.kind,
            namespace: &self.meta.namespace,
        }
    }
}

/// A Secret with a certificate and its key. What is wrong is warned about.
pub(super) fn certificate(
    input: Input<'_>,
    referrer: Referrer<'_>,
    reference: &ObjectRef,
) -> Result<Name, Problem> {
    let namespace = reference.namespace_in(&referrer.meta.namespace);
    let name = Name::new(namespace, &reference.name);
    let described = reference.describe(&referrer.meta.namespace);
    let problem = if !reference.is("", "Secret") {
        let message = format!("{described} can't be used: only a Secret holds a certificate");
        Problem::new("InvalidCertificateRef", message)
    } else if !permitted(
        input,
        referrer.from(),
        ("", "Secret"),
        namespace,
        &reference.name,
    ) {
        not_permitted(&described, referrer)
    } else {
        match input.world.secrets.get(&name) {
            Some(Ok(())) => return Ok(name),
            Some(Err(why)) => Problem::new("InvalidCertificateRef", format!("{described} {why}")),
            None => Problem::new("InvalidCertificateRef", format!("{described} is not there")),
        }
    };
    input.warn(referrer.meta, reference.place, &problem);
    Err(problem)
}

/// An object with a CA bundle for clients. What is wrong is warned about.
pub(super) fn ca(
    input: Input<'_>,
    referrer: Referrer<'_>,
    reference: &ObjectRef,
) -> Result<CaReference, Problem> {
    let namespace = reference.namespace_in(&referrer.meta.namespace);
    let described = reference.describe(&referrer.meta.namespace);
    let kind = (reference.group.as_str(), reference.kind.as_str());
    let problem = if !matches!(kind, ("", "ConfigMap" | "Secret")) {
        let message =
            format!("{described} can't be used: only a ConfigMap or a Secret holds a CA bundle");
        Problem::new("InvalidCACertificateKind", message)
    } else if !permitted(input, referrer.from(), kind, namespace, &reference.name) {
        not_permitted(&described, referrer)
    } else {
        match bundle(input, reference, namespace) {
            Ok(found) => return Ok(found),
            Err(why) => Problem::new("InvalidCACertificateRef", format!("{described} {why}")),
        }
    };
    input.warn(referrer.meta, reference.place, &problem);
    Err(problem)
}

/// The CA bundle in an object of a fitting kind, or what is wrong with it.
pub(super) fn bundle(
    input: Input<'_>,
    reference: &ObjectRef,
    namespace: &str,
) -> Result<CaReference, String> {
    let name = Name::new(namespace, &reference.name);
    let (found, reference) = match reference.kind.as_str() {
        "Secret" => (
            input.world.ca_secrets.get(&name),
            CaReference::Secret(name.clone()),
        ),
        _ => (
            input.world.config_maps.get(&name),
            CaReference::ConfigMap(name.clone()),
        ),
    };
    match found {
        Some(Ok(())) => Ok(reference),
        Some(Err(why)) => Err(why.clone()),
        None => Err("is not there".to_owned()),
    }
}

fn not_permitted(described: &str, referrer: Referrer<'_>) -> Problem {
    let message = format!(
        "{described} is in another namespace, where no ReferenceGrant lets a {} of `{}` refer to it",
        referrer.kind, referrer.meta.namespace
    );
    Problem::new("RefNotPermitted", message)
}
