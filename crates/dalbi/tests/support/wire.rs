//! Connections that send exactly the bytes a test says, as a client or as an endpoint.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::PATIENCE;

/// One end of a TCP connection.
pub struct Wire {
    stream: TcpStream,
    /// Read, and not taken yet.
    read: Vec<u8>,
    record: Option<Record>,
}

/// What endpoints were sent, by connection.
type Record = (usize, Arc<Mutex<Vec<Vec<u8>>>>);

/// An answer as it came.
#[derive(Debug)]
pub struct WireAnswer {
    /// The status line and header lines.
    pub head: String,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
}

impl WireAnswer {
    /// The status code.
    pub fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).unwrap_or_default();
        code.parse()
            .unwrap_or_else(|_| panic!("no status in {:?}", self.head))
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        header(&self.head, name).unwrap_or_default()
    }

    /// Why dalbi answered so.
    pub fn flags(&self) -> &str {
        self.header("x-dalbi-response-flags")
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A field of a head.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

impl Wire {
    /// Connects as a client.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap(), None)
    }

    fn new(stream: TcpStream, record: Option<Record>) -> Self {
        stream.set_nodelay(true).unwrap();
        let read = Vec::new();
        Self {
            stream,
            read,
            record,
        }
    }

    /// Sends bytes; the peer may have gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sending = self.stream.write_all(bytes.as_ref());
        in_time("sending", sending).await.is_ok()
    }

    /// Ends the sending direction only.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Ends the connection so that the peer gets a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads once more; false at the end or a reset.
    pub async fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let reading = self.stream.read(&mut bytes);
        let count = in_time("a read", reading).await.unwrap_or(0);
        self.read.extend_from_slice(&bytes[..count]);
        if let Some((connection, record)) = &self.record {
            record.lock().unwrap()[*connection].extend_from_slice(&bytes[..count]);
        }
        count > 0
    }

    /// Waits until something has come that was not taken; false at the end.
    pub async fn arrives(&mut self) -> bool {
        !self.read.is_empty() || self.more().await
    }

    /// The next head with its blank line; `None` if the connection ends before.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                return Some(String::from_utf8(self.take(end + 4)).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// So many bytes; fewer if the connection ends before.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            if !self.more().await {
                break;
            }
        }
        self.take(count.min(self.read.len()))
    }

    /// A line without its end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let line = self.take(end + 2);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// The body that a head announces; `None` if it breaks off.
    pub async fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        if header(head, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16).unwrap();
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    return Some(body);
                }
                let chunk = self.bytes(size + 2).await;
                if chunk.len() < size + 2 {
                    return None;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        }
        let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.bytes(length).await;
        (body.len() == length).then_some(body)
    }

    /// The next answer (not to HEAD), past informational ones; `None` if it breaks off.
    pub async fn answer(&mut self) -> Option<WireAnswer> {
        loop {
            let head = self.head().await?;
            if head.starts_with("HTTP/1.1 1") {
                continue;
            }
            let body = match head.split(' ').nth(1) {
                Some("204" | "304") => Vec::new(),
                _ => self.body(&head).await?,
            };
            return Some(WireAnswer { head, body });
        }
    }

    /// Whether the peer ends the connection without a further byte.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }
}

/// An endpoint that does what a script says.
pub struct WireUpstream {
    address: SocketAddr,
    record: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl WireUpstream {
    /// Runs `script` for every connection, with its number from 0.
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = record.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut record = record.lock().unwrap();
                    record.push(Vec::new());
                    record.len() - 1
                };
                let wire = Wire::new(stream, Some((number, record.clone())));
                tokio::spawn(script(number, wire));
            }
        });
        Self {
            address,
            record: kept,
        }
    }

    /// Answers every request, whatever it is, with these bytes.
    pub async fn answering(bytes: &'static str) -> Self {
        Self::start(move |_, mut wire: Wire| async move {
            while let Some(head) = wire.head().await {
                wire.body(&head).await;
                wire.send(bytes).await;
            }
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it was sent so far, by connection.
    pub fn received(&self) -> Vec<String> {
        let record = self.record.lock().unwrap();
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        record.iter().map(text).collect()
    }

    /// How many requests it was sent whose head holds `mark`.
    pub fn requests(&self, mark: &str) -> usize {
        let received = self.received();
        received.iter().map(|all| all.matches(mark).count()).sum()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Waits, but not for ever.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    within(PATIENCE, what, work).await
}

/// Waits so long and no longer.
pub async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| panic!("{what} took longer than {limit:?}"))
}
