//! Settings of the dispatcher as flags, each with the reason for its default.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use dispatcher::{AccessLog, AccessLogFormat, Limits, Options};

use crate::quantity;

/// Flags that every serving command has.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Worker threads. Each has its own connections, so more than cores gains nothing [default: the cores
    /// that this process may use]
    #[arg(long, value_name = "N", help_heading = "Serving", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Address to listen on where a document names none; by default every IPv4 address, as Istio's gateways
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0.0.0.0",
        help_heading = "Serving"
    )]
    bind: IpAddr,
    /// Added to every listener's port, to try port 80 without privileges or to run side by side. Redirects of
    /// clients that named such a port lead to one that is moved as far
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Serving")]
    port_offset: u16,
    /// Log requests: `off`, `text` or `json`, to standard output or to a file as `json:/var/log/dalbi.log`
    #[arg(
        long,
        value_name = "FORMAT[:PATH]",
        default_value = "off",
        help_heading = "Serving"
    )]
    access_log: AccessLogFlag,
    /// Log one request of so many; failed ones are always logged
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Serving")]
    access_log_sample: u32,
    /// Add `x-dalbi-response-flags` to answers; off by default, since it tells strangers about the inside
    #[arg(long, help_heading = "Serving")]
    response_flags: bool,
    /// Where this dispatcher runs: endpoints elsewhere have a price (see BalancingPolicy). Not known by default,
    /// and then nothing has one
    #[arg(
        long,
        value_name = "REGION/ZONE/SUBZONE",
        env = "DALBI_LOCALITY",
        help_heading = "Serving"
    )]
    locality: Option<LocalityFlag>,
    /// Name server to ask for endpoints' names, instead of those of /etc/resolv.conf
    #[arg(long, value_name = "IP:PORT", help_heading = "Serving")]
    dns_server: Option<SocketAddr>,
    /// Name among other dispatchers, which decides about its part of very large lists of endpoints; by default
    /// one that nobody else has, and that does not survive a restart
    #[arg(
        long,
        value_name = "NAME",
        env = "DALBI_NODE_ID",
        help_heading = "Serving"
    )]
    node_id: Option<String>,

    /// Time for a request's head to arrive, and for a TLS handshake: enough for a phone on a bad network,
    /// too little to hold connections with
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = quantity::duration, help_heading = "Limits")]
    header_timeout: Duration,
    /// Time that a client's connection may be idle: longer than the 60 s of common load balancers before us,
    /// so that they close first and lose no request
    #[arg(long, value_name = "DURATION", default_value = "75s", value_parser = quantity::duration, help_heading = "Limits")]
    idle_timeout: Duration,
    /// Time that a request may go without a byte in either direction, as Envoy's `stream_idle_timeout`
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = quantity::duration, help_heading = "Limits")]
    stream_idle_timeout: Duration,
    /// Time that a TCP connection may go without a byte in either direction, as in Envoy
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = quantity::duration, help_heading = "Limits")]
    tcp_idle_timeout: Duration,
    /// Time that requests in flight have to end after SIGTERM: Kubernetes kills after 30 s
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = quantity::duration, help_heading = "Limits")]
    drain_timeout: Duration,
    /// Size of a request's or response's head; twice what HAProxy takes
    #[arg(long, value_name = "SIZE", default_value = "32KiB", value_parser = head_size, help_heading = "Limits")]
    max_header_bytes: usize,
    /// Header fields of a request or response, as Envoy and HAProxy
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000), help_heading = "Limits")]
    max_headers: u16,
    /// Clients' connections at a time, about 1.5 GiB of memory if all are busy; further ones are closed at once
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_connections: u32,
    /// Requests at a time on one HTTP/2 connection: the least that RFC 9113 recommends
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_concurrent_streams: u32,
}

