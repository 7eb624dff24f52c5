//! `dalbi upstream`

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use dalbi_load::Format;
use http::StatusCode;

use crate::cli::Verdict;
use crate::quantity;
use crate::signals::Signals;
use crate::upstream::{
    self, Antagonist, Behaviour, Distribution, Listener, Slowness, Upstream, WarmUp,
};

const EXAMPLES: &str = "\
Examples:
  dalbi upstream --listen 127.0.0.1:9001 --name reviews-v1
  dalbi upstream --listen 127.0.0.1:9001 --latency exp:10ms --concurrency 8 --queue 100
  dalbi upstream --listen 127.0.0.1:9443 --tls-cert server.pem --tls-key server-key.pem
  dalbi upstream --latency exp:20ms --concurrency 4 --slow 2x --antagonist 10s:0.3:3x
  curl 'http://127.0.0.1:9001/any/path?status=503&delay=20ms'

A request can ask for more, in its query or (as gRPC has none) in an `x-upstream` header:
  status=503        answer with this status
  delay=20ms        take this long instead of --latency
  size=100KiB       answer with filler of this size
  echo=body         stream the request's body back
  header=NAME:VALUE add a header to the answer
  hang              never answer
  abort=head        break the connection before the answer's head
  abort=1KiB        break the connection after this much of the answer's body
  grpc-status=14    end a gRPC call with this status

GET /healthz says 200, or 503 after `POST /healthz?healthy=false`. WebSocket messages and gRPC \
messages come back as they are. Every answer has `x-upstream-name` and `x-upstream-port`, and says in \
`endpoint-load-metrics` (ORCA) how busy the server is; GET /dalbi/load answers with nothing else, at once.";

/// `dalbi upstream`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Address to listen on; may be given several times. Port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: Vec<SocketAddr>,
    /// Name that answers carry
    #[arg(long, default_value = "upstream")]
    name: String,
    /// Time one request takes: `5ms`, `exp:MEAN`, `normal:MEAN,DEVIATION`, `pareto:MINIMUM,SHAPE` or
    /// `uniform:FROM,TO`
    #[arg(long, value_name = "DISTRIBUTION", default_value = "0")]
    latency: Distribution,
    /// Takes so many times as long as --latency says, always
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = upstream::factor)]
    slow: f64,
    /// Somebody else uses the machine in random spells: how long one is, in which share of them, and how many
    /// times as long everything takes then, such as `10s:0.3:3x`
    #[arg(long, value_name = "SPELL:SHARE:FACTOR")]
    antagonist: Option<Antagonist>,
    /// Begins cold: for how long, and how many times as long requests take at first, such as `30s:3x`
    #[arg(long, value_name = "TIME:FACTOR")]
    warm_up: Option<WarmUp>,
    /// Reads nothing from a new connection for this long
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = quantity::duration)]
    connect_delay: Duration,
    /// Requests worked on at once; further ones wait in order [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Requests that may wait; further ones get 503 [default: no limit]
    #[arg(long, value_name = "N", requires = "concurrency")]
    queue: Option<u32>,
    /// Share of requests that fail at once, and with which status: `0.02`, `2%` or `0.02:500`
    #[arg(long, value_name = "SHARE[:STATUS]", default_value = "0")]
    error_rate: ErrorRate,
    /// Share of requests that are never answered and keep their place
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = quantity::share)]
    hang_rate: f64,
    /// Answer with this much filler instead of the echo
    #[arg(long, value_name = "SIZE", value_parser = quantity::size_bytes)]
    body_size: Option<u64>,
    /// How answers say how busy the server is, in the header or trailer `endpoint-load-metrics`
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    report: Report,
    /// Asks for no further requests after this time, in what it reports
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    drain_after: Option<Duration>,
    /// Seed of every random draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// PEM certificate chain: serve TLS, offering h2 and HTTP/1.1
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// How load is reported.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Report {
    /// Not at all, as servers do that know nothing of load balancers
    None,
    Text,
    Json,
    /// Protobuf in base64
    Bin,
}

impl Report {
    fn format(self) -> Option<Format> {
        match self {
            Self::None => None,
            Self::Text => Some(Format::Text),
            Self::Json => Some(Format::Json),
            Self::Bin => Some(Format::Bin),
        }
    }
}

/// A share of requests that fail, and the status they fail with.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ErrorRate {
    share: f64,
    status: StatusCode,
}

impl std::str::FromStr for ErrorRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, status) = text.split_once(':').unwrap_or((text, "503"));
        let share = quantity::share(share).map_err(|error| error.to_string())?;
        let status = status
            .parse::<StatusCode>()
            .ok()
            .filter(|status| !status.is_informational());
        Ok(Self {
            share,
            status: status
                .ok_or_else(|| format!("`{text}` has no status from 200 to 999 after `:`"))?,
        })
    }
}

impl Arguments {
    fn behaviour(&self) -> Behaviour {
        Behaviour {
            name: self.name.clone(),
            latency: self.latency,
            slowness: Slowness {
                factor: self.slow,
                antagonist: self.antagonist,
                warm_up: self.warm_up,
                seed: self.seed,
            },
            connect_delay: self.connect_delay,
            concurrency: self.concurrency.map(|slots| slots as usize),
            queue: self.queue.map(|places| places as usize),
            error_rate: self.error_rate.share,
            error_status: self.error_rate.status,
            hang_rate: self.hang_rate,
            body_bytes: self.body_size,
            report: self.report.format(),
            seed: self.seed,
        }
    }
}

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(serve(arguments))?;
    Ok(Verdict::Good)
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(upstream::tls_acceptor(certificate, key)?),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut signals = Signals::stop_only()?;
    let upstream = Arc::new(Upstream::new(arguments.behaviour()));
    let mut listeners = Vec::new();
    for &address in &arguments.listen {
        listeners.push(Listener::bind(address).await.with_context(|| {
            format!("listen on {address} (port 0 with --listen takes a free one)")
        })?);
    }
    let mut stdout = io::stdout();
    for listener in listeners {
        // Tests and scripts read these lines, also for the port that was chosen.
        writeln!(
            stdout,
            "upstream {} listening on {scheme}://{}",
            arguments.name, listener.address
        )?;
        tokio::spawn(upstream::serve(
            listener,
            Arc::clone(&upstream),
            tls.clone(),
        ));
    }
    stdout.flush()?;
    if let Some(time) = arguments.drain_after {
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            upstream.drain();
        });
    }
    // A test server ends at once, as a crashed one would.
    signals.stopped().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_rates() {
        let parsed: ErrorRate = "2%".parse().unwrap();
        assert_eq!(
            parsed,
            ErrorRate {
                share: 0.02,
                status: StatusCode::SERVICE_UNAVAILABLE
            }
        );
        let parsed: ErrorRate = "0.5:500".parse().unwrap();
        assert_eq!(
            parsed,
            ErrorRate {
                share: 0.5,
                status: StatusCode::INTERNAL_SERVER_ERROR
            }
        );
        assert!(
            "2".parse::<ErrorRate>()
                .unwrap_err()
                .contains("is not a share")
        );
        assert!(
            "0.5:teapot"
                .parse::<ErrorRate>()
                .unwrap_err()
                .contains("no status")
        );
    }
}
