//! dalbi: one worker, Istio documents, everything else as shipped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::http_client;
use crate::load::HOST;

use super::{Bench, Peer, RunningPeer, Site, text_of, version_after, version_of};

/// Ports of the documents; `--port-offset` moves them to free ones.
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;
/// The mesh listener, which is moved as well.
const MESH: u16 = 15001;

/// Starts dalbi as `peer` on a folder with one file, whose text `documents` gives.
pub(crate) fn start(
    bench: &mut Bench,
    peer: Peer,
    documents: impl FnOnce(&Site) -> String,
) -> Result<RunningPeer> {
    let binary = find(bench.binaries.dalbi.as_deref())?;
    let version = version(&binary)?;
    let offset = bench.ports.free_offset(&[HTTP, HTTPS, MESH])?;
    let mut site = bench.site(peer)?;
    (site.http, site.h2c, site.https) = (HTTP + offset, HTTP + offset, HTTPS + offset);
    let folder = site.folder.join("documents");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    site.write("documents/bench.yaml", &documents(&site))?;
    let admin = bench.ports.free()?;
    let command = [
        text_of(&binary),
        "run".to_owned(),
        text_of(&folder),
        "--workers=1".to_owned(),
        "--bind=127.0.0.1".to_owned(),
        format!("--port-offset={offset}"),
        format!("--admin=127.0.0.1:{admin}"),
        format!("--state={}", text_of(&site.folder.join("state"))),
    ];
    let mut running = bench.launch(peer, version, &site, &command)?;
    running
        .process
        .wait_until(|| http_client::get(admin, "/ready").is_ok())?;
    running.admin = Some(admin);
    Ok(running)
}

/// The given binary, or the one built beside this program, or the release build.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let this = std::env::current_exe().context("finding this program's own path")?;
    let candidates = [
        this.with_file_name("dalbi"),
        PathBuf::from("target/release/dalbi"),
    ];
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!(
            "no dalbi found; build it with `cargo build --release -p dalbi` or name one with --dalbi"
        ),
    }
}

/// What the binary says of itself.
pub(crate) fn version(binary: &Path) -> Result<String> {
    version_of(binary, "--version", version_in)
}

pub(super) fn version_in(output: &str) -> Option<&str> {
    version_after(output, "dalbi ")
}

/// The documents of the side-by-side runs: a gateway, a route by host and path, two endpoints.
pub(super) fn documents(site: &Site) -> String {
    base(site).join(SEPARATOR)
}

/// The same with round robin, to see what ALBA costs.
pub(super) fn round_robin_documents(site: &Site) -> String {
    let mut documents = base(site);
    documents.push(algorithm("ROUND_ROBIN"));
    documents.join(SEPARATOR)
}

/// A rule that makes the application use an algorithm of Istio's.
pub(crate) fn algorithm(simple: &str) -> String {
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {APPLICATION}
  namespace: bench
spec:
  host: {APPLICATION}.bench.internal
  trafficPolicy:
    loadBalancer: {{simple: {simple}}}
"
    )
}

/// Stands between two documents of a file.
pub(crate) const SEPARATOR: &str = "---\n";

/// What every run needs: the gateway, and `HOST` with the two upstreams behind it.
pub(crate) fn base(site: &Site) -> Vec<String> {
    let endpoints = site.upstreams.map(|port| ("127.0.0.1".to_owned(), port));
    vec![
        gateway(site),
        virtual_service("bench", APPLICATION, &[HOST]),
        service_entry(APPLICATION, &endpoints),
    ]
}

/// The service whose endpoints are the two upstreams.
pub(crate) const APPLICATION: &str = "application";

/// A gateway with a plain and a TLS port.
pub(crate) fn gateway(site: &Site) -> String {
    let (certificate, key) = (
        site.certificate.certificate.display(),
        site.certificate.key.display(),
    );
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: public
  namespace: bench
spec:
  selector:
    istio: ingressgateway
  servers:
  - port: {{number: {HTTP}, name: http, protocol: HTTP}}
    hosts: [\"*\"]
  - port: {{number: {HTTPS}, name: https, protocol: HTTPS}}
    hosts: [\"*\"]
    tls:
      mode: SIMPLE
      serverCertificate: {certificate}
      privateKey: {key}
      minProtocolVersion: TLSV1_3
"
    )
}

/// A virtual service that sends all of `hosts` to `service`.
pub(crate) fn virtual_service(name: &str, service: &str, hosts: &[impl AsRef<str>]) -> String {
    let hosts: String = hosts
        .iter()
        .map(|host| format!("  - {}\n", host.as_ref()))
        .collect();
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name}
  namespace: bench
spec:
  hosts:
{hosts}\
\x20 gateways:
  - public
  http:
  - match:
    - uri: {{prefix: /}}
    route:
    - destination:
        host: {service}.bench.internal
        port: {{number: 80}}
"
    )
}

/// The service `name` with its endpoints, each an address and a port.
pub(crate) fn service_entry(name: &str, endpoints: &[(String, u16)]) -> String {
    let endpoints: String = endpoints
        .iter()
        .map(|(address, port)| format!("  - address: {address}\n    ports: {{http: {port}}}\n"))
        .collect();
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: {name}
  namespace: bench
spec:
  hosts:
  - {name}.bench.internal
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {{number: 80, name: http, protocol: HTTP}}
  endpoints:
{endpoints}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_indented_under_their_field() {
        let text = virtual_service("name", "service", &["a.test", "b.test"]);
        assert!(
            text.contains("\n  hosts:\n  - a.test\n  - b.test\n  gateways:\n  - public\n"),
            "{text}"
        );
        let text = service_entry("name", &[("127.0.0.1".to_owned(), 80)]);
        assert!(
            text.ends_with("\n  endpoints:\n  - address: 127.0.0.1\n    ports: {http: 80}\n"),
            "{text}"
        );
    }
}
