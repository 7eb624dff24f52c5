//! What comes of attaching: listeners with their rules in order, and the status of every object.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use manifests::Source;

use crate::{Name, Status};

/// Everything that is served, and what became of the rest.
#[derive(Debug, Default)]
pub struct Attached {
    /// Of Gateways in order of age and name, each with its own listeners before those of its ListenerSets. Only those
    /// that are programmed.
    pub listeners: Vec<Listener>,
    /// Routes whose parent is a Service, in order of Service, port and consumer.
    pub mesh: Vec<ServiceRules>,
    /// TLS towards Services, by Service and the name of its port; `None` is every port without a policy of its own.
    /// `Err` says why connections can't be had as the policy asks: such requests must not be sent in plain text.
    pub backend_tls: BTreeMap<(Name, Option<String>), Result<BackendTls, String>>,
    /// Of every object, by kind and name.
    pub statuses: Vec<Status>,
}

/// A listener of a Gateway or ListenerSet.
#[derive(Debug)]
pub struct Listener {
    /// The Gateway it belongs to, directly or by a ListenerSet.
    pub gateway: Name,
    /// The ListenerSet, where one adds it.
    pub listener_set: Option<Name>,
    /// Its name.
    pub section: String,
    /// 1 to 65535.
    pub port: u16,
    /// The Gateway's; empty leaves the choice to who listens.
    pub addresses: Vec<IpAddr>,
    /// What is spoken.
    pub protocol: Protocol,
    /// `*.example.com`; `None` is every name.
    pub hostname: Option<String>,
    /// Secret with the certificate that the Gateway shows to endpoints.
    pub backend_client_certificate: Option<Name>,
    /// For HTTP and HTTPS: host patterns with their rules, most specific first.
    pub hosts: Vec<Host>,
    /// For TLS and TCP: oldest first, and by name.
    pub streams: Vec<StreamRule>,
    /// Where it stands.
    pub source: Source,
}

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// `HTTP`.
    Http,
    /// `HTTPS`.
    Https(Termination),
    /// `TLS` with mode Terminate: bytes go on in plain text.
    TlsTerminate(Termination),
    /// `TLS` with mode Passthrough.
    TlsPassthrough,
    /// `HTTPS` or `TLS` that can't be served, for want of a certificate or of what clients are to be checked by. Its
    /// name is nobody else's all the same: a listener with a wider one may ask less of clients.
    TlsRefused,
    /// `TCP`.
    Tcp,
}

/// How TLS ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Secrets; at least one.
    pub certificates: Vec<Name>,
    /// What is asked of clients.
    pub client_validation: Option<ClientValidation>,
}

/// What a client's certificate must chain to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientValidation {
    /// At least one.
    pub ca: Vec<CaReference>,
    /// What becomes of the others.
    pub mode: ClientValidationMode,
}

/// `validation.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientValidationMode {
    /// Others are refused.
    AllowValidOnly,
    /// Others are let in.
    AllowInsecureFallback,
}

/// An object with the key `ca.crt`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaReference {
    /// A ConfigMap.
    ConfigMap(Name),
    /// A Secret.
    Secret(Name),
}

/// A host pattern of a listener with the rules for it.
#[derive(Debug, Clone)]
pub struct Host {
    /// A name, `*.suffix`, or `*`.
    pub pattern: String,
    /// Its own, in order of precedence.
    pub entries: Vec<Entry>,
    /// The listener's other patterns that take in this one, the narrowest first. Their entries follow its own.
    pub wider: Vec<String>,
}

/// A condition and the rule behind it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub when: HttpMatch,
    /// What.
    pub rule: Arc<HttpRule>,
}

/// A rule of an HTTPRoute or GRPCRoute.
#[derive(Debug)]
pub struct HttpRule {
    /// The route.
    pub route: Name,
    /// Whether it is a GRPCRoute.
    pub is_grpc: bool,
    /// Counted from 0.
    pub index: usize,
    /// The rule's own name.
    pub name: Option<String>,
    /// What is done with its requests.
    pub filters: Filters<Target>,
    /// Where they go. Empty answers 500, unless a filter redirects.
    pub backends: Vec<Backend>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Further tries.
    pub retry: Option<Retry>,
    /// Where it stands.
    pub source: Source,
}

/// A rule of a TLSRoute or TCPRoute.
#[derive(Debug, Clone)]
pub struct StreamRule {
    /// The route.
    pub route: Name,
    /// Counted from 0.
    pub index: usize,
    /// The rule's own name.
    pub name: Option<String>,
    /// Server names, after what they share with the listener's; empty for TCP.
    pub hostnames: Vec<String>,
    /// Where connections go.
    pub backends: Vec<Backend>,
    /// Where it stands.
    pub source: Source,
}

/// Rules for requests to a Service.
#[derive(Debug)]
pub struct ServiceRules {
    /// The Service.
    pub service: Name,
    /// One of its ports, or all.
    pub port: Option<u16>,
    /// Only requests from this namespace, where the route is not in the Service's own (a consumer's route).
    pub consumer: Option<String>,
    /// In order of precedence.
    pub entries: Vec<Entry>,
}

/// A port of a Service, or why there is none.
pub type Target = Result<ServiceTarget, String>;

/// A Service's port that is there and may be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceTarget {
    /// The Service.
    pub service: Name,
    /// Its port.
    pub port: u16,
}

