//! Client connections that have had one answer and now only wait.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::HOST;

/// Open keep-alive connections; closed when dropped.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    streams: Vec<TcpStream>,
}

impl IdleConnections {
    /// Opens `count` connections to a port of 127.0.0.1, and has each of them answered once: a
    /// connection that never asked anything is not what a browser leaves behind.
    pub(crate) fn open(port: u16, count: usize) -> Result<Self> {
        let request = format!("GET /1k HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let mut streams = Vec::with_capacity(count);
        let mut answer = vec![0; 16 * 1024];
        for number in 0..count {
            let stream = ask(port, request.as_bytes(), &mut answer)
                .with_context(|| format!("idle connection {number} of {count}"))?;
            streams.push(stream);
        }
        Ok(Self { streams })
    }

    /// How many of them the proxy has closed.
    pub(crate) fn closed(&self) -> usize {
        self.streams
            .iter()
            .filter(|stream| {
                let waits = stream
                    .peek(&mut [0])
                    .is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
                !waits
            })
            .count()
    }
}

fn ask(port: u16, request: &[u8], answer: &mut [u8]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .context("setting the read timeout")?;
    stream.write_all(request).context("asking")?;
    let mut length = 0;
    while !is_complete(&answer[..length]) {
        let room = answer.get_mut(length..).filter(|room| !room.is_empty());
        let count = stream
            .read(room.context("answer over 16 KiB")?)
            .context("reading")?;
        anyhow::ensure!(count > 0, "closed in the middle of the answer");
        length += count;
    }
    stream
        .set_nonblocking(true)
        .context("making the connection non-blocking")?;
    Ok(stream)
}

/// The upstream's answer has 1,024 bytes of `x`, chunked or not.
fn is_complete(answer: &[u8]) -> bool {
    memchr::memmem::find(answer, b"\r\n\r\n")
        .is_some_and(|end| memchr::memchr_iter(b'x', &answer[end..]).count() == 1024)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn closed_connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let serve = || {
                let (mut stream, _) = listener.accept().unwrap();
                let count = stream.read(&mut [0; 1024]).unwrap();
                assert!(count > 0);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n")
                    .unwrap();
                stream.write_all(&[b'x'; 1024]).unwrap();
                stream
            };
            [serve(), serve(), serve()]
        });
        let idle = IdleConnections::open(port, 3).unwrap();
        let [first, second, third] = server.join().unwrap();
        assert_eq!(idle.closed(), 0);
        drop(second);
        let mut rest = Vec::new();
        // The end of the second connection has arrived once it can be read.
        idle.streams[1].set_nonblocking(false).unwrap();
        (&idle.streams[1]).read_to_end(&mut rest).unwrap();
        assert_eq!(idle.closed(), 1);
        drop((first, third));
    }
}
