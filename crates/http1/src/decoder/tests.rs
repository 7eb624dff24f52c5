//! One case per rule, with the section it comes from.

use super::*;
use crate::{Fault, Trailers};

/// A body as its parts, however they were cut.
#[derive(Debug, Default, PartialEq)]
struct Read {
    data: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    ended: bool,
    /// Whether the peer may close now.
    complete: bool,
    rest: usize,
}

fn read_with(body: Body, limits: &Limits, bytes: &[u8]) -> Result<Read, BodyError> {
    let (mut decoder, mut at, mut read) = (Decoder::new(body, limits), 0, Read::default());
    loop {
        let buf = &bytes[at..];
        let step = decoder.decode(buf)?;
        assert!(step.consumed <= buf.len());
        match step.event {
            Event::Data(range) => {
                assert!(!range.is_empty() && range.end <= step.consumed);
                read.data.extend_from_slice(&buf[range]);
            }
            Event::Trailers(range) => {
                assert!(range.end <= step.consumed);
                let fields = Trailers::new(&buf[range]);
                read.trailers.extend(
                    fields
                        .iter()
                        .map(|(name, value)| (name.to_owned(), value.to_vec())),
                );
            }
            Event::NeedMore | Event::End => {
                read.ended = step.event == Event::End;
                assert_eq!(read.ended, decoder.is_ended());
                read.rest = buf.len() - step.consumed;
                read.complete = decoder.eof().is_ok();
                return Ok(read);
            }
        }
        at += step.consumed;
    }
}

fn chunked(bytes: impl AsRef<[u8]>) -> Result<Read, BodyError> {
    read_with(Body::Chunked, &Limits::default(), bytes.as_ref())
}

fn data(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let read = chunked(bytes).unwrap();
    assert!(read.ended && read.trailers.is_empty());
    read.data
}

#[test]
fn fixed_bodies_end_where_they_said() {
    let limits = Limits::default();
    for body in [Body::Empty, Body::Length(0)] {
        let mut decoder = Decoder::new(body, &limits);
        assert!(decoder.is_ended());
        assert_eq!(
            decoder.decode(b"next"),
            Ok(Step {
                consumed: 0,
                event: Event::End
            })
        );
        assert_eq!(decoder.eof(), Ok(()));
    }
    let mut decoder = Decoder::new(Body::Length(5), &limits);
    assert_eq!(
        decoder.decode(b""),
        Ok(Step {
            consumed: 0,
            event: Event::NeedMore
        })
    );
    assert_eq!(
        decoder.decode(b"ab"),
        Ok(Step {
            consumed: 2,
            event: Event::Data(0..2)
        })
    );
    assert_eq!(decoder.eof(), Err(BodyError::Truncated));
    assert_eq!(
        decoder.decode(b"cdenext"),
        Ok(Step {
            consumed: 3,
            event: Event::Data(0..3)
        })
    );
    assert!(decoder.is_ended());
    assert_eq!(
        decoder.decode(b"next"),
        Ok(Step {
            consumed: 0,
            event: Event::End
        })
    );
    assert_eq!(decoder.eof(), Ok(()));

    let mut decoder = Decoder::new(Body::Length(u64::MAX), &limits);
    assert_eq!(
        decoder.decode(b"a"),
        Ok(Step {
            consumed: 1,
            event: Event::Data(0..1)
        })
    );
    assert!(!decoder.is_ended());
}

#[test]
fn bodies_until_close_end_with_the_connection() {
    let mut decoder = Decoder::new(Body::UntilClose, &Limits::default());
    assert_eq!(
        decoder.decode(b"ab"),
        Ok(Step {
            consumed: 2,
            event: Event::Data(0..2)
        })
    );
    assert_eq!(
        decoder.decode(b""),
        Ok(Step {
            consumed: 0,
            event: Event::NeedMore
        })
    );
    assert!(!decoder.is_ended());
    assert_eq!(decoder.eof(), Ok(()));
    assert!(decoder.is_ended());
    assert_eq!(
        decoder.decode(b""),
        Ok(Step {
            consumed: 0,
            event: Event::End
        })
    );
}

