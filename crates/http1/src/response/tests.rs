//! One case per rule, with the section it comes from.

use super::*;

const GET: RequestKind = RequestKind {
    head: false,
    upgrade: false,
};
const HEAD: RequestKind = RequestKind {
    head: true,
    upgrade: false,
};
const UPGRADE: RequestKind = RequestKind {
    head: false,
    upgrade: true,
};

fn accepted<T>(
    bytes: impl AsRef<[u8]>,
    request: RequestKind,
    check: impl FnOnce(ResponseHead<'_, '_>) -> T,
) -> T {
    let bytes = bytes.as_ref();
    let mut slots = Slots::new();
    match ResponseHead::parse(bytes, request, &Limits::default(), &mut slots) {
        Ok(Some(head)) => check(head),
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, request: RequestKind, expected: impl Into<ResponseError>) {
    let bytes = bytes.as_ref();
    let mut slots = Slots::new();
    let parsed = ResponseHead::parse(bytes, request, &Limits::default(), &mut slots);
    assert_eq!(
        parsed.unwrap_err(),
        expected.into(),
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
}

fn head(status: u16, lines: &str) -> String {
    format!("HTTP/1.1 {status} x\r\n{lines}\r\n")
}

#[test]
fn reads_the_parts_of_a_response() {
    let bytes = "HTTP/1.1 404 Not  Found\r\nA: 1\r\nConnection: b\r\nB: 2\r\nContent-Length: 3\r\nC: 4\r\n\r\nabc";
    accepted(bytes, GET, |head| {
        assert_eq!(head.len(), bytes.len() - 3);
        assert_eq!(
            (head.status(), head.reason(), head.version()),
            (404, "Not  Found", Version::Http11)
        );
        assert_eq!(
            (head.body(), head.content_length(), head.keep_alive()),
            (Body::Length(3), Some(3), true)
        );
        assert!(!head.is_informational() && !head.is_switching_protocols());
        assert_eq!(
            head.headers().collect::<Vec<_>>(),
            [("A", &b"1"[..]), ("C", b"4")]
        );
        assert_eq!(
            (head.header("a"), head.header("b")),
            (Some(&b"1"[..]), None)
        );
        assert_eq!(head.header_all("c").count(), 1);
        let mut out = Vec::new();
        head.write_headers(&mut out, |_| true);
        assert_eq!(out, b"A: 1\r\nC: 4\r\n");
    });
    for end in 0..bytes.len() - 3 {
        let mut slots = Slots::new();
        let parsed = ResponseHead::parse(
            &bytes.as_bytes()[..end],
            GET,
            &Limits::default(),
            &mut slots,
        );
        assert!(matches!(parsed, Ok(None)), "{end}: {parsed:?}");
    }
}

/// RFC 9112 §4.
#[test]
fn reads_status_lines() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 200 ", 200, ""),
        // Not of the grammar, but harmless and common.
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.0 599 a\tb", 599, "a\tb"),
        ("HTTP/1.1 200 Caf\u{e9}", 200, ""),
    ] {
        accepted(format!("{line}\r\n\r\n"), GET, |head| {
            assert_eq!((head.status(), head.reason()), (status, reason), "{line:?}");
        });
    }
    for line in [
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200 a\u{0}b",
        "HTTP/1.1 200 a\rb",
        "http/1.1 200 OK",
        "200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1\t200 OK",
        "ICY 200 OK",
        "<html>",
        "\r\nHTTP/1.1 200 OK",
        "\nHTTP/1.1 200 OK",
    ] {
        let bytes = format!("{line}\r\n\r\n");
        let mut slots = Slots::new();
        let parsed = ResponseHead::parse(bytes.as_bytes(), GET, &Limits::default(), &mut slots);
        assert!(parsed.is_err(), "{line:?} gave {parsed:?}");
    }
    for status in [0, 99, 600, 999] {
        refused(
            format!("HTTP/1.1 {status:03} x\r\n\r\n"),
            GET,
            ResponseError::Status(status),
        );
    }
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        refused(
            format!("{version} 200 OK\r\n\r\n"),
            GET,
            ResponseError::VersionNotSupported,
        );
    }
}

/// RFC 9112 §6.3.
#[test]
fn frames_bodies() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let length = "Content-Length: 5\r\n";
    for (status, lines, request, body, content_length, keep_alive) in [
        (200, "", GET, Body::UntilClose, None, false),
        (200, length, GET, Body::Length(5), Some(5), true),
        (
            200,
            "Content-Length: 0\r\n",
            GET,
            Body::Length(0),
            Some(0),
            true,
        ),
        (200, chunked, GET, Body::Chunked, None, true),
        (500, chunked, GET, Body::Chunked, None, true),
        (200, "", HEAD, Body::Empty, None, true),
        (200, length, HEAD, Body::Empty, Some(5), true),
        (200, chunked, HEAD, Body::Empty, None, true),
        (304, "", GET, Body::Empty, None, true),
        (304, length, GET, Body::Empty, Some(5), true),
        (304, chunked, GET, Body::Empty, None, true),
        (204, "", GET, Body::Empty, None, true),
        (204, "Content-Length: 0\r\n", GET, Body::Empty, None, true),
        // What follows may be the body that must not be there.
        (204, length, GET, Body::Empty, None, false),
        (204, chunked, GET, Body::Empty, None, false),
        (100, "", GET, Body::Empty, None, true),
        (103, "Link: </a>\r\n", GET, Body::Empty, None, true),
        (
            200,
            "Connection: close\r\nContent-Length: 5\r\n",
            GET,
            Body::Length(5),
            Some(5),
            false,
        ),
    ] {
        accepted(head(status, lines), request, |head| {
            let found = (head.body(), head.content_length(), head.keep_alive());
            assert_eq!(
                found,
                (body, content_length, keep_alive),
                "{status} {lines:?} {request:?}"
            );
            assert_eq!(head.is_informational(), status < 200);
        });
    }
    for lines in [length, chunked] {
        refused(head(100, lines), GET, ResponseError::InformationalBody(100));
    }
    let old = |lines: &str| head(200, lines).replace("1.1", "1.0");
    accepted(old(length), GET, |head| assert!(!head.keep_alive()));
    accepted(
        old("Connection: keep-alive\r\nContent-Length: 5\r\n"),
        GET,
        |head| assert!(head.keep_alive()),
    );
    accepted(old("Connection: keep-alive\r\n"), GET, |head| {
        assert!(!head.keep_alive());
    });
}

