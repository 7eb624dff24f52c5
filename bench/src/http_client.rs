//! One plain HTTP/1.1 request at a time, for asking a server whether it is up and telling it what to do.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::HOST;

/// For an answer: far longer than any takes, even of a large configuration on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The body of a 200 answer to `GET path` on 127.0.0.1; every other answer is an error.
pub(crate) fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let (status, body) = send(port, "GET", path, "", b"")?;
    if status != 200 {
        bail!("GET {path} from port {port} was answered with {status}");
    }
    Ok(body)
}

/// Status and body of the answer to a request to 127.0.0.1. `fields` are further header lines, each with its end.
pub(crate) fn send(
    port: u16,
    method: &str,
    path: &str,
    fields: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("connect to {address}"))?;
    stream
        .set_read_timeout(Some(LIMIT))
        .context("setting the read timeout")?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .with_context(|| format!("write to {address}"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("read from {address}"))?;
    parse(&answer).with_context(|| format!("{method} {path} from {address}"))
}

fn parse(answer: &[u8]) -> Result<(u16, Vec<u8>)> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n").context("no end of the head")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let first = head.lines().next().unwrap_or_default();
    let status = first
        .strip_prefix("http/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let Some(status) = status else {
        bail!("answered `{first}`");
    };
    let body = &answer[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") {
        dechunk(body)?
    } else {
        body.to_vec()
    };
    Ok((status, body))
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
            parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello").unwrap(),
            (200, b"hello".to_vec())
        );
        let chunked =
            b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), (503, b"hello".to_vec()));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(parse(b"SSH-2.0-server\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 2\r\n\r\n").is_err());
    }
}