impl ServeOptions {
    /// In the form that the dispatcher takes them.
    pub(crate) fn to_dispatcher(&self) -> Options {
        let defaults = Options::default();
        Options {
            workers: self.workers.map_or(defaults.workers, usize::from),
            bind: self.bind,
            port_offset: self.port_offset,
            dns_server: self.dns_server,
            limits: Limits {
                header_timeout: self.header_timeout,
                idle_timeout: self.idle_timeout,
                stream_idle_timeout: self.stream_idle_timeout,
                tcp_idle_timeout: self.tcp_idle_timeout,
                drain_timeout: self.drain_timeout,
                max_header_bytes: self.max_header_bytes,
                max_headers: self.max_headers.into(),
                max_connections: self.max_connections as usize,
                max_concurrent_streams: self.max_concurrent_streams,
            },
            response_flags: self.response_flags,
            access_log: AccessLog {
                format: self.access_log.format,
                path: self.access_log.path.clone(),
                sample: self.access_log_sample,
            },
            locality: self
                .locality
                .as_ref()
                .map_or(defaults.locality, |flag| flag.0.clone()),
            node_id: self.node_id.clone(),
        }
    }
}

/// A head of this size is held in memory per connection, so there is an end to what may be asked for.
fn head_size(text: &str) -> Result<usize, String> {
    let bytes = quantity::size_bytes(text).map_err(|error| error.to_string())?;
    match usize::try_from(bytes) {
        Ok(bytes @ 1024..=1_048_576) => Ok(bytes),
        _ => Err(format!("`{text}` is not between 1KiB and 1MiB")),
    }
}

/// A place of which at least the region is named.
#[derive(Debug, Clone)]
struct LocalityFlag(alba::Locality);

impl FromStr for LocalityFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let is_named = parts.iter().all(|part| !part.is_empty() && *part != "*");
        if !is_named || parts.len() > 3 {
            return Err(format!(
                "`{text}` is not a place: write REGION, REGION/ZONE or REGION/ZONE/SUBZONE"
            ));
        }
        Ok(Self(mesh::locality(text)))
    }
}

/// `off`, `text`, `json`, `text:PATH` or `json:PATH`.
#[derive(Debug, Clone)]
struct AccessLogFlag {
    format: Option<AccessLogFormat>,
    path: Option<PathBuf>,
}

impl FromStr for AccessLogFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once(':') {
            Some((format, path)) if !path.is_empty() => (format, Some(PathBuf::from(path))),
            Some(_) => return Err(format!("`{text}` names no file after `:`")),
            None => (text, None),
        };
        let format = match format {
            "off" if path.is_none() => None,
            "text" => Some(AccessLogFormat::Text),
            "json" => Some(AccessLogFormat::Json),
            _ => {
                return Err(format!(
                    "`{text}` is not an access log: write off, text, json, text:PATH or json:PATH"
                ));
            }
        };
        Ok(Self { format, path })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        serve: ServeOptions,
    }

    #[test]
    fn flags_default_to_what_the_dispatcher_documents() {
        let flags = Flags::parse_from(["test"]).serve.to_dispatcher();
        assert_eq!(
            format!("{:?}", flags.limits),
            format!("{:?}", Options::default().limits)
        );
        let defaults = Options::default();
        assert_eq!(
            (flags.workers, flags.bind, flags.port_offset),
            (defaults.workers, defaults.bind, defaults.port_offset)
        );
        assert_eq!(
            (flags.response_flags, flags.access_log.format),
            (defaults.response_flags, defaults.access_log.format)
        );
    }

    #[test]
    fn access_logs() {
        let flag: AccessLogFlag = "json:/tmp/a:b".parse().unwrap();
        assert_eq!(
            (flag.format, flag.path),
            (Some(AccessLogFormat::Json), Some("/tmp/a:b".into()))
        );
        assert_eq!("off".parse::<AccessLogFlag>().unwrap().format, None);
        for bad in ["", "xml", "off:/tmp/a", "json:"] {
            assert!(bad.parse::<AccessLogFlag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn places_name_their_region_first() {
        let flags = Flags::parse_from(["test", "--locality", "eu-west-1/eu-west-1a"]);
        let place = flags.serve.to_dispatcher().locality;
        assert_eq!(
            (
                place.region.as_str(),
                place.zone.as_str(),
                place.sub_zone.as_str()
            ),
            ("eu-west-1", "eu-west-1a", "")
        );
        for bad in ["", "/a", "eu//r", "*/a", "a/b/c/d"] {
            assert!(bad.parse::<LocalityFlag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn head_sizes_are_bounded() {
        assert_eq!(head_size("32KiB"), Ok(32 * 1024));
        assert!(head_size("10").is_err());
        assert!(head_size("2MiB").is_err());
    }
}
