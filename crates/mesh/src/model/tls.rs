//! TLS towards clients and towards endpoints.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::TcpRoute;
use crate::hosts::{PatternMap, host_of};

/// What a listener does with TLS connections.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsTermination {
    /// In document order.
    pub servers: Vec<TlsServer>,
    /// Positions in `servers`.
    by_name: PatternMap<Option<usize>>,
}

impl TlsTermination {
    /// Servers, of which the first to have a name keeps it.
    pub fn new(servers: Vec<TlsServer>) -> Self {
        let mut by_name = PatternMap::<Option<usize>>::default();
        for (position, server) in servers.iter().enumerate() {
            for pattern in &server.hosts {
                by_name.entry(pattern).get_or_insert(position);
            }
        }
        Self { servers, by_name }
    }

    /// The position in [`Self::servers`] of the server that a client asking for `server_name` gets: exact name
    /// before the longest wildcard before `*`. Without a name (or with one nobody has) only a `*` server answers.
    /// A port beside the name, capitals and the root's dot make no difference.
    pub fn select(&self, server_name: Option<&str>) -> Option<usize> {
        let mut buffer = [0; 256];
        let (name, _) = host_of(server_name.unwrap_or_default(), &mut buffer);
        let (position, _) = self.by_name.find(&name)?;
        *position
    }
}

/// One `Gateway` server's TLS settings.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsServer {
    /// SNI patterns: exact, `*.suffix`, or `*`.
    pub hosts: Vec<String>,
    /// Server certificates (several for RSA and ECDSA).
    pub certificates: Vec<CertificateSource>,
    /// Client certificates.
    pub client_auth: ClientAuth,
    /// `None` means TLS 1.2.
    pub min_version: Option<TlsVersion>,
    /// `None` means TLS 1.3.
    pub max_version: Option<TlsVersion>,
    /// ALPN in order of preference: `h2`, `http/1.1`.
    pub alpn: Vec<String>,
    /// What is done with a connection.
    pub action: TlsAction,
}

impl TlsServer {
    /// A server of these names that serves nobody.
    pub(crate) fn refusing(hosts: Vec<String>) -> Self {
        Self::undecrypted(hosts, TlsAction::Refuse)
    }

    /// A server that needs no certificates.
    pub(crate) fn undecrypted(hosts: Vec<String>, action: TlsAction) -> Self {
        Self {
            hosts,
            certificates: Vec::new(),
            client_auth: ClientAuth::None,
            min_version: None,
            max_version: None,
            alpn: Vec::new(),
            action,
        }
    }
}

/// What is done with a connection once its handshake has begun.
#[derive(Debug, Clone, PartialEq)]
pub enum TlsAction {
    /// Decrypted; its requests are routed.
    Http,
    /// Decrypted; its bytes go on.
    Tcp(TcpRoute),
    /// Its bytes go on as they are; the server has no certificates.
    Passthrough(TcpRoute),
    /// The handshake fails: the server lacks a certificate, or what it must check clients by. It is kept so that no
    /// server of a wider name takes its place, which may ask less of clients.
    Refuse,
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientAuth {
    /// Not asked for.
    None,
    /// Asked for; a bad one is refused, none is let in (`OPTIONAL_MUTUAL`).
    Optional(Pem),
    /// Asked for; a bad one and none are both let in (Gateway API's `AllowInsecureFallback`).
    Unverified,
    /// Needed (`MUTUAL`). The CA bundle it must chain to.
    Required(Pem),
}

/// TLS protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateSource {
    /// PEM chain, leaf first.
    pub chain: Pem,
    /// PEM private key.
    pub key: Pem,
}

/// PEM text: in a file (reloaded when it changes) or from a `Secret` document.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file. A relative name in a document has been joined to the document's folder as it was named to
    /// [`crate::load`].
    File(PathBuf),
    /// The text itself. Never printed.
    Inline(Arc<[u8]>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(text) => write!(f, "Inline(<{} bytes redacted>)", text.len()),
        }
    }
}

/// TLS towards endpoints (`DestinationRule` `tls`).
#[derive(Debug, Clone, PartialEq)]
pub struct TlsOrigination {
    /// Server name; `None` uses the request's authority.
    pub sni: Option<String>,
    /// Trust anchors; `None` means the system's, as in Istio's SIMPLE without caCertificates… see `verify`.
    pub ca: Option<Pem>,
    /// Shown to the server (`MUTUAL`).
    pub client_certificate: Option<CertificateSource>,
    /// One of these, DNS names or URIs, must be in the server's certificate; empty checks the SNI.
    pub subject_alt_names: Vec<String>,
    /// False for `insecureSkipVerify`.
    pub verify: bool,
}
