//! The certificates that the original suite makes when it starts: its manifests name them, but no file holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

const INFRA: &str = "gateway-conformance-infra";
const APP: &str = "gateway-conformance-app-backend";
const WEB: &str = "gateway-conformance-web-backend";

/// A `Secret` of type `kubernetes.io/tls`.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// The certificate, PEM.
    pub(crate) certificate: String,
    /// Its private key, PEM.
    pub(crate) key: String,
}

impl Pair {
    /// The certificate as TLS libraries take it.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        der(&self.certificate)
    }

    /// The private key as TLS libraries take it.
    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("rcgen writes PEM")
    }
}

/// By `namespace/name`.
#[derive(Debug)]
pub(crate) struct Certificates {
    secrets: BTreeMap<String, Pair>,
    authorities: BTreeMap<String, String>,
}

impl Certificates {
    /// New ones. Names and what each is valid for are those of the suite's setup.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let mut made = Self {
            secrets: BTreeMap::new(),
            authorities: BTreeMap::new(),
        };
        let self_signed: [(&str, &str, &[&str]); 2] = [
            (WEB, "certificate", &["*"]),
            (INFRA, "tls-validity-checks-certificate", &["*", "*.org"]),
        ];
        for (namespace, name, hosts) in self_signed {
            made.self_signed(namespace, name, hosts)?;
        }
        let checks = made.authority("tls-checks-ca-certificate")?;
        let served: &[&str] = &[
            "abc.example.com",
            "other.example.com",
            "spiffe://abc.example.com/test-identity",
        ];
        made.signed(&checks, INFRA, "tls-checks-certificate", served)?;
        made.signed(&checks, INFRA, "tls-checks-client-certificate", &["client"])?;
        for namespace in [INFRA, APP] {
            let name = "tls-passthrough-checks-certificate";
            made.signed(&checks, namespace, name, &["abc.example.com"])?;
        }
        // The terminating listener's certificate is checked against the same authority.
        let name = "tls-terminate-checks-certificate";
        made.signed(&checks, INFRA, name, &["abc.example.com"])?;
        made.authority("mismatch-ca-certificate")?;
        for name in ["tls-validity-checks", "tls-validity-checks-per-port"] {
            let authority = made.authority(&format!("{name}-ca-certificate"))?;
            let client = format!("{name}-client-certificate");
            made.signed(&authority, INFRA, &client, &["client"])?;
        }
        Ok(Arc::new(made))
    }

    /// The certificate of a Secret, by `namespace/name`.
    pub(crate) fn pair(&self, name: &str) -> Result<&Pair> {
        self.secrets
            .get(name)
            .with_context(|| format!("the harness makes no Secret {name}"))
    }

    /// The authority of a ConfigMap, PEM.
    pub(crate) fn authority_pem(&self, name: &str) -> Result<&str> {
        self.authorities
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the harness makes no ConfigMap {name}"))
    }

    /// All of them as documents.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let secrets = self.secrets.iter().map(|(name, pair)| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": metadata(name),
                "type": "kubernetes.io/tls",
                "data": {"tls.crt": STANDARD.encode(&pair.certificate), "tls.key": STANDARD.encode(&pair.key)},
            })
        });
        let authorities = self.authorities.iter().map(|(name, pem)| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name),
                "data": {"ca.crt": pem},
            })
        });
        secrets.chain(authorities).collect()
    }

    fn self_signed(&mut self, namespace: &str, name: &str, hosts: &[&str]) -> Result<()> {
        let key = KeyPair::generate().context("make a key")?;
        let certificate = leaf(name, hosts)?.self_signed(&key);
        let pair = Pair {
            certificate: certificate.context("make a certificate")?.pem(),
            key: key.serialize_pem(),
        };
        self.secrets.insert(format!("{namespace}/{name}"), pair);
        Ok(())
    }

    fn authority(&mut self, name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("make a key")?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("make an authority")?;
        self.authorities
            .insert(format!("{INFRA}/{name}"), issuer.pem());
        Ok(issuer)
    }

    fn signed(
        &mut self,
        issuer: &CertifiedIssuer<'static, KeyPair>,
        namespace: &str,
        name: &str,
        names: &[&str],
    ) -> Result<()> {
        let key = KeyPair::generate().context("make a key")?;
        let certificate = leaf(name, names)?.signed_by(&key, issuer);
        let pair = Pair {
            certificate: certificate.context("sign a certificate")?.pem(),
            key: key.serialize_pem(),
        };
        self.secrets.insert(format!("{namespace}/{name}"), pair);
        Ok(())
    }
}

/// A certificate of this module as TLS libraries take it.
pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("rcgen writes PEM")
}

/// As upstreams report a certificate: its bytes in base64, since line lengths would differ between encoders of PEM.
pub(crate) fn fingerprint(der: &CertificateDer<'_>) -> String {
    STANDARD.encode(der)
}

/// `namespace/name` as a document's metadata.
fn metadata(name: &str) -> Value {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    json!({"namespace": namespace, "name": name})
}

/// A certificate for both sides of a connection. A name with a scheme is a URI.
fn leaf(name: &str, names: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    for name in names {
        let text = Ia5String::try_from(*name).context("a name in ASCII")?;
        params.subject_alt_names.push(match name.contains("://") {
            true => SanType::URI(text),
            false => SanType::DnsName(text),
        });
    }
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}
