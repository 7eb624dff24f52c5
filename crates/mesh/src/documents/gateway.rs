//! Istio `Gateway`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::names::{check_label, check_pattern};
use crate::decode::{
    Context, Fields, Finding, Located, NotServed, boolean, list_of, located, non_empty, one_of,
};
use crate::decode::{port, string, string_map};
use crate::model::TlsVersion;
use crate::yaml::{Node, Place};

/// Ports that are listened on, and the hosts they answer for.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Labels of the dispatchers that serve it.
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) servers: Vec<Server>,
}

/// One server that is served; others have been warned about.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) place: Place,
    pub(crate) port: u16,
    pub(crate) address: Option<IpAddr>,
    pub(crate) hosts: Vec<ServerHost>,
    pub(crate) mode: ServerMode,
}

/// `namespace/host` of a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerHost {
    /// Whose VirtualServices may have the host: `None` is anybody's, `.` the gateway's own namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) host: String,
}

#[derive(Debug)]
pub(crate) enum ServerMode {
    Http {
        /// Requests in plain text are sent to `https`.
        https_redirect: bool,
    },
    /// Decrypted; its requests are routed.
    Https(Box<ServerTls>),
    /// Decrypted; its bytes go where `tcp` rules say.
    TcpOverTls(Box<ServerTls>),
    /// Its bytes go, as they are, where `tls` rules say.
    Passthrough,
    /// Plain TCP, which goes where `tcp` rules say.
    Tcp,
}

/// What has to be the same for servers to share a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    Tls,
    Tcp,
}

impl ServerMode {
    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Http { .. } => Transport::Http,
            Self::Https(_) | Self::TcpOverTls(_) | Self::Passthrough => Transport::Tls,
            Self::Tcp => Transport::Tcp,
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
        })
    }
}

/// TLS termination, with names still to be resolved.
#[derive(Debug)]
pub(crate) struct ServerTls {
    pub(crate) client: ClientCertificate,
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) ca: Option<String>,
    pub(crate) credentials: Vec<Located<String>>,
    pub(crate) min_version: Option<TlsVersion>,
    pub(crate) max_version: Option<TlsVersion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    No,
    Optional,
    Required,
}

/// `kind: Gateway`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Gateway> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let selector = fields.optional("selector", string_map).unwrap_or_default();
        let servers = fields
            .required("servers", list_of(server))
            .unwrap_or_default();
        let mut names = BTreeSet::new();
        for (name, _) in &servers {
            if !names.insert(name) {
                fields.error_at(
                    "servers",
                    format!("port name `{name}` is there twice; names must differ"),
                );
            }
        }
        fields.finish();
        Some(Gateway {
            selector,
            servers: servers
                .into_iter()
                .filter_map(|(_, server)| server)
                .collect(),
        })
    })
}

const SERVER_NOT_SERVED: &[NotServed] = &[(
    "defaultEndpoint",
    "requests need a VirtualService to be forwarded",
)];

const PROTOCOLS: &[&str] = &[
    "HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS", "HBONE", "REDIS", "MYSQL",
];

/// The port's name, and the server if it is of a kind that is served.
fn server<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<(String, Option<Server>)> {
    let mut fields = Fields::of(node, context)?;
    let port = fields.required("port", server_port);
    let hosts = fields.required("hosts", list_of(server_host));
    if fields.node("hosts").is_some_and(|hosts| hosts.len() == 0) {
        fields.error_at("hosts", "must not be empty");
    }
    let bind = fields.optional("bind", bind);
    let tls = fields.optional("tls", server_tls);
    let has_tls = fields.is_written("tls");
    fields.accept(&["name"]);
    fields.not_served(SERVER_NOT_SERVED);
    let (number, name, protocol) = port?;
    let mode = match protocol.to_ascii_uppercase().as_str() {
        "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => match tls {
            Some(ServerTlsSettings { mode: Some(_), .. }) => {
                fields.error_at(
                    "tls",
                    format!("protocol {protocol} is plain text: only `httpsRedirect` can be set"),
                );
                None
            }
            Some(tls) => Some(ServerMode::Http {
                https_redirect: tls.https_redirect,
            }),
            None => Some(ServerMode::Http {
                https_redirect: false,
            }),
        },
        "HTTPS" | "TLS" => match tls {
            Some(tls) if protocol.eq_ignore_ascii_case("HTTPS") => {
                over_tls(tls, ServerMode::Https, &fields)
            }
            Some(tls) => over_tls(tls, ServerMode::TcpOverTls, &fields),
            None if has_tls => None,
            None => {
                fields.error_at("tls", format!("is required with protocol {protocol}"));
                None
            }
        },
        known if PROTOCOLS.contains(&known) => {
            if has_tls {
                fields.error_at("tls", format!("can't be set with protocol {protocol}"));
            }
            match known {
                "HBONE" => not_served(&fields, number, &protocol),
                _ => Some(ServerMode::Tcp),
            }
        }
        _ => {
            fields.error_at(
                "port",
                format!(
                    "unknown protocol `{protocol}`; known are {}",
                    PROTOCOLS.join(", ")
                ),
            );
            None
        }
    };
    let place = fields.place;
    fields.finish();
    let (address, is_unix) = match bind {
        Some(Bind::Address(address)) => (Some(address), false),
        Some(Bind::Unix) => (None, true),
        None => (None, false),
    };
    let server = mode.filter(|_| !is_unix).map(|mode| Server {
        place,
        port: number,
        address,
        hosts: hosts.unwrap_or_default(),
        mode,
    });
    Some((name, server))
}