/// RFC 9112 §6.1, §6.3: also where no body follows, since others might read one.
#[test]
fn refuses_ambiguous_framing() {
    for request in [GET, HEAD] {
        for status in [200, 204, 304, 100] {
            for (lines, fault) in [
                (
                    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                    Fault::LengthAndCoding,
                ),
                (
                    "Content-Length: 5\r\nContent-Length: 5\r\n",
                    Fault::ContentLengthRepeated,
                ),
                (
                    "Content-Length: 5\r\nContent-Length: 6\r\n",
                    Fault::ContentLengthRepeated,
                ),
                ("Content-Length: 5, 5\r\n", Fault::ContentLength),
                ("Content-Length: -1\r\n", Fault::ContentLength),
                ("Content-Length:\r\n", Fault::ContentLength),
                (
                    "Transfer-Encoding: gzip, chunked\r\n",
                    Fault::TransferEncoding,
                ),
                (
                    "Transfer-Encoding: chunked, chunked\r\n",
                    Fault::TransferEncoding,
                ),
                ("Transfer-Encoding: identity\r\n", Fault::TransferEncoding),
                (
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                    Fault::TransferEncoding,
                ),
                ("Connection: content-length\r\n", Fault::ProtectedField),
                ("Connection: set-cookie\r\n", Fault::ProtectedField),
                ("Connection: a b\r\n", Fault::ConnectionOption),
                ("A : b\r\n", Fault::HeaderName),
                ("A: b\r\n c\r\n", Fault::HeaderName),
                ("A: b\n", Fault::LineEnd),
                ("A: \0\r\n", Fault::HeaderValue),
                ("A: b\rc\r\n", Fault::HeaderValue),
            ] {
                refused(head(status, lines), request, fault);
            }
        }
    }
    refused("HTTP/1.1 200 OK\nA: b\r\n\r\n", GET, Fault::LineEnd);
    refused("HTTP/1.1 200 OK\r\nA: b\r\n\n", GET, Fault::LineEnd);
    refused("HTTP/1.1 200\n\r\n", GET, Fault::LineEnd);
    refused("HTTP/1.1 200 OK\n", GET, Fault::LineEnd);
    refused(
        head(200, "Transfer-Encoding: chunked\r\n").replace("1.1", "1.0"),
        GET,
        Fault::CodingInHttp10,
    );
}

/// RFC 9110 §15.2.2, §7.8.
#[test]
fn switches_protocols_only_when_asked() {
    let lines = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n";
    accepted(head(101, lines), UPGRADE, |head| {
        assert!(head.is_switching_protocols() && !head.is_informational());
        assert_eq!(
            (head.upgrade(), head.body()),
            (Some(&b"websocket"[..]), Body::Empty)
        );
        assert_eq!(
            head.headers().collect::<Vec<_>>(),
            [("Sec-WebSocket-Accept", &b"x"[..])]
        );
    });
    refused(head(101, lines), GET, ResponseError::UnexpectedUpgrade);
    for lines in [
        "",
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
    ] {
        refused(head(101, lines), UPGRADE, ResponseError::UnexpectedUpgrade);
    }
    refused(
        head(101, lines).replace("1.1", "1.0"),
        UPGRADE,
        ResponseError::UnexpectedUpgrade,
    );
    accepted(head(426, lines), GET, |head| {
        assert_eq!(head.upgrade(), None);
    });
}

#[test]
fn keeps_heads_within_their_limits() {
    let limits = Limits {
        head_bytes: 60,
        headers: 2,
        ..Limits::default()
    };
    let parse = |bytes: &str| {
        let mut slots = Slots::new();
        ResponseHead::parse(bytes.as_bytes(), GET, &limits, &mut slots)
            .map(|head| head.map(|head| head.len()))
    };
    let padded = |len: usize| {
        head(
            200,
            &format!("X: {}\r\n", "x".repeat(len - head(200, "X: \r\n").len())),
        )
    };
    assert_eq!(parse(&padded(60)), Ok(Some(60)));
    assert_eq!(
        parse(&padded(61)),
        Err(ResponseError::HeadTooLarge { limit: 60 })
    );
    assert_eq!(
        parse(&padded(61)[..60]),
        Err(ResponseError::HeadTooLarge { limit: 60 })
    );
    assert_eq!(parse(&padded(61)[..59]), Ok(None));
    assert_eq!(
        parse(&head(200, "A:\r\nB:\r\nC:\r\n")),
        Err(ResponseError::TooManyHeaders { limit: 2 })
    );
}
