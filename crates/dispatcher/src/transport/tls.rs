//! rustls settings from a mesh's TLS settings.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use mesh::{
    CertificateSource, ClientAuth, Pem, TlsAction, TlsOrigination, TlsServer, TlsTermination,
    TlsVersion,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};

/// TLS settings that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or unreadable.
    #[error("read {path}: {source}; does the file exist and may this user read it?", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A PEM text has no usable content.
    #[error("{what} in {origin}: {reason}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The file or secret.
        origin: String,
        /// Why it can't be used.
        reason: String,
    },
    /// rustls refuses the combination.
    #[error("TLS settings of {origin}: {reason}")]
    Settings {
        /// Hosts or cluster.
        origin: String,
        /// Why.
        reason: String,
    },
}

/// Termination on one listener: a configuration for each of [`TlsTermination::servers`], same order.
#[derive(Debug)]
pub(crate) struct ServerTls {
    configs: Vec<Option<Arc<ServerConfig>>>,
    files: Vec<(PathBuf, Option<SystemTime>)>,
}

impl ServerTls {
    /// Reads all files and builds every server's configuration.
    pub(crate) fn build(termination: &TlsTermination) -> Result<Self, TlsError> {
        let mut files = Vec::new();
        let mut configs = Vec::with_capacity(termination.servers.len());
        for server in &termination.servers {
            if matches!(server.action, TlsAction::Passthrough(_) | TlsAction::Refuse) {
                configs.push(None);
                continue;
            }
            configs.push(Some(Arc::new(server_config(server)?)));
            collect_files(server, &mut files);
        }
        Ok(Self { configs, files })
    }

    /// The configuration of the server at that position; `None` for one that decrypts nothing.
    pub(crate) fn config(&self, server: usize) -> Option<Arc<ServerConfig>> {
        self.configs[server].clone()
    }

    /// Whether a certificate file has changed since this was built.
    pub(crate) fn is_stale(&self) -> bool {
        self.files
            .iter()
            .any(|(path, seen)| modified(path) != *seen)
    }
}

fn collect_files(server: &TlsServer, files: &mut Vec<(PathBuf, Option<SystemTime>)>) {
    let client = match &server.client_auth {
        ClientAuth::None | ClientAuth::Unverified => None,
        ClientAuth::Optional(ca) | ClientAuth::Required(ca) => Some(ca),
    };
    let own = server.certificates.iter().flat_map(|c| [&c.chain, &c.key]);
    for pem in own.chain(client) {
        if let Pem::File(path) = pem {
            files.push((path.clone(), modified(path)));
        }
    }
}

fn modified(path: &PathBuf) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

fn server_config(server: &TlsServer) -> Result<ServerConfig, TlsError> {
    let origin = server.hosts.join(", ");
    let settings = |reason: &dyn std::fmt::Display| TlsError::Settings {
        origin: origin.clone(),
        reason: reason.to_string(),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (min, max) = (
        server.min_version.unwrap_or(TlsVersion::V1_2),
        server.max_version.unwrap_or(TlsVersion::V1_3),
    );
    let mut versions = Vec::new();
    if max >= TlsVersion::V1_3 {
        versions.push(&rustls::version::TLS13);
    }
    if min <= TlsVersion::V1_2 {
        versions.push(&rustls::version::TLS12);
    }
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| settings(&error))?;
    let builder = match &server.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Unverified => {
            builder.with_client_cert_verifier(Arc::new(AnyClient(provider.clone())))
        }
        ClientAuth::Optional(ca) | ClientAuth::Required(ca) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider.clone());
            let verifier = if matches!(server.client_auth, ClientAuth::Optional(_)) {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| settings(&error))?)
        }
    };
    let mut keys = Vec::with_capacity(server.certificates.len());
    for certificate in &server.certificates {
        keys.push(Arc::new(certified_key(certificate, &provider)?));
    }
    let mut config = builder.with_cert_resolver(Arc::new(AnyOf(keys)));
    config.alpn_protocols = server
        .alpn
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| settings(&error))?;
    Ok(config)
}

/// The first of a server's certificates that the client can verify (RSA beside ECDSA).
#[derive(Debug)]
struct AnyOf(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for AnyOf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(usable).or(self.0.first()).cloned()
    }
}

/// What of a mesh's TLS can't be used on this machine, with the listener or cluster that needs it: the files that are
/// missing or hold something else.
pub fn unusable_tls(mesh: &mesh::Mesh) -> Vec<(String, TlsError)> {
    let mut found = Vec::new();
    for listener in &mesh.listeners {
        let servers = listener.tls.iter().flat_map(|tls| &tls.servers);
        let terminating =
            servers.filter(|server| !matches!(server.action, TlsAction::Passthrough(_)));
        let errors = terminating.filter_map(|server| server_config(server).err());
        found.extend(errors.map(|error| (listener.name.clone(), error)));
    }
    for cluster in &mesh.clusters {
        let config = cluster
            .tls
            .as_ref()
            .map(|tls| client_config(tls, &cluster.name, b"http/1.1"));
        if let Some(Err(error)) = config {
            found.push((format!("cluster {}", cluster.name), error));
        }
    }
    found
}

