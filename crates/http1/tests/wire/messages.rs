//! Messages to try: good ones, then good ones with something done to them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes that are shown as text when a case fails.
#[derive(Clone)]
pub(crate) struct Wire(pub(crate) Vec<u8>);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Pieces that have confused somebody's parser, to be put where they don't belong.
const TROUBLE: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\0",
    " ",
    "\t",
    "\u{b}",
    "\x7f",
    ":",
    ",",
    ";",
    "0",
    "-1",
    "#",
    "\u{e9}",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: x\r\n",
    " folded\r\n",
    "Host: b\r\n",
    "Connection: close\r\n",
    "Connection: host\r\n",
    "0\r\n\r\n",
    "1\r\na\r\n",
    "HTTP/1.0",
    "chunked",
    "GET / HTTP/1.1\r\n",
    "ffffffffffffffff1\r\n",
    ";a=b",
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
];

/// Fields that mean nothing to framing, hop-by-hop ones, and odd but legal spellings.
const LINES: &[&str] = &[
    "Accept: */*\r\n",
    "User-Agent: a b (c; d)\r\n",
    "Cookie: a=1; b=2\r\n",
    "X-Empty:\r\n",
    "x-space: \t a  b \t \r\n",
    "X-Obs: \u{e9}\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close\r\n",
    "connection: X-Hop, keep-alive\r\n",
    "X-Hop: 1\r\n",
    "Keep-Alive: timeout=5\r\n",
    "TE: trailers\r\n",
    "Trailer: X-Sum\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "!#$%&'*+-.^_`|~: odd\r\n",
    "Accept: text/html\r\n",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
];

pub(crate) fn lines() -> impl Strategy<Value = String> {
    vec(select(LINES), 0..6).prop_map(|lines| lines.concat())
}

/// A framing header and the body it announces.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    prop_oneof![
        2 => Just((String::new(), Vec::new())),
        2 => vec(any::<u8>(), 0..40).prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data)),
        3 => (vec(chunk(), 0..4), trailers())
            .prop_map(|(chunks, trailers)| (
                "Transfer-Encoding: chunked\r\n".to_owned(),
                [chunks.concat(), b"0\r\n".to_vec(), trailers.into_bytes(), b"\r\n".to_vec()].concat(),
            )),
    ]
}

fn chunk() -> impl Strategy<Value = Vec<u8>> {
    (
        vec(any::<u8>(), 1..40),
        select(&["", ";a", ";a=\"b\"", " ;a"][..]),
        any::<bool>(),
    )
        .prop_map(|(data, extension, pad)| {
            let size = if pad {
                format!("00{:X}", data.len())
            } else {
                format!("{:x}", data.len())
            };
            [
                size.as_bytes(),
                extension.as_bytes(),
                b"\r\n",
                &data,
                b"\r\n",
            ]
            .concat()
        })
}

fn trailers() -> impl Strategy<Value = String> {
    vec(
        select(
            &[
                "X-Sum: 1\r\n",
                "grpc-status: 0\r\n",
                "Host: evil\r\n",
                "X-Empty:\r\n",
            ][..],
        ),
        0..3,
    )
    .prop_map(|lines| lines.concat())
}

/// One request that is accepted.
pub(crate) fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = select(
        &[
            "GET / HTTP/1.1",
            "POST /a?b=c HTTP/1.1",
            "PUT http://b:8080/c HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "OPTIONS http://b HTTP/1.1",
            "HEAD //x/../%2e HTTP/1.1",
            "X-Y_z! /a;b,c@d:e'f(g)*h+i=j HTTP/1.1",
            "GET http://[::1] HTTP/1.1",
        ][..],
    );
    let host = select(
        &[
            "Host: a\r\n",
            "host:\ta.example:80 \r\n",
            "HOST: [::1]:1\r\n",
            "Host: 10.0.0.1\r\n",
        ][..],
    );
    (
        select(&["", "\r\n", "\r\n\r\n"][..]),
        line,
        lines(),
        host,
        body(),
        lines(),
    )
        .prop_map(|(empty, line, before, host, (framing, body), after)| {
            [
                empty.as_bytes(),
                line.as_bytes(),
                b"\r\n",
                before.as_bytes(),
                host.as_bytes(),
                framing.as_bytes(),
                after.as_bytes(),
                b"\r\n",
                &body,
            ]
            .concat()
        })
}

/// One response that is accepted, which may be until-close.
pub(crate) fn response() -> impl Strategy<Value = Vec<u8>> {
    let informational = select(
        &[
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        ][..],
    );
    let line = select(
        &[
            "HTTP/1.1 200 OK",
            "HTTP/1.1 204 No Content",
            "HTTP/1.1 304 x",
            "HTTP/1.1 500",
            "HTTP/1.1 404 ",
            "HTTP/1.1 299 \u{e9}",
        ][..],
    );
    (informational, line, lines(), body(), lines()).prop_map(
        |(informational, line, before, (framing, body), after)| {
            [
                informational.as_bytes(),
                line.as_bytes(),
                b"\r\n",
                before.as_bytes(),
                framing.as_bytes(),
                after.as_bytes(),
                b"\r\n",
                &body,
            ]
            .concat()
        },
    )
}

/// `message`, now and then with a few things done to its bytes.
pub(crate) fn mutated(message: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Wire> {
    let mutation = prop_oneof![
        (any::<Index>(), select(TROUBLE))
            .prop_map(|(at, piece)| Mutation::Insert(at, piece.as_bytes().to_vec())),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 1usize..8).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (any::<Index>(), 1usize..30, any::<Index>())
            .prop_map(|(from, len, to)| Mutation::Copy(from, len, to)),
        any::<Index>().prop_map(Mutation::InsertAtLine),
    ];
    (
        message,
        prop_oneof![1 => Just(0..1), 2 => Just(1..4)]
            .prop_flat_map(move |count| vec(mutation.clone(), count)),
    )
        .prop_map(|(mut bytes, mutations)| {
            for mutation in mutations {
                mutation.apply(&mut bytes);
            }
            Wire(bytes)
        })
}

#[derive(Clone, Debug)]
enum Mutation {
    Insert(Index, Vec<u8>),
    /// A piece of trouble at the start of a line, where it may pass for a header.
    InsertAtLine(Index),
    Set(Index, u8),
    Remove(Index, usize),
    Copy(Index, usize, Index),
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        let place = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Insert(at, piece) => {
                let at = place(&at, bytes);
                bytes.splice(at..at, piece);
            }
            Self::InsertAtLine(at) => {
                let starts: Vec<_> = bytes
                    .windows(2)
                    .enumerate()
                    .filter(|(_, pair)| pair == b"\r\n")
                    .map(|(at, _)| at + 2)
                    .collect();
                if !starts.is_empty() {
                    let start = *at.get(&starts);
                    bytes.splice(start..start, at.get(TROUBLE).bytes());
                }
            }
            Self::Set(at, byte) => {
                let at = place(&at, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Self::Remove(at, len) => {
                let at = place(&at, bytes);
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Self::Copy(from, len, to) => {
                let from = place(&from, bytes);
                let piece = bytes[from..(from + len).min(bytes.len())].to_vec();
                let to = place(&to, bytes);
                bytes.splice(to..to, piece);
            }
        }
    }
}
