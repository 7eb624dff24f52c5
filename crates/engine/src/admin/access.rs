//! Who may change something: whoever has the token, or a client certificate of the authority that was named.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Request;
use http::header::AUTHORIZATION;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// Who may change something.
#[derive(Clone, Default)]
pub struct Access {
    token: Option<String>,
    tls: Option<TlsAcceptor>,
    takes_certificates: bool,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Access { .. }")
    }
}

/// Files of the admin server's TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Its certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Authorities of clients that may change something without a token, PEM.
    pub client_authority: Option<PathBuf>,
}

/// A file of the admin server's TLS can't be used.
#[derive(Debug, thiserror::Error)]
#[error("admin server: {path}: {reason}")]
pub struct AccessError {
    path: PathBuf,
    reason: String,
}

impl Access {
    /// For whoever sends this token; nobody, if it is empty.
    pub fn with_token(token: &str) -> Self {
        let token = token.trim();
        Self {
            token: (!token.is_empty()).then(|| token.to_owned()),
            ..Self::default()
        }
    }

    /// The same over TLS, and for clients with a certificate of the authority, if there is one.
    ///
    /// # Errors
    /// Names the file that can't be used.
    pub fn over_tls(mut self, files: &Tls) -> Result<Self, AccessError> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key);
        let key = key.map_err(|error| refused(&files.key, &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&files.certificate, &error))?;
        let builder = match &files.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| refused(path, &error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()
                        .map_err(|error| refused(path, &error))?;
                self.takes_certificates = true;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| refused(&files.certificate, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        self.tls = Some(TlsAcceptor::from(Arc::new(config)));
        Ok(self)
    }

    pub(super) fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref()
    }

    /// Whether a request may change something; if not, what to do. `certified`: its client has shown a certificate that
    /// was checked.
    pub(super) fn check<B>(&self, request: &Request<B>, certified: bool) -> Result<(), String> {
        if certified && self.takes_certificates {
            return Ok(());
        }
        let sent = request.headers().get(AUTHORIZATION);
        let sent = sent.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match (sent, &self.token) {
            (Some(sent), Some(token)) if same(sent, token.as_bytes()) => Ok(()),
            (_, None) => Err("this server takes no changes: it has no token".to_owned()),
            (None, Some(_)) => Err(
                "changes need the header `Authorization: Bearer TOKEN`; the token is in `admin-token` in the state directory"
                    .to_owned(),
            ),
            (Some(_), Some(_)) => Err("this is not the token; it is in `admin-token` in the state directory".to_owned()),
        }
    }
}

/// In a time that tells nothing about where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let text = fs::read(path).map_err(|error| refused(path, &error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| refused(path, &error))?;
    if all.is_empty() {
        return Err(refused(path, &"there is no certificate in it"));
    }
    Ok(all)
}

fn refused(path: &Path, reason: &dyn std::fmt::Display) -> AccessError {
    AccessError {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access: &Access, header: Option<&str>, certified: bool) -> Result<(), String> {
        let mut request = Request::builder();
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        access.check(&request.body(()).unwrap(), certified)
    }

    #[test]
    fn only_the_whole_token_will_do() {
        let access = Access::with_token(" secret\n");
        assert_eq!(asked(&access, Some("Bearer secret"), false), Ok(()));
        for wrong in [
            None,
            Some("Bearer secre"),
            Some("Bearer secrets"),
            Some("secret"),
            Some("Bearer "),
        ] {
            assert!(asked(&access, wrong, false).is_err(), "{wrong:?}");
        }
        // A certificate counts only where an authority was named.
        assert!(asked(&access, None, true).is_err());
    }

    #[test]
    fn without_a_token_nothing_can_be_changed() {
        for empty in ["", "  \n"] {
            assert!(asked(&Access::with_token(empty), Some("Bearer "), false).is_err());
        }
    }
}