fn certified_key(
    source: &CertificateSource,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let (chain, key) = read_certificate(source)?;
    let origin = origin(&source.key);
    CertifiedKey::from_der(chain, key, provider).map_err(|error| TlsError::Pem {
        what: "certificate and private key",
        origin,
        reason: error.to_string(),
    })
}

fn read_certificate(
    source: &CertificateSource,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&source.chain)?;
    let key =
        PrivateKeyDer::from_pem_slice(&read(&source.key)?).map_err(|error| TlsError::Pem {
            what: "private key",
            origin: origin(&source.key),
            reason: error.to_string(),
        })?;
    Ok((chain, key))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(pem)?;
    let failed = |reason: String| TlsError::Pem {
        what: "certificate",
        origin: origin(pem),
        reason,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if chain.is_empty() {
        return Err(failed("there is no PEM block named CERTIFICATE".into()));
    }
    Ok(chain)
}

fn roots(pem: &Pem) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| TlsError::Pem {
            what: "CA certificate",
            origin: origin(pem),
            reason: error.to_string(),
        })?;
    }
    Ok(store)
}

fn read(pem: &Pem) -> Result<Arc<[u8]>, TlsError> {
    match pem {
        Pem::Inline(text) => Ok(text.clone()),
        Pem::File(path) => fs::read(path)
            .map(Arc::from)
            .map_err(|source| TlsError::Read {
                path: path.clone(),
                source,
            }),
    }
}

fn origin(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => path.display().to_string(),
        Pem::Inline(_) => "the Secret document".to_owned(),
    }
}

/// Builds a cluster's client settings; `alpn` is what it speaks.
pub(crate) fn client_config(
    origination: &TlsOrigination,
    cluster: &str,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, TlsError> {
    let settings = |reason: &dyn std::fmt::Display| TlsError::Settings {
        origin: cluster.to_owned(),
        reason: reason.to_string(),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| settings(&error))?;
    let anchors = match &origination.ca {
        Some(ca) => Some(roots(ca)?),
        None if origination.verify => Some(system_roots(cluster)?),
        None => None,
    };
    let verifier = Arc::new(EndpointVerifier {
        anchors: anchors.filter(|_| origination.verify),
        names: Names::parse(&origination.subject_alt_names).map_err(|error| settings(&error))?,
        provider,
    });
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &origination.client_certificate {
        None => builder.with_no_client_auth(),
        Some(source) => {
            let (chain, key) = read_certificate(source)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| settings(&error))?
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

fn system_roots(cluster: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(TlsError::Settings {
            origin: cluster.to_owned(),
            reason: "this machine has no CA certificates; install ca-certificates or name caCertificates"
                .into(),
        });
    }
    Ok(store)
}

/// Verifies an endpoint's certificate against other names than the one sent as SNI, as
/// `subjectAltNames` asks, or not at all, as `insecureSkipVerify` asks.
#[derive(Debug)]
struct EndpointVerifier {
    anchors: Option<RootCertStore>,
    names: Names,
    provider: Arc<CryptoProvider>,
}

/// What an endpoint may be called instead of what was asked for; one of them has to be there.
#[derive(Debug, Default)]
struct Names {
    /// DNS names and addresses.
    hosts: Vec<ServerName<'static>>,
    /// `spiffe://cluster.local/ns/default/sa/app` and the like, compared as they stand.
    uris: Vec<String>,
}

impl Names {
    fn parse(texts: &[String]) -> Result<Self, InvalidDnsNameError> {
        let mut names = Self::default();
        for text in texts {
            match text.contains("://") {
                true => names.uris.push(text.clone()),
                false => names.hosts.push(ServerName::try_from(text.clone())?),
            }
        }
        Ok(names)
    }

    /// Whether a certificate has one of the names, or `asked_for` if there are none.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        asked_for: &ServerName<'_>,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        if self.hosts.is_empty() && self.uris.is_empty() {
            return verify_server_name(&parsed, asked_for);
        }
        let has = |name| verify_server_name(&parsed, name).is_ok();
        if self.hosts.iter().any(has) {
            return Ok(());
        }
        let bad = |_| rustls::Error::from(CertificateError::BadEncoding);
        let certificate = webpki::EndEntityCert::try_from(certificate).map_err(bad)?;
        match certificate
            .valid_uri_names()
            .any(|uri| self.uris.iter().any(|own| own == uri))
        {
            true => Ok(()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }
}

impl ServerCertVerifier for EndpointVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(anchors) = &self.anchors {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                anchors,
                intermediates,
                now,
                algorithms,
            )?;
            self.names.verify(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Asks clients for a certificate and takes any, and none; but who shows one has to have its key.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
