//! The explanation for people.

use std::io::{self, Write};

use super::story::{DestinationStory, ForwardStory, HeaderStory, Outcome, RetryStory, Story};
use crate::describe;

impl Story {
    /// Writes it in the order in which the request is looked at.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{} {}", self.method, self.url)?;
        let tls = if self.listener.tls { ", TLS" } else { "" };
        writeln!(
            out,
            "  listener      {} (port {}{tls})",
            self.listener.name, self.listener.port
        )?;
        match &self.virtual_host {
            Some(host) => writeln!(
                out,
                "  virtual host  {} (found by {})",
                host.name, host.matched_by
            )?,
            None if !self.has_requests() => {}
            None => writeln!(
                out,
                "  virtual host  none: no document on this listener has the host"
            )?,
        }
        for rejected in &self.rejected {
            writeln!(
                out,
                "  not           {}  {}",
                rejected.rule.name, rejected.rule.source
            )?;
            for reason in &rejected.reasons {
                writeln!(out, "                  because {reason}")?;
            }
        }
        if let Some(rule) = &self.rule {
            writeln!(out, "  rule          {}  {}", rule.name, rule.source)?;
        }
        if let Some(fault) = &self.fault {
            writeln!(out, "  fault         {}", fault.words)?;
        }
        if let Some(cors) = &self.cors {
            writeln!(out, "  CORS          {cors}")?;
        }
        self.write_outcome(out)?;
        for mirror in &self.mirrors {
            let percent = describe::percent(mirror.percent);
            let cluster = &mirror.cluster;
            let nothing = if mirror.missing { "none: " } else { "" };
            writeln!(out, "  mirror        {percent} {nothing}{cluster}")?;
        }
        if !self.unenforced_policies.is_empty() {
            let policies = self.unenforced_policies.join(", ");
            writeln!(
                out,
                "  access        everybody: {policies} not enforced yet"
            )?;
        }
        Ok(())
    }

    fn has_requests(&self) -> bool {
        !matches!(
            self.outcome,
            Outcome::Connection(_) | Outcome::NoServer { .. }
        )
    }

    fn write_outcome(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.outcome {
            Outcome::Connection(connection) => {
                writeln!(out, "  bytes         go on {}", connection.how)?;
                for destination in &connection.destinations {
                    write_destination(destination, false, out)?;
                }
                Ok(())
            }
            Outcome::NoServer { server_name } => writeln!(
                out,
                "  answer        none: no server of this listener has the name {server_name}, so the handshake fails"
            ),
            Outcome::Forward(forward) => write_forward(forward, out),
            Outcome::Redirect { status, location } => {
                writeln!(out, "  answer        {status}, location: {location}")
            }
            Outcome::DirectResponse { status, body } => {
                let answer = describe::direct_response(*status, body.as_bytes());
                writeln!(out, "  answer        {answer}")
            }
            Outcome::Misdirected => writeln!(
                out,
                "  answer        421: another server of this listener has the host, and may ask for other certificates"
            ),
            Outcome::NotFound => writeln!(out, "  answer        404, response flag NR (no route)"),
        }
    }
}

fn write_forward(forward: &ForwardStory, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "  request       {} {}  host: {}",
        forward.method, forward.path_and_query, forward.authority
    )?;
    write_headers("request", &forward.request_headers, out)?;
    write_headers("response", &forward.response_headers, out)?;
    match forward.timeout_ms {
        Some(timeout_ms) => writeln!(out, "  timeout       {timeout_ms} ms")?,
        None => writeln!(out, "  timeout       none")?,
    }
    write_retries(&forward.retries, out)?;
    for destination in &forward.destinations {
        write_destination(destination, true, out)?;
    }
    Ok(())
}

fn write_headers(of: &str, headers: &HeaderStory, out: &mut impl Write) -> io::Result<()> {
    for name in &headers.remove {
        writeln!(out, "                  {of} header removed: {name}")?;
    }
    for (name, value) in &headers.set {
        writeln!(out, "                  {of} header set: {name}: {value}")?;
    }
    for (name, value) in &headers.add {
        writeln!(out, "                  {of} header added: {name}: {value}")?;
    }
    Ok(())
}

fn write_retries(retries: &RetryStory, out: &mut impl Write) -> io::Result<()> {
    if retries.attempts == 0 {
        return writeln!(out, "  retries       none");
    }
    write!(
        out,
        "  retries       {} on {}",
        retries.attempts,
        retries.on.join(",")
    )?;
    if let Some(per_try_ms) = retries.per_try_timeout_ms {
        write!(out, ", {per_try_ms} ms per try")?;
    }
    writeln!(out)
}

/// A destination of requests, or of connections.
fn write_destination(
    destination: &DestinationStory,
    of_requests: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let percent = describe::percent(destination.share * 100.0);
    if destination.missing {
        let missing = &destination.cluster;
        let status = destination.status.unwrap_or(503);
        return match of_requests {
            true => writeln!(
                out,
                "  cluster       {percent} none: {missing}; answered with {status}, response flag NC"
            ),
            false => writeln!(
                out,
                "  cluster       {percent} none: {missing}; connections are closed"
            ),
        };
    }
    let tls = if destination.tls { " over TLS" } else { "" };
    let protocol = match of_requests {
        true => destination.protocol.unwrap_or_default(),
        false => "TCP",
    };
    let balancing = destination.balancing.as_deref().unwrap_or_default();
    writeln!(
        out,
        "  cluster       {percent} {} ({protocol}{tls}, {balancing})",
        destination.cluster
    )?;
    write_headers("request", &destination.request_headers, out)?;
    write_headers("response", &destination.response_headers, out)?;
    for (what, value) in &destination.filters {
        writeln!(out, "                  {what}: {value}")?;
    }
    if let Some(detection) = &destination.outlier_detection {
        writeln!(out, "                  ejects {detection}")?;
    }
    for endpoint in &destination.endpoints {
        writeln!(
            out,
            "                  {} weight {}",
            endpoint.address, endpoint.weight
        )?;
    }
    if destination.endpoints.is_empty() {
        let then = match of_requests {
            true => "answered with 503, response flag UH",
            false => "connections are closed",
        };
        writeln!(out, "                  no endpoints: {then}")?;
    }
    Ok(())
}
