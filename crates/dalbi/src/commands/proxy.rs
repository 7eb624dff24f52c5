//! `dalbi proxy`

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use dispatcher::{Dispatcher, Inherited};
use engine::admin::Access;
use mesh::ListenerKind;

use crate::cli::{UsageError, Verdict};
use crate::documents::{Proxy, Target};
use crate::serve::{self, AdminAddress, ServeOptions};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  dalbi proxy --from :8080 --to 127.0.0.1:9001 --to 127.0.0.1:9002
  dalbi proxy --from 127.0.0.1:8080 --to https://app.example --health-check /healthz
  dalbi proxy --from :8080 --to 127.0.0.1:9001 --print > documents/proxy.yaml";

/// `dalbi proxy`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where clients connect: `:PORT` for every address of this machine, or ADDRESS:PORT
    #[arg(long, value_name = "ADDR")]
    from: FromAddress,
    /// A server: HOST:PORT, http://HOST:PORT, https://HOST or https://HOST:PORT; give one for each
    #[arg(long, value_name = "SERVER", required = true)]
    to: Vec<Target>,
    /// How a server is chosen for each request [default: DALBI's own choice]
    #[arg(long, value_enum)]
    policy: Option<Policy>,
    /// Leave out servers that do not answer a GET of this path with 200
    #[arg(long, value_name = "PATH", value_parser = health_path)]
    health_check: Option<String>,
    /// Speak HTTP/2 to the servers (gRPC needs it)
    #[arg(long)]
    http2: bool,
    /// Print the documents that this stands for instead of serving them
    #[arg(long)]
    print: bool,
    /// Address of the admin server, or `off`
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "off",
        help_heading = "Serving"
    )]
    admin: AdminAddress,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Policy {
    /// One after the other
    RoundRobin,
    /// The one with fewer requests in flight, of two drawn
    LeastRequest,
    /// Any
    Random,
}

impl Policy {
    /// As Istio's `loadBalancer.simple` has it.
    fn istio_name(self) -> &'static str {
        match self {
            Self::RoundRobin => "ROUND_ROBIN",
            Self::LeastRequest => "LEAST_REQUEST",
            Self::Random => "RANDOM",
        }
    }
}

/// `:8080` or an address with a port.
#[derive(Debug, Clone, Copy)]
struct FromAddress(SocketAddr);

impl FromStr for FromAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.strip_prefix(':') {
            Some(port) => port
                .parse()
                .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
                .ok(),
            None => text.parse().ok(),
        };
        let address = address.filter(|address| address.port() > 0);
        Ok(Self(address.ok_or_else(|| {
            format!("`{text}` is not an address; write :8080 or 127.0.0.1:8080")
        })?))
    }
}

fn health_path(text: &str) -> Result<String, String> {
    let good = text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
    good.then(|| text.to_owned())
        .ok_or_else(|| format!("`{text}` is not a path such as /healthz"))
}

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    if arguments
        .to
        .iter()
        .any(|target| target.tls != arguments.to[0].tls)
    {
        let mixed = anyhow::anyhow!(
            "--to mixes https:// with plain servers; a service is one or the other"
        );
        return Err(UsageError(mixed).into());
    }
    let documents = Proxy {
        from: arguments.from.0,
        to: arguments.to.clone(),
        policy: arguments.policy.map(Policy::istio_name),
        health_check: arguments.health_check.clone(),
        http2: arguments.http2,
    }
    .documents();
    if arguments.print {
        io::stdout().write_all(documents.as_bytes())?;
        return Ok(Verdict::Good);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(serve(arguments, documents))
}

async fn serve(arguments: &Arguments, documents: String) -> anyhow::Result<Verdict> {
    let mut signals = Signals::stop_only()?;
    let mut mesh = serve::own_documents("dalbi proxy", documents)?;
    // A proxy is what was asked for: no further port is taken.
    mesh.listeners
        .retain(|listener| listener.kind == ListenerKind::Gateway);
    let admin = arguments.admin.0;
    let admin = admin
        .map(|address| serve::admin_socket(address, &mut Vec::new()))
        .transpose()?;
    let options = arguments.serve.to_dispatcher();
    let dispatcher = Dispatcher::start(options, Arc::new(mesh), "", Inherited::default())?;
    let admin = serve::admin(&dispatcher, admin, Access::default(), None)?;
    serve::announce(&dispatcher, admin.as_ref())?;
    signals.stopped().await;
    serve::drain(dispatcher, &mut signals).await?;
    if let Some(admin) = admin {
        admin.stop();
    }
    Ok(Verdict::Good)
}
