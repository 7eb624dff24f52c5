//! HTTP/2 by hand: any frames, in any order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::wire::Wire;

/// The client's side opens with this.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;

pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A setting's number.
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// A setting's number.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// SETTINGS with one setting.
pub fn setting(number: u16, value: u32) -> Vec<u8> {
    let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

/// WINDOW_UPDATE.
pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// RST_STREAM with CANCEL.
pub fn rst_stream(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// A field as HPACK's literal without indexing and without Huffman coding.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        integer(&mut block, 7, 0, text.len());
        block.extend(text.as_bytes());
    }
    block
}

/// A field that is also put into the dynamic table.
pub fn indexed_field(name: &str, value: &str) -> Vec<u8> {
    let mut block = field(name, value);
    block[0] = 0x40;
    block
}

/// HPACK's integer with a prefix of `bits`, whose upper bits are `upper`.
fn integer(block: &mut Vec<u8>, bits: u32, upper: u8, value: usize) {
    let limit = (1 << bits) - 1;
    if value < limit {
        block.push(upper | value as u8);
        return;
    }
    block.push(upper | limit as u8);
    let mut rest = value - limit;
    while rest >= 0x80 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// The pseudo-headers of a request, as a header block.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", "test"),
        field(":path", path),
    ]
    .concat()
}

/// HEADERS with a whole GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = request("GET", path);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// HEADERS of a POST whose body follows.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", path))
}

/// A client's stream number, counted from 0.
pub fn stream(number: u32) -> u32 {
    number * 2 + 1
}

/// A frame's header, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub length: usize,
}

impl Header {
    /// From its nine bytes.
    pub fn parse(bytes: &[u8]) -> Self {
        Self {
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff,
            length: u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize,
        }
    }
}

/// How many frames of each type have come, seen by whoever sends as well.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicUsize; 10]>);

impl Counts {
    /// One more.
    pub fn add(&self, kind: u8) {
        if let Some(count) = self.0.get(usize::from(kind)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many of this type.
    pub fn of(&self, kind: u8) -> usize {
        self.0[usize::from(kind)].load(Ordering::Relaxed)
    }
}

/// An HTTP/2 connection by hand, one end of it.
pub struct FrameWire {
    wire: Wire,
}

impl FrameWire {
    /// Connects as a client and sends the preface, SETTINGS and `opening`.
    pub async fn connect(address: SocketAddr, opening: &[u8]) -> Self {
        let mut wire = Wire::connect(address).await;
        let settings = frame(SETTINGS, 0, 0, &[]);
        wire.send([PREFACE, &settings, opening].concat()).await;
        Self { wire }
    }

    /// Plays the endpoint on a connection that was accepted: reads the preface and sends `opening`, which
    /// begins with SETTINGS.
    pub async fn accept(mut wire: Wire, opening: &[u8]) -> Self {
        assert_eq!(wire.bytes(PREFACE.len()).await, PREFACE);
        wire.send(opening).await;
        Self { wire }
    }

    /// Sends frames; the peer may have gone.
    pub async fn send(&mut self, frames: impl AsRef<[u8]>) -> bool {
        self.wire.send(frames).await
    }

    /// The next frame; `None` at the connection's end.
    pub async fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        let head = self.wire.bytes(9).await;
        if head.len() < 9 {
            return None;
        }
        let header = Header::parse(&head);
        let payload = self.wire.bytes(header.length).await;
        (payload.len() == header.length).then_some((header, payload))
    }

    /// The next frame of this type, past others; `None` at the connection's end.
    pub async fn next_of(&mut self, kind: u8) -> Option<(Header, Vec<u8>)> {
        loop {
            let (header, payload) = self.next().await?;
            if header.kind == kind {
                return Some((header, payload));
            }
        }
    }

    /// Reads until the connection ends; returns the reason of a GOAWAY, if one came.
    pub async fn end(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some((header, payload)) = self.next().await {
            if header.kind == GOAWAY {
                reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        reason
    }
}