/// A destination with its share.
#[derive(Debug, Clone)]
pub struct Backend {
    /// `Err` says why its share is answered with 500.
    pub target: Target,
    /// Relative to the sum over the rule.
    pub weight: u32,
    /// Its own, after the rule's.
    pub filters: Filters<Target>,
}

/// A condition on a request; all of it has to be true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpMatch {
    /// On the path without the query.
    pub path: PathMatch,
    /// Names in lower case, each once.
    pub headers: Vec<(String, TextMatch)>,
    /// Each name once.
    pub query: Vec<(String, TextMatch)>,
    /// In upper case.
    pub method: Option<String>,
    /// For gRPC: how many characters of the service are named, which decides between rules.
    pub service_length: usize,
}

impl Default for HttpMatch {
    /// Every request.
    fn default() -> Self {
        Self {
            path: PathMatch::Prefix("/".to_owned()),
            headers: Vec::new(),
            query: Vec::new(),
            method: None,
            service_length: 0,
        }
    }
}

/// On the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathMatch {
    /// All of it.
    Exact(String),
    /// Its first segments, with or without the last `/`.
    Prefix(String),
    /// All of it, by a regular expression.
    Regex(String),
}

/// On a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextMatch {
    /// All of it.
    Exact(String),
    /// All of it, by a regular expression.
    Regex(String),
}

/// What is done with requests and their answers. `R` says what backends are.
#[derive(Debug, Clone)]
pub struct Filters<R> {
    /// `RequestHeaderModifier`.
    pub request_headers: HeaderChanges,
    /// `ResponseHeaderModifier`.
    pub response_headers: HeaderChanges,
    /// `RequestRedirect`.
    pub redirect: Option<Redirect>,
    /// `URLRewrite`.
    pub rewrite: Option<Rewrite>,
    /// `RequestMirror`.
    pub mirrors: Vec<Mirror<R>>,
    /// `CORS`.
    pub cors: Option<Cors>,
    /// A filter that is not served: requests are answered with 500.
    pub refused: Option<String>,
}

impl<R> Default for Filters<R> {
    fn default() -> Self {
        Self {
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            redirect: None,
            rewrite: None,
            mirrors: Vec::new(),
            cors: None,
            refused: None,
        }
    }
}

impl<R> Filters<R> {
    /// The same with other backends.
    pub(crate) fn map<S>(&self, mut backend: impl FnMut(&R) -> S) -> Filters<S> {
        let mirror = |mirror: &Mirror<R>| Mirror {
            backend: backend(&mirror.backend),
            share: mirror.share,
        };
        Filters {
            request_headers: self.request_headers.clone(),
            response_headers: self.response_headers.clone(),
            redirect: self.redirect.clone(),
            rewrite: self.rewrite.clone(),
            mirrors: self.mirrors.iter().map(mirror).collect(),
            cors: self.cors.clone(),
            refused: self.refused.clone(),
        }
    }
}

/// Changes of headers: set, then add, then remove. Names are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Replace or add.
    pub set: Vec<(String, String)>,
    /// Add to what is there.
    pub add: Vec<(String, String)>,
    /// Take away.
    pub remove: Vec<String>,
}

/// `RequestRedirect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `None` keeps the request's.
    pub scheme: Option<Scheme>,
    /// `None` keeps the request's.
    pub hostname: Option<String>,
    /// `None` keeps the request's.
    pub path: Option<PathModifier>,
    /// `None` is the scheme's own if a scheme is given, else the listener's.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// `URLRewrite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// For `Host`.
    pub hostname: Option<String>,
    /// For the path.
    pub path: Option<PathModifier>,
}

/// A new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathModifier {
    /// In place of all of it.
    Full(String),
    /// In place of the prefix that matched.
    Prefix(String),
}

/// `RequestMirror`.
#[derive(Debug, Clone)]
pub struct Mirror<R> {
    /// Where copies go.
    pub backend: R,
    /// Of how many requests.
    pub share: Fraction,
}

/// `numerator` of `denominator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// 0 to the denominator.
    pub numerator: u32,
    /// At least 1.
    pub denominator: u32,
}

/// `CORS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// `*`, or `scheme://host[:port]` whose host may begin with `*.`.
    pub allow_origins: Vec<String>,
    /// `Access-Control-Allow-Credentials`.
    pub allow_credentials: bool,
    /// Or `*`.
    pub allow_methods: Vec<String>,
    /// Lower case, or `*`.
    pub allow_headers: Vec<String>,
    /// Lower case, or `*`.
    pub expose_headers: Vec<String>,
    /// At least 1; 5 where it is not written.
    pub max_age_s: u32,
}

/// `timeouts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For all tries together.
    pub request: Option<Duration>,
    /// For each try.
    pub backend_request: Option<Duration>,
    /// `request: 0s`: no limit is asked for.
    pub unlimited: bool,
}

/// `retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// 400 to 599.
    pub codes: Vec<u16>,
    /// Tries after the first.
    pub attempts: Option<u32>,
    /// At least this long between tries.
    pub backoff: Option<Duration>,
}

/// TLS towards a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTls {
    /// The policy.
    pub policy: Name,
    /// `None` is what the system trusts.
    pub ca: Option<Vec<CaReference>>,
    /// Server name, and what the certificate must be for unless there are alternative names.
    pub hostname: String,
    /// Any of these in place of the host name.
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectAltName {
    /// May begin with `*.`.
    Hostname(String),
    /// As it is.
    Uri(String),
}