fn not_served(fields: &Fields<'_>, number: u16, protocol: &str) -> Option<ServerMode> {
    let message =
        format!("protocol {protocol} is not served yet: port {number} is not listened on");
    fields.report_at("port", Finding::warning(message));
    None
}

fn server_port<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<(u16, String, String)> {
    let mut fields = Fields::of(node, context)?;
    let number = fields.required("number", port);
    let name = fields.required("name", non_empty);
    let protocol = fields.required("protocol", non_empty);
    // Deprecated and without effect in Istio too.
    fields.accept(&["targetPort"]);
    fields.finish();
    Some((number?, name?, protocol?))
}

/// Where a server listens, if it says so.
enum Bind {
    Address(IpAddr),
    Unix,
}

fn bind<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Bind> {
    let text = string(node, context)?;
    if text.starts_with("unix://") {
        let message = "listening on a Unix socket is not served yet: the server is left out, \
                       as its port would let in other clients";
        context.warning(node.place, message);
        return Some(Bind::Unix);
    }
    match text.parse() {
        Ok(address) => Some(Bind::Address(address)),
        Err(_) => {
            context.error(
                node.place,
                format!("must be an IP address, but is `{text}`"),
            );
            None
        }
    }
}

fn server_host<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ServerHost> {
    let text = string(node, context)?;
    let (namespace, host) = match text.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, text),
    };
    if let Some(namespace) = namespace
        && !matches!(namespace, "*" | ".")
        && let Err(why) = check_label(namespace)
    {
        context.error(
            node.place,
            format!("namespace must be `*`, `.` or a name: {why}"),
        );
        return None;
    }
    if let Err(why) = check_pattern(host) {
        context.error(node.place, why);
        return None;
    }
    let namespace = namespace
        .filter(|namespace| *namespace != "*")
        .map(str::to_owned);
    Some(ServerHost {
        namespace,
        host: host.to_ascii_lowercase(),
    })
}

/// `tls` of a server as written.
struct ServerTlsSettings {
    mode: Option<Mode>,
    https_redirect: bool,
    /// A field that narrows which clients are let in and is not served.
    unserved_check: Option<&'static str>,
    certificate: Option<String>,
    key: Option<String>,
    ca: Option<String>,
    credentials: Vec<Located<String>>,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Passthrough,
    Simple,
    Mutual,
    AutoPassthrough,
    IstioMutual,
    OptionalMutual,
}

const MODES: &[(&str, Mode)] = &[
    ("PASSTHROUGH", Mode::Passthrough),
    ("SIMPLE", Mode::Simple),
    ("MUTUAL", Mode::Mutual),
    ("AUTO_PASSTHROUGH", Mode::AutoPassthrough),
    ("ISTIO_MUTUAL", Mode::IstioMutual),
    ("OPTIONAL_MUTUAL", Mode::OptionalMutual),
];

const VERSIONS: &[(&str, Option<TlsVersion>)] = &[
    ("TLS_AUTO", None),
    // Broken since RFC 8996: raised to 1.2, which is also what Istio serves by default.
    ("TLSV1_0", None),
    ("TLSV1_1", None),
    ("TLSV1_2", Some(TlsVersion::V1_2)),
    ("TLSV1_3", Some(TlsVersion::V1_3)),
];

