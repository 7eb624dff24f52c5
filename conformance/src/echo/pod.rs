//! A Deployment's pod: which ports it has and what it speaks on them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::http::{Socket, Tls, Versions};
use super::retries::Retries;
use super::{Log, grpc, http, tcp};
use crate::certificates::Certificates;

/// What a container does on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http(Versions),
    Grpc,
    Tcp,
}

/// What a Deployment says of its pods.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) namespace: String,
    /// The Deployment's name.
    pub(crate) name: String,
    pub(crate) labels: HashMap<String, String>,
    server: Server,
    /// The Secret of its TLS ports, as `namespace/name`.
    secret: Option<String>,
    /// The ConfigMap with the authority of client certificates, which it then asks for.
    client_authority: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// HTTP on 3000, h2c on 3001, HTTPS on 8443.
    Basic,
    /// gRPC on 3000 and 8443.
    Grpc,
    /// Lines on 3000 and 8443.
    Tcp,
    /// The mesh's: HTTP on 8080, gRPC on 7070, lines on 9090.
    Advanced,
}

impl Template {
    /// Reads a Deployment; nothing if its image is none of the echoes.
    pub(crate) fn of(deployment: &Value) -> Result<Option<Self>> {
        let text = |value: &Value, what: &str| {
            value
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("a Deployment without {what}"))
        };
        let namespace = deployment["metadata"]["namespace"].as_str();
        let namespace = namespace.unwrap_or("default").to_owned();
        let name = text(&deployment["metadata"]["name"], "name")?;
        let pod = &deployment["spec"]["template"];
        let container = &pod["spec"]["containers"][0];
        let image = container["image"].as_str().unwrap_or_default();
        let has = |name: &str| {
            let variables = container["env"].as_array();
            variables.is_some_and(|all| all.iter().any(|one| one["name"] == name))
        };
        let server = match image {
            _ if image.contains("/echo-advanced:") => Server::Advanced,
            _ if image.contains("/tcp-echo-server:") => Server::Tcp,
            // Of Istio's samples; whatever they answer is not looked at.
            _ if image.contains("/go-httpbin:") || image.contains("/examples-helloworld") => {
                Server::Basic
            }
            _ if !image.contains("/echo-basic:") => return Ok(None),
            _ if has("GRPC_ECHO_SERVER") => Server::Grpc,
            _ if has("TCP_ECHO_SERVER") => Server::Tcp,
            _ => Server::Basic,
        };
        let labels = pod["metadata"]["labels"]
            .as_object()
            .context("a pod without labels")?;
        let labels = labels
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let volumes = pod["spec"]["volumes"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let volume = |kind: &str, field: &str| {
            let name = volumes
                .iter()
                .find_map(|volume| volume[kind][field].as_str());
            name.map(|name| format!("{namespace}/{name}"))
        };
        let authority = volume("configMap", "name").filter(|_| has("TLS_CLIENT_CACERTS"));
        Ok(Some(Self {
            labels: labels.collect(),
            server,
            secret: volume("secret", "secretName"),
            client_authority: authority,
            namespace,
            name,
        }))
    }

    /// Whether a Service's selector means it.
    pub(crate) fn matches(&self, namespace: &str, selector: &Value) -> bool {
        let Some(selector) = selector.as_object() else {
            return false;
        };
        let same = |(key, value): (&String, &Value)| {
            self.labels.get(key).map(String::as_str) == value.as_str()
        };
        namespace == self.namespace && !selector.is_empty() && selector.iter().all(same)
    }

    /// What it speaks on a container's port, and whether within TLS.
    fn port(&self, port: u16) -> Result<(Speaks, bool)> {
        Ok(match (self.server, port) {
            (Server::Basic, 3001) => (Speaks::Http(Versions::Two), false),
            (Server::Basic, 8443) => (Speaks::Http(Versions::Both), true),
            (Server::Basic, _) => (Speaks::Http(Versions::One), false),
            (Server::Grpc, port) => (Speaks::Grpc, port == 8443),
            (Server::Tcp, port) => (Speaks::Tcp, port == 8443),
            (Server::Advanced, 8080) => (Speaks::Http(Versions::Both), false),
            (Server::Advanced, 7070) => (Speaks::Grpc, false),
            (Server::Advanced, 9090) => (Speaks::Tcp, false),
            (Server::Advanced, 8443) => bail!("no case asks for the mesh's TLS port"),
            (Server::Advanced, port) => bail!("the mesh's echo has no port {port}"),
        })
    }
}

