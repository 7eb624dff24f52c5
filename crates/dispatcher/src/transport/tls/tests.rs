//! Handshakes in memory, with certificates made for them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{ClientConnection, ServerConnection};

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> Pem {
        inline(&self.0.pem())
    }

    fn sign(&self, host: &str, uri: Option<&str>) -> CertificateSource {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let uris = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        CertificateSource {
            chain: inline(&certificate.pem()),
            key: inline(&key.serialize_pem()),
        }
    }
}

fn inline(text: &str) -> Pem {
    Pem::Inline(text.as_bytes().into())
}

fn server(certificate: CertificateSource, client_auth: ClientAuth) -> Arc<ServerConfig> {
    let server = TlsServer {
        hosts: vec!["app.example".to_owned()],
        certificates: vec![certificate],
        client_auth,
        min_version: None,
        max_version: None,
        alpn: Vec::new(),
        action: TlsAction::Http,
    };
    Arc::new(server_config(&server).unwrap())
}

fn origination(authority: &Authority, names: &[&str]) -> TlsOrigination {
    TlsOrigination {
        sni: None,
        ca: Some(authority.pem()),
        client_certificate: None,
        subject_alt_names: names.iter().map(|name| (*name).to_owned()).collect(),
        verify: true,
    }
}

/// Whether both sides agree.
fn shake(origination: &TlsOrigination, server: Arc<ServerConfig>) -> Result<(), rustls::Error> {
    let config = client_config(origination, "test", b"h2").unwrap();
    let name = ServerName::try_from("app.example").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

const SPIFFE: &str = "spiffe://cluster.local/ns/default/sa/app";

#[test]
fn an_endpoint_needs_one_of_its_names() {
    let authority = Authority::new();
    let app = || {
        server(
            authority.sign("app.example", Some(SPIFFE)),
            ClientAuth::None,
        )
    };
    for (names, works) in [
        (&[][..], true),
        (&["app.example"], true),
        (&["other.example", "app.example"], true),
        (&["other.example"], false),
        (&[SPIFFE], true),
        (&["other.example", SPIFFE], true),
        (&["spiffe://cluster.local/ns/default/sa/other"], false),
    ] {
        let shaken = shake(&origination(&authority, names), app());
        assert_eq!(shaken.is_ok(), works, "{names:?}: {shaken:?}");
    }
    // A name is worth nothing without a chain to the authority.
    let stranger = Authority::new();
    for names in [&[][..], &[SPIFFE]] {
        let mut trusting = origination(&stranger, names);
        assert!(shake(&trusting, app()).is_err());
        trusting.verify = false;
        assert!(shake(&trusting, app()).is_ok());
    }
}

#[test]
fn clients_may_be_asked_and_let_in_whatever_they_show() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = || authority.sign("app.example", None);
    let mut client = origination(&authority, &[]);
    for (shows, required, unverified) in [(false, false, true), (true, false, true)] {
        client.client_certificate = shows.then(|| stranger.sign("client.example", None));
        let ca = ClientAuth::Required(authority.pem());
        assert_eq!(shake(&client, server(certificate(), ca)).is_ok(), required);
        let any = server(certificate(), ClientAuth::Unverified);
        assert_eq!(shake(&client, any).is_ok(), unverified);
    }
    // Who shows one has to have its key.
    let (theirs, own) = (
        stranger.sign("client.example", None),
        stranger.sign("client.example", None),
    );
    client.client_certificate = Some(CertificateSource {
        chain: theirs.chain,
        key: own.key,
    });
    assert!(client_config(&client, "test", b"h2").is_err());
}

#[tokio::test]
async fn tls_is_not_left_out_towards_a_unix_socket() {
    use crate::transport::connect::{ClientTls, Target, connect};

    let path = std::env::temp_dir().join(format!("dalbi-unix-tls-{}", std::process::id()));
    let _server = tokio::net::UnixListener::bind(&path).unwrap();
    let authority = Authority::new();
    let tls = ClientTls {
        config: client_config(&origination(&authority, &[]), "test", b"h2").unwrap(),
        server_name: ServerName::try_from("app.example").unwrap(),
    };
    let target = Target::Unix(path.clone());
    let plain = connect(&target, None, None).await;
    let error = connect(&target, None, Some(&tls)).await.err().unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(plain.is_ok());
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}
