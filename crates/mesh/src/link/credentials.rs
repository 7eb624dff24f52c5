//! Certificates: files beside their document, and `Secret`s by `credentialName`.

use std::path::Path;

use super::{Input, NOT_FOUND};
use crate::decode::{Finding, Located};
use crate::documents::secret::Secret;
use crate::documents::{Metadata, Object};
use crate::model::{CertificateSource, Pem};

/// A file named in a document: relative names are looked for in the document's folder.
pub(super) fn file(name: &str, document: &Path) -> Pem {
    let folder = document.parent().unwrap_or(Path::new(""));
    Pem::File(folder.join(name))
}

/// Finds a `Secret`: in the namespace of the object that names it, in Istio's own (where Istio's gateways run), or
/// wherever there is just one of the name.
pub(super) fn secret<'d>(
    name: &Located<String>,
    meta: &Metadata,
    input: Input<'d>,
) -> Option<&'d Object<Secret>> {
    let found = find(name, meta, input);
    if found.is_none() {
        let message = format!("Secret `{}` is not there", name.value);
        let finding = Finding::warning(message).code(NOT_FOUND);
        meta.context(input.files, input.report)
            .report(name.place, finding);
    }
    found
}

fn find<'d>(name: &str, meta: &Metadata, input: Input<'d>) -> Option<&'d Object<Secret>> {
    // Gateway API's way of writing it, which Istio takes too.
    let name = name.strip_prefix("kubernetes://").unwrap_or(name);
    let (namespace, name) = name.split_once('/').unwrap_or((&meta.namespace, name));
    let named: Vec<_> = input
        .documents
        .secrets
        .iter()
        .filter(|secret| secret.meta.name == name)
        .collect();
    let inside = |namespace: &str| {
        named
            .iter()
            .copied()
            .find(|secret| secret.meta.namespace == namespace)
    };
    let only = || match named.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    inside(namespace)
        .or_else(|| inside("istio-system"))
        .or_else(only)
}

/// The CA bundle of a credential: in the `Secret` itself, or in the one named `NAME-cacert`.
pub(super) fn ca(
    name: &Located<String>,
    secret: &Object<Secret>,
    meta: &Metadata,
    input: Input<'_>,
) -> Option<Pem> {
    let own = secret.spec.ca();
    let beside = || {
        find(&format!("{}-cacert", name.value), meta, input)?
            .spec
            .ca()
    };
    own.or_else(beside).map(Pem::Inline)
}

/// The certificate and key of a `Secret`.
pub(super) fn certificate(
    name: &Located<String>,
    secret: &Object<Secret>,
    meta: &Metadata,
    input: Input<'_>,
) -> Option<CertificateSource> {
    let (Some(chain), Some(key)) = (secret.spec.certificate(), secret.spec.key()) else {
        let message = format!(
            "Secret `{}` has no certificate and key (`tls.crt` and `tls.key`)",
            name.value
        );
        meta.context(input.files, input.report)
            .warning(name.place, message);
        return None;
    };
    Some(CertificateSource {
        chain: Pem::Inline(chain),
        key: Pem::Inline(key),
    })
}
