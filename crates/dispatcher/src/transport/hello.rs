//! The beginning of a client's TLS connection, kept as it came.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes in which a ClientHello has to fit, as in Envoy's TLS inspector. Real ones have a few hundred, and two thousand
/// with keys for after quantum computers.
const HELLO_BYTES: usize = 16 * 1024;

/// Room for a read.
const READ_BYTES: usize = 4 * 1024;

/// What a client asks for, before anything was answered.
pub(crate) struct Hello {
    /// The handshake so far.
    pub(crate) accepted: Accepted,
    /// The bytes that it came in, and maybe some after them.
    pub(crate) bytes: Vec<u8>,
}

/// Reads a ClientHello. No timeout: the caller's timer guards it.
///
/// # Errors
/// If it is none; the client is told so.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::new();
    let mut seen = 0;
    loop {
        if bytes.len() >= HELLO_BYTES {
            let reason = format!("no ClientHello within {HELLO_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while seen < bytes.len() {
            match acceptor.read_tls(&mut &bytes[seen..])? {
                0 => return Err(io::ErrorKind::InvalidData.into()),
                taken => seen += taken,
            }
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(Hello { accepted, bytes }),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut told = Vec::new();
                alert.write_all(&mut told)?;
                stream.write_all(&told).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}
