//! One plain HTTP/1.1 request at a time, for asking a server whether it is up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::HOST;

/// The body of a 200 answer to `GET path` on 127.0.0.1; every other answer is an error.
pub(crate) fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    const LIMIT: Duration = Duration::from_secs(5);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("connect to {address}"))?;
    stream
        .set_read_timeout(Some(LIMIT))
        .context("setting the read timeout")?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    )
    .with_context(|| format!("write to {address}"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("read from {address}"))?;
    body_of(&answer).with_context(|| format!("GET {path} from {address}"))
}

fn body_of(answer: &[u8]) -> Result<Vec<u8>> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n").context("no end of the head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        bail!("answered `{}`", head.lines().next().unwrap_or_default());
    }
    let body = &answer[end + 4..];
    if head.contains("transfer-encoding: chunked") {
        dechunk(body)
    } else {
        Ok(body.to_vec())
    }
}

fn dechunk(mut chunked: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(chunked, b"\r\n").context("chunk without a size line")?;
        let size = std::str::from_utf8(&chunked[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .context("chunk size is not a number")?;
        if size == 0 {
            return Ok(body);
        }
        let rest = &chunked[end + 2..];
        body.extend_from_slice(rest.get(..size).context("chunk ends early")?);
        chunked = rest.get(size + 2..).context("chunk ends early")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_unwrapped() {
        assert_eq!(
            body_of(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello").unwrap(),
            b"hello"
        );
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(body_of(chunked).unwrap(), b"hello");
    }

    #[test]
    fn other_statuses_are_errors() {
        assert!(body_of(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(body_of(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