const TLS_NOT_SERVED: &[NotServed] = &[(
    "cipherSuites",
    "the library's own secure suites are offered",
)];

/// Fields that let only some clients in. Serving the port without them would let in others.
const CLIENT_CHECKS: &[&str] = &[
    "subjectAltNames",
    "verifyCertificateSpki",
    "verifyCertificateHash",
    "caCrl",
];

fn server_tls<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ServerTlsSettings> {
    let mut fields = Fields::of(node, context)?;
    let mut credentials: Vec<_> = fields
        .optional("credentialName", located(non_empty))
        .into_iter()
        .collect();
    if let Some(names) = fields.optional("credentialNames", list_of(located(non_empty))) {
        if !credentials.is_empty() {
            fields.error_at(
                "credentialNames",
                "only one of `credentialName` and `credentialNames` can be set",
            );
        }
        credentials.extend(names);
    }
    let unserved_check = CLIENT_CHECKS
        .iter()
        .copied()
        .filter(|name| fields.node(name).is_some())
        .last();
    let mut settings = ServerTlsSettings {
        mode: fields.optional("mode", one_of(MODES)),
        https_redirect: fields.optional("httpsRedirect", boolean).unwrap_or(false),
        unserved_check,
        certificate: fields.optional("serverCertificate", non_empty),
        key: fields.optional("privateKey", non_empty),
        ca: fields.optional("caCertificates", non_empty),
        credentials,
        min_version: fields
            .optional("minProtocolVersion", one_of(VERSIONS))
            .flatten(),
        max_version: fields
            .optional("maxProtocolVersion", one_of(VERSIONS))
            .flatten(),
    };
    if settings.mode == Some(Mode::Passthrough) && settings.https_redirect {
        // The enumeration's zero value, which is how some tools write "not set".
        settings.mode = None;
    }
    if let (Some(min), Some(max)) = (settings.min_version, settings.max_version)
        && min > max
    {
        fields.error_at("minProtocolVersion", "must not be above maxProtocolVersion");
    }
    for name in ["minProtocolVersion", "maxProtocolVersion"] {
        let written = fields.node(name).and_then(Node::text);
        if let Some(version @ ("TLSV1_0" | "TLSV1_1")) = written {
            let message = format!("{version} is not served (RFC 8996): TLS 1.2 is the oldest");
            fields.report_at(name, Finding::warning(message));
        }
    }
    fields.not_served(TLS_NOT_SERVED);
    fields.finish();
    Some(settings)
}

/// What a server with protocol HTTPS or TLS does: pass on, or what `terminated` says.
fn over_tls(
    tls: ServerTlsSettings,
    terminated: fn(Box<ServerTls>) -> ServerMode,
    server: &Fields<'_>,
) -> Option<ServerMode> {
    let client = match tls.mode.unwrap_or(Mode::Passthrough) {
        Mode::Passthrough => return Some(ServerMode::Passthrough),
        Mode::Simple => ClientCertificate::No,
        Mode::OptionalMutual => ClientCertificate::Optional,
        Mode::Mutual => ClientCertificate::Required,
        Mode::AutoPassthrough | Mode::IstioMutual => {
            let mode = MODES
                .iter()
                .find(|(_, mode)| Some(*mode) == tls.mode)
                .map_or("this", |(name, _)| name);
            server.report_at(
                "tls",
                Finding::warning(format!(
                    "mode {mode} is not served yet: the server is left out"
                )),
            );
            return None;
        }
    };
    if let Some(field) = tls.unserved_check {
        let message = format!(
            "`{field}` is not served yet: the server is left out, as it would let in other clients"
        );
        server.report_at("tls", Finding::warning(message));
        return None;
    }
    if tls.credentials.is_empty() {
        let needs_ca = client != ClientCertificate::No;
        let needed = [
            ("serverCertificate", tls.certificate.is_none()),
            ("privateKey", tls.key.is_none()),
            ("caCertificates", needs_ca && tls.ca.is_none()),
        ];
        for (field, _) in needed.iter().filter(|(_, missing)| *missing) {
            server.error_at(
                "tls",
                format!("`{field}` is required (or set `credentialName`)"),
            );
        }
    }
    Some(terminated(Box::new(ServerTls {
        client,
        certificate: tls.certificate,
        key: tls.key,
        ca: tls.ca,
        credentials: tls.credentials,
        min_version: tls.min_version,
        max_version: tls.max_version,
    })))
}
