//! The explanation for people.

use std::io::{self, Write};

use super::story::{DestinationStory, ForwardStory, HeaderStory, Outcome, RetryStory, Story};

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
        match &self.outcome {
            Outcome::Forward(forward) => write_forward(forward, out),
            Outcome::Redirect { status, location } => {
                writeln!(out, "  answer        {status}, location: {location}")
            }
            Outcome::DirectResponse { status, body } => {
                writeln!(
                    out,
                    "  answer        {status}, {} bytes: {}",
                    body.len(),
                    shortened(body)
                )
            }
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
        write_destination(destination, out)?;
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

fn write_destination(destination: &DestinationStory, out: &mut impl Write) -> io::Result<()> {
    let percent = destination.share * 100.0;
    if destination.missing {
        let missing = &destination.cluster;
        writeln!(
            out,
            "  cluster       {percent:.0}% none: {missing}; answered with 503, response flag NC"
        )?;
        return Ok(());
    }
    let tls = if destination.tls { " over TLS" } else { "" };
    let protocol = destination.protocol.unwrap_or_default();
    let balancing = destination.balancing.as_deref().unwrap_or_default();
    writeln!(
        out,
        "  cluster       {percent:.0}% {} ({protocol}{tls}, {balancing})",
        destination.cluster
    )?;
    write_headers("request", &destination.request_headers, out)?;
    write_headers("response", &destination.response_headers, out)?;
    for endpoint in &destination.endpoints {
        writeln!(
            out,
            "                  {} weight {}",
            endpoint.address, endpoint.weight
        )?;
    }
    if destination.endpoints.is_empty() {
        writeln!(
            out,
            "                  no endpoints: answered with 503, response flag UH"
        )?;
    }
    Ok(())
}

/// The beginning of a body, on one line.
fn shortened(body: &str) -> String {
    const SHOWN_CHARACTERS: usize = 60;
    let mut shown: String = body.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < body.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