/// RFC 9112 §7.1.
#[test]
fn joins_chunks() {
    assert_eq!(data("0\r\n\r\n"), b"");
    assert_eq!(data("000\r\n\r\n"), b"");
    assert_eq!(
        data("3\r\nabc\r\n1\r\n\r\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        b"abc\r0123456789"
    );
    assert_eq!(data("0000000000000003\r\nabc\r\n0\r\n\r\n"), b"abc");
    assert_eq!(
        data("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n").len(),
        26
    );
    assert_eq!(data("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), b"0\r\n\r\n");
    let read = chunked("1\r\na\r\n0\r\n\r\nGET /").unwrap();
    assert_eq!((read.ended, read.complete, read.rest), (true, true, 5));
    for prefix in [
        "",
        "1",
        "1\r",
        "1\r\n",
        "1\r\na",
        "1\r\na\r",
        "1\r\na\r\n",
        "1\r\na\r\n0",
        "1\r\na\r\n0\r\n",
        "1\r\na\r\n0\r\n\r",
        "0\r\nA: b\r\n",
    ] {
        let read = chunked(prefix).unwrap();
        assert!(!read.ended && !read.complete, "{prefix:?}");
    }
}

/// A chunk's line, data and end are one step when they are all there: a call costs more than the
/// bytes of a line.
#[test]
fn takes_a_whole_chunk_at_once() {
    let mut decoder = Decoder::new(Body::Chunked, &Limits::default());
    assert_eq!(
        decoder.decode(b"3\r\nabc\r\n0\r\n\r\n"),
        Ok(Step {
            consumed: 8,
            event: Event::Data(3..6)
        })
    );
    assert_eq!(
        decoder.decode(b"0\r\n\r\nx"),
        Ok(Step {
            consumed: 5,
            event: Event::End
        })
    );
    let mut decoder = Decoder::new(Body::Chunked, &Limits::default());
    assert_eq!(
        decoder.decode(b"3\r\n"),
        Ok(Step {
            consumed: 3,
            event: Event::NeedMore
        })
    );
}

/// RFC 9112 §7.1: every one of these has been read as something else by someone.
#[test]
fn refuses_odd_chunk_lines() {
    for line in [
        "",
        "g",
        "-1",
        "+1",
        "0x1",
        " 1",
        "\t1",
        "1 ",
        "1\t",
        "1 2",
        "1;a=\nb",
        "1;a\rb",
        "1\n",
        "1\r1",
        "1;\0",
        "1;\x7f",
        ";a",
        "1,2",
        "00000000000000001",
        "10000000000000000",
        "fffffffffffffffff",
        "1.",
        "1\x0b",
        "1_0",
        "\u{661}",
        "1 a;b",
        "\r1",
    ] {
        assert_eq!(
            chunked(format!("{line}\r\na\r\n0\r\n\r\n")),
            Err(BodyError::ChunkLine),
            "{line:?}"
        );
    }
    let read = chunked("ffffffffffffffff\r\na").unwrap();
    assert_eq!((read.data, read.ended), (b"a".to_vec(), false));
    for end in [
        "a\n0\r\n\r\n",
        "ab\r\n0\r\n\r\n",
        "a\r\r\n0\r\n\r\n",
        "a0\r\n\r\n",
        "a\rX",
    ] {
        assert_eq!(
            chunked(format!("1\r\n{end}")),
            Err(BodyError::ChunkEnd),
            "{end:?}"
        );
    }
}

/// RFC 9112 §7.1.1: unknown extensions are ignored, within the limit.
#[test]
fn skips_extensions() {
    for line in [
        "1;",
        "1;a",
        "1;a=b",
        "1;a=\"b;c\"",
        "1 ;a",
        "1\t ; a = b;c",
        "1;\u{e9}",
    ] {
        assert_eq!(
            data(format!("{line}\r\nx\r\n0;z\r\n\r\n")),
            b"x",
            "{line:?}"
        );
    }
    let limits = Limits {
        chunk_line_bytes: 10,
        ..Limits::default()
    };
    let too_long = BodyError::ChunkLineTooLong { limit: 10 };
    let read = |bytes: &str| read_with(Body::Chunked, &limits, bytes.as_bytes());
    assert_eq!(read("1;aaaaaa\r\nx").unwrap().data, b"x");
    assert_eq!(read("1;aaaaaaa\r\nx"), Err(too_long));
    assert_eq!(read("1;aaaaaaaa"), Err(too_long));
    assert_eq!(read("1;aaaaaaa\r"), Err(too_long));
    assert_eq!(read("1;aaaaaaa").map(|read| read.ended), Ok(false));
    assert_eq!(read("0000000001"), Err(too_long));
}

/// RFC 9110 §6.5, RFC 9112 §7.1.2.
#[test]
fn checks_and_sifts_trailers() {
    let read = chunked("1\r\na\r\n0\r\nGrpc-Status: 0\r\nx:\t y \r\nEmpty:\r\n\r\nnext").unwrap();
    let fields: Vec<_> = read
        .trailers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    assert_eq!(
        fields,
        [("Grpc-Status", &b"0"[..]), ("x", b"y"), ("Empty", b"")]
    );
    assert_eq!((read.ended, read.rest), (true, 4));

    for name in [
        "Content-Length",
        "transfer-encoding",
        "Host",
        "Connection",
        "Set-Cookie",
        "authorization",
        "content-type",
        "If-Match",
        "Trailer",
        "X-Forwarded-For",
        "Proxy-Authorization",
        "te",
        "Upgrade",
        "location",
        "cookie",
        "cache-control",
        "expect",
    ] {
        let read = chunked(format!("0\r\n{name}: 5\r\nB: c\r\n\r\n")).unwrap();
        assert_eq!(read.trailers, [("B".to_owned(), b"c".to_vec())], "{name}");
        assert!(!Trailers::allows(name));
    }
    assert!(Trailers::allows("grpc-status") && Trailers::allows("If"));
    for (section, fault) in [
        ("A: b\n\r\n", Fault::LineEnd),
        ("\n", Fault::LineEnd),
        ("A: b\r\n\n", Fault::LineEnd),
        ("A : b\r\n\r\n", Fault::HeaderName),
        ("A\r\n\r\n", Fault::HeaderName),
        (": b\r\n\r\n", Fault::HeaderName),
        ("A: b\r\n c\r\n\r\n", Fault::HeaderName),
        ("A: b\rc\r\n\r\n", Fault::HeaderValue),
        ("A: \0\r\n\r\n", Fault::HeaderValue),
        ("GET / HTTP/1.1\r\n\r\n", Fault::HeaderName),
    ] {
        assert_eq!(
            chunked(format!("0\r\n{section}")),
            Err(BodyError::Trailers(fault)),
            "{section:?}"
        );
    }
}

#[test]
fn keeps_trailers_within_their_limits() {
    let limits = Limits {
        trailer_bytes: 20,
        headers: 2,
        ..Limits::default()
    };
    let too_large = Err(BodyError::TrailersTooLarge {
        bytes: 20,
        fields: 2,
    });
    let read = |section: &str| {
        read_with(Body::Chunked, &limits, format!("0\r\n{section}").as_bytes())
            .map(|read| read.ended)
    };
    assert_eq!(read(&format!("A: {}\r\n\r\n", "b".repeat(13))), Ok(true));
    assert_eq!(read(&format!("A: {}\r\n\r\n", "b".repeat(14))), too_large);
    assert_eq!(read(&"A".repeat(20)), too_large);
    assert_eq!(read(&"A".repeat(19)), Ok(false));
    assert_eq!(read("A:\r\nB:\r\n\r\n"), Ok(true));
    assert_eq!(read("A:\r\nB:\r\nC:\r\n\r\n"), too_large);
}

#[test]
fn trailers_are_written_as_lines() {
    let raw = b"A: b\r\nHost: x\r\nbroken\r\nC:d\r\ncut";
    let mut out = b"0\r\n".to_vec();
    Trailers::new(raw).write(&mut out);
    assert_eq!(out, b"0\r\nA: b\r\nC: d\r\n");
    assert_eq!(format!("{:?}", Trailers::new(raw)), r#"["A", "C"]"#);
}
