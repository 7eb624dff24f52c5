//! What a gateway's server does in a TLS handshake.

use super::super::{Input, credentials};
use crate::documents::Object;
use crate::documents::gateway::{ClientCertificate, Gateway, Server, ServerTls};
use crate::model::{CertificateSource, ClientAuth, TlsAction, TlsServer};

/// A server's TLS settings; one that refuses (and a finding) if it can't be served because its certificate is missing.
pub(super) fn tls_server(
    tls: &ServerTls,
    server: &Server,
    gateway: &Object<Gateway>,
    action: TlsAction,
    input: Input<'_>,
) -> TlsServer {
    let meta = &gateway.meta;
    let document = meta.context(input.files, input.report).file;
    let (mut certificates, mut ca) = (Vec::new(), None);
    for name in &tls.credentials {
        let Some(secret) = credentials::secret(name, meta, input) else {
            continue;
        };
        certificates.extend(credentials::certificate(name, secret, meta, input));
        ca = ca.or_else(|| credentials::ca(name, secret, meta, input));
    }
    if let (Some(chain), Some(key)) = (&tls.certificate, &tls.key) {
        let (chain, key) = (
            credentials::file(chain, document),
            credentials::file(key, document),
        );
        certificates.push(CertificateSource { chain, key });
    }
    let ca = tls
        .ca
        .as_deref()
        .map(|name| credentials::file(name, document))
        .or(ca);
    let mut hosts: Vec<_> = server.hosts.iter().map(|host| host.host.clone()).collect();
    hosts.dedup();
    let refuse = |hosts, what: &str| {
        let port = server.port;
        let message = format!("has no {what}: handshakes with the server on port {port} fail");
        meta.context(input.files, input.report)
            .warning(server.place, message);
        TlsServer::refusing(hosts)
    };
    if certificates.is_empty() {
        return refuse(hosts, "certificate");
    }
    let client_auth = match (tls.client, ca) {
        (ClientCertificate::No, _) => ClientAuth::None,
        (ClientCertificate::Optional, Some(ca)) => ClientAuth::Optional(ca),
        (ClientCertificate::Required, Some(ca)) => ClientAuth::Required(ca),
        (ClientCertificate::Optional | ClientCertificate::Required, None) => {
            return refuse(hosts, "CA bundle for its clients' certificates");
        }
    };
    // What is within the bytes is for the two ends to agree on.
    let alpn = match &action {
        TlsAction::Http => vec!["h2".to_owned(), "http/1.1".to_owned()],
        TlsAction::Tcp(_) | TlsAction::Passthrough(_) | TlsAction::Refuse => Vec::new(),
    };
    TlsServer {
        hosts,
        certificates,
        client_auth,
        min_version: tls.min_version,
        max_version: tls.max_version,
        alpn,
        action,
    }
}
