//! Where connections come in.

use mesh::{CertificateSource, ClientAuth, Listener, Mesh, Pem, TlsAction, TlsServer, TlsVersion};

use super::shares;

/// What is to be known of a listener besides its hosts, by name. Listeners with the same settings take the same
/// connections.
pub(crate) fn listener_settings(mesh: &Mesh, listener: &Listener) -> Vec<(String, String)> {
    let mut settings = vec![("speaks".to_owned(), protocol(listener).to_owned())];
    for route in &listener.tcp {
        settings.push((
            "connections to".to_owned(),
            shares(mesh, &route.destinations),
        ));
    }
    let servers = listener.tls.iter().flat_map(|tls| &tls.servers);
    settings.extend(servers.map(|server| {
        let name = format!("TLS for {}", server.hosts.join(" "));
        (name, tls_server(mesh, server))
    }));
    settings
}

/// `http`, `https`, `tls` (where no server of it is decrypted to requests) or `tcp`.
fn protocol(listener: &Listener) -> &'static str {
    match &listener.tls {
        Some(tls)
            if tls
                .servers
                .iter()
                .all(|server| server.action != TlsAction::Http) =>
        {
            "tls"
        }
        Some(_) => "https",
        None if !listener.tcp.is_empty() => "tcp",
        None => "http",
    }
}

/// What is done with connections of a server's names.
fn tls_server(mesh: &Mesh, server: &TlsServer) -> String {
    let TlsServer {
        hosts: _,
        certificates,
        client_auth,
        min_version,
        max_version,
        alpn,
        action,
        ..
    } = server;
    let mut parts = vec![match action {
        TlsAction::Http => "requests".to_owned(),
        TlsAction::Tcp(route) => format!("decrypted to {}", shares(mesh, &route.destinations)),
        TlsAction::Passthrough(route) => {
            format!("as they are to {}", shares(mesh, &route.destinations))
        }
        TlsAction::Refuse => "handshakes fail".to_owned(),
    }];
    for CertificateSource { chain, key } in certificates {
        parts.push(format!("certificate {} with key {}", pem(chain), pem(key)));
    }
    match client_auth {
        ClientAuth::None => {}
        ClientAuth::Optional(ca) => parts.push(format!("client certificates of {} taken", pem(ca))),
        ClientAuth::Unverified => {
            parts.push("client certificates asked for, not checked".to_owned());
        }
        ClientAuth::Required(ca) => {
            parts.push(format!("client certificates of {} needed", pem(ca)));
        }
    }
    let version = |version: &TlsVersion| match version {
        TlsVersion::V1_2 => "TLS 1.2",
        TlsVersion::V1_3 => "TLS 1.3",
    };
    parts.extend(
        min_version
            .iter()
            .map(|least| format!("at least {}", version(least))),
    );
    parts.extend(
        max_version
            .iter()
            .map(|most| format!("at most {}", version(most))),
    );
    if !alpn.is_empty() {
        parts.push(format!("ALPN {}", alpn.join(" ")));
    }
    parts.join(", ")
}

/// Which one, never what is in it.
fn pem(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => path.display().to_string(),
        Pem::Inline(_) => "in a Secret".to_owned(),
    }
}