/// One running pod.
#[derive(Debug)]
pub(crate) struct Pod {
    template: Template,
    /// As a ReplicaSet names it: the Deployment's name, a hash, a random part.
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(super) log: Arc<Log>,
    pub(super) retries: Retries,
    certificates: Arc<Certificates>,
    /// Container ports that were asked for, and where they are.
    ports: Mutex<HashMap<u16, SocketAddr>>,
}

impl Pod {
    /// It listens as soon as a port is asked for.
    pub(crate) fn new(
        template: Template,
        log: Arc<Log>,
        certificates: Arc<Certificates>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: format!("{}-7d4b9c6f5-x2k8p", template.name),
            namespace: template.namespace.clone(),
            log,
            retries: Retries::default(),
            certificates,
            ports: Mutex::default(),
            template,
        })
    }

    /// What it was made from.
    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// As the cluster would have it: slices name it, and its labels make it part of subsets.
    pub(crate) fn document(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.template.labels},
            "spec": {"containers": []},
        })
    }

    /// Where a container's port is to be found; nothing if it speaks nothing there that a case needs.
    pub(crate) async fn address(self: &Arc<Self>, port: u16) -> Result<Option<SocketAddr>> {
        let known = self
            .ports
            .lock()
            .expect("nothing panics meanwhile")
            .get(&port)
            .copied();
        if known.is_some() {
            return Ok(known);
        }
        let Ok((speaks, within_tls)) = self.template.port(port) else {
            return Ok(None);
        };
        let Some(acceptor) = (match within_tls {
            true => self.acceptor(speaks)?.map(Some),
            false => Some(None),
        }) else {
            return Ok(None);
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("listen for an echo")?;
        let address = listener.local_addr().context("a listener's address")?;
        self.ports
            .lock()
            .expect("nothing panics meanwhile")
            .insert(port, address);
        tokio::spawn(accept(Arc::clone(self), listener, speaks, acceptor));
        Ok(Some(address))
    }

    /// Nothing if the Deployment mounts no certificate.
    fn acceptor(&self, speaks: Speaks) -> Result<Option<TlsAcceptor>> {
        let Some(secret) = &self.template.secret else {
            return Ok(None);
        };
        let pair = self.certificates.pair(secret)?;
        let builder = ServerConfig::builder();
        let builder = match &self.template.client_authority {
            Some(name) => {
                let mut roots = RootCertStore::empty();
                let pem = self.certificates.authority_pem(name)?;
                roots.add(crate::certificates::der(pem))?;
                let verifier =
                    WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
                builder.with_client_cert_verifier(verifier.build()?)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(vec![pair.der()], pair.key_der())?;
        config.alpn_protocols = match speaks {
            Speaks::Http(_) => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Speaks::Grpc => vec![b"h2".to_vec()],
            Speaks::Tcp => Vec::new(),
        };
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

async fn accept(pod: Arc<Pod>, listener: TcpListener, speaks: Speaks, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(Arc::clone(&pod), stream, speaks, tls.clone()));
    }
}

async fn connection(
    pod: Arc<Pod>,
    stream: TcpStream,
    speaks: Speaks,
    acceptor: Option<TlsAcceptor>,
) {
    let (Ok(()), Ok(socket)) = (stream.set_nodelay(true), Socket::of(&stream)) else {
        return;
    };
    let Some(acceptor) = acceptor else {
        return match speaks {
            Speaks::Http(versions) => http::serve(pod, stream, socket, None, versions).await,
            Speaks::Grpc => grpc::serve(pod, stream, None).await,
            Speaks::Tcp => tcp::serve(pod, stream, None).await,
        };
    };
    // A handshake that fails is the client's to report.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let (_, session) = stream.get_ref();
    let alpn = session.alpn_protocol().unwrap_or_default();
    let peers = session.peer_certificates().unwrap_or_default();
    let tls = Tls {
        server_name: session.server_name().unwrap_or_default().to_owned(),
        alpn: String::from_utf8_lossy(alpn).into_owned(),
        peer_certificates: peers.iter().map(crate::certificates::fingerprint).collect(),
    };
    match speaks {
        Speaks::Http(versions) => http::serve(pod, stream, socket, Some(tls), versions).await,
        Speaks::Grpc => grpc::serve(pod, stream, Some(tls)).await,
        Speaks::Tcp => tcp::serve(pod, stream, Some(tls)).await,
    }
}
