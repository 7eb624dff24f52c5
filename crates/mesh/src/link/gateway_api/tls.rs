//! Certificates and CA bundles, and TLS towards Services.

use std::sync::Arc;

use ::gateway_api::{
    BackendTls, CaReference, ClientValidation, ClientValidationMode, Name, SubjectAltName,
    Termination,
};

use super::super::Input;
use crate::documents::Object;
use crate::documents::secret::{Secret, decode_base64};
use crate::model::{CertificateSource, ClientAuth, Pem, TlsOrigination};

/// Why a Secret can't be used as a certificate with its key.
pub(super) fn check_certificate(secret: &Secret) -> Result<(), String> {
    for (key, value, label) in [
        ("tls.crt", secret.certificate(), "CERTIFICATE"),
        ("tls.key", secret.key(), "PRIVATE KEY"),
    ] {
        let Some(value) = value else {
            return Err(format!("has no `{key}`"));
        };
        if !has_pem(&value, label) {
            return Err(format!("has no PEM block of a {label} in `{key}`"));
        }
    }
    Ok(())
}

/// Why a text can't be used as a CA bundle.
pub(super) fn check_bundle(bundle: Option<&[u8]>) -> Result<(), String> {
    match bundle {
        None => Err("has no `ca.crt`".to_owned()),
        Some(text) if has_pem(text, "CERTIFICATE") => Ok(()),
        Some(_) => Err("has no PEM block of a CERTIFICATE in `ca.crt`".to_owned()),
    }
}

/// Whether a text has a PEM block whose label ends so, and all such blocks are base64. What is in them is read by
/// who uses them.
fn has_pem(text: &[u8], label: &str) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let mut found = false;
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let Some((name, body)) = begun.split_once("-----") else {
            return false;
        };
        let Some((body, behind)) = body.split_once("-----END ") else {
            return false;
        };
        if name.ends_with(label) {
            match decode_base64(body) {
                Some(bytes) if !bytes.is_empty() => found = true,
                _ => return false,
            }
        }
        rest = behind;
    }
    found
}

fn secret<'d>(name: &Name, input: Input<'d>) -> Option<&'d Object<Secret>> {
    let mut secrets = input.documents.secrets.iter();
    secrets
        .find(|secret| (&secret.meta.namespace, &secret.meta.name) == (&name.namespace, &name.name))
}

/// The certificate and key of a Secret that was found to have both.
pub(super) fn certificate(name: &Name, input: Input<'_>) -> Option<CertificateSource> {
    let secret = &secret(name, input)?.spec;
    Some(CertificateSource {
        chain: Pem::Inline(secret.certificate()?),
        key: Pem::Inline(secret.key()?),
    })
}

/// All certificates of a listener.
pub(super) fn certificates(tls: &Termination, input: Input<'_>) -> Vec<CertificateSource> {
    let names = tls.certificates.iter();
    names.filter_map(|name| certificate(name, input)).collect()
}

/// What is asked of clients.
pub(super) fn client_auth(validation: Option<&ClientValidation>, input: Input<'_>) -> ClientAuth {
    match validation {
        None => ClientAuth::None,
        Some(validation) => match validation.mode {
            ClientValidationMode::AllowInsecureFallback => ClientAuth::Unverified,
            ClientValidationMode::AllowValidOnly => {
                ClientAuth::Required(bundle(&validation.ca, input))
            }
        },
    }
}

/// Several bundles are one text.
fn bundle(references: &[CaReference], input: Input<'_>) -> Pem {
    let mut text = Vec::new();
    for reference in references {
        let found: Option<Arc<[u8]>> = match reference {
            CaReference::Secret(name) => secret(name, input).and_then(|secret| secret.spec.ca()),
            CaReference::ConfigMap(name) => {
                let mut maps = input.documents.config_maps.iter();
                let map = maps.find(|map| {
                    (&map.meta.namespace, &map.meta.name) == (&name.namespace, &name.name)
                });
                let text = map.and_then(|map| map.spec.data.get("ca.crt"));
                text.map(|text| text.as_bytes().into())
            }
        };
        if let Some(found) = found {
            text.extend_from_slice(&found);
            text.push(b'\n');
        }
    }
    Pem::Inline(text.into())
}

/// TLS as a BackendTLSPolicy asks for it. With alternative names the host name is only what is asked for.
pub(super) fn origination(
    tls: &BackendTls,
    client_certificate: Option<CertificateSource>,
    input: Input<'_>,
) -> TlsOrigination {
    let names = tls.subject_alt_names.iter().map(|name| match name {
        SubjectAltName::Hostname(name) | SubjectAltName::Uri(name) => name.clone(),
    });
    TlsOrigination {
        sni: Some(tls.hostname.clone()),
        ca: tls.ca.as_ref().map(|references| bundle(references, input)),
        client_certificate,
        subject_alt_names: names.collect(),
        verify: true,
    }
}
