//! One case per rule, with the section it comes from.

use super::*;

/// Runs `check` on what `bytes` parse to.
fn with<T>(
    bytes: &[u8],
    check: impl FnOnce(Result<Option<RequestHead<'_, '_>>, RequestError>) -> T,
) -> T {
    check(RequestHead::parse(
        bytes,
        &Limits::default(),
        &mut Slots::new(),
    ))
}

fn accepted<T>(bytes: impl AsRef<[u8]>, check: impl FnOnce(RequestHead<'_, '_>) -> T) -> T {
    let bytes = bytes.as_ref();
    let shown = String::from_utf8_lossy(bytes).into_owned();
    with(bytes, |parsed| match parsed {
        Ok(Some(head)) => check(head),
        other => panic!("{shown:?} gave {other:?}"),
    })
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, expected: impl Into<RequestError>) {
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    with(bytes.as_ref(), |parsed| {
        assert_eq!(parsed.unwrap_err(), expected.into(), "{shown:?}");
    });
}

/// A head with `lines` after the one `Host` it needs.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn written(bytes: impl AsRef<[u8]>) -> String {
    accepted(bytes, |head| {
        let mut out = Vec::new();
        head.write_headers(&mut out, |_| true);
        String::from_utf8(out).unwrap()
    })
}

#[test]
fn reads_the_parts_of_a_request() {
    let bytes = b"PUT /a/b?c=d&e HTTP/1.1\r\nHost: shop.example:8080\r\nX: \t 1 \t\r\nx:2\r\nEmpty:\r\nBlank: \t \r\n\r\nrest";
    accepted(bytes, |head| {
        assert_eq!(head.len(), bytes.len() - "rest".len());
        assert_eq!(head.method(), "PUT");
        assert_eq!(head.target_form(), TargetForm::Origin);
        assert_eq!(head.path_and_query(), "/a/b?c=d&e");
        assert_eq!(head.authority(), "shop.example:8080");
        assert_eq!(
            (head.scheme(), head.version(), head.body()),
            (None, Version::Http11, Body::Empty)
        );
        assert!(head.keep_alive());
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(
            headers,
            [
                ("Host", &b"shop.example:8080"[..]),
                ("X", b"1"),
                ("x", b"2"),
                ("Empty", b""),
                ("Blank", b"")
            ]
        );
        assert_eq!(head.header("X"), Some(&b"1"[..]));
        assert_eq!(head.header_all("x").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head.header("absent"), None);
    });
}

#[test]
fn waits_for_the_whole_head() {
    let bytes = b"\r\nGET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for end in 0..bytes.len() {
        with(&bytes[..end], |parsed| {
            assert!(matches!(parsed, Ok(None)), "{end}: {parsed:?}");
        });
    }
    accepted(bytes, |head| assert_eq!(head.len(), bytes.len()));
}

/// RFC 9112 §2.2.
#[test]
fn skips_a_few_empty_lines() {
    let with_lines = |count: usize| "\r\n".repeat(count) + &get("");
    for count in 0..=4 {
        accepted(with_lines(count), |head| {
            assert_eq!(head.len(), with_lines(count).len());
        });
    }
    refused(with_lines(5), Fault::EmptyLines);
    refused("\r\n".repeat(5), Fault::EmptyLines);
    refused(format!("\n{}", get("")), Fault::LineEnd);
    refused(format!("\r\r\n{}", get("")), Fault::LineEnd);
}

/// RFC 9112 §2.2: no bare CR, and we take no LF for CRLF.
#[test]
fn refuses_bare_line_ends() {
    for bytes in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a \t\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nEmpty:\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nEmpty: \n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        // Not complete, and never will be.
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\nHost: a\n",
    ] {
        refused(bytes, Fault::LineEnd);
    }
    refused("GET / HTTP/1.1\rHost: a\r\n\r\n", Fault::LineEnd);
    refused("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Fault::StartLine);
    refused(get("X: a\rb\r\n"), Fault::HeaderValue);
    refused(get("X: a\r\r\n"), Fault::HeaderValue);
    refused(get("X\r: a\r\n"), Fault::HeaderName);
    refused(get("\rX: a\r\n"), Fault::LineEnd);
}

/// RFC 9112 §5.1, §5.2, RFC 9110 §5.5.
#[test]
fn refuses_odd_header_lines() {
    for line in [
        "X : a\r\n",
        "X\t: a\r\n",
        ": a\r\n",
        "X\r\n",
        " X: a\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A:\r\n b\r\n",
        "X\0: a\r\n",
        "X(: a\r\n",
        "X Y: a\r\n",
        "X\u{e9}: a\r\n",
        "X\": a\r\n",
        "\u{feff}X: a\r\n",
        "[X]: a\r\n",
    ] {
        refused(get(line), Fault::HeaderName);
    }
    refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Fault::HeaderName);
    for byte in (0..0x20)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        let line = |before: &str| {
            [
                b"GET / HTTP/1.1\r\nHost: a\r\nX:",
                before.as_bytes(),
                &[byte],
                b"b\r\n\r\n",
            ]
            .concat()
        };
        for before in [
            "",
            " ",
            "a",
            "a 16-byte-wide vector and then some, to reach the vectorised part",
        ] {
            refused(line(before), Fault::HeaderValue);
        }
    }
    let obs_text = [get("").trim_end().as_bytes(), b"\r\nX: \x80\xff\tz\r\n\r\n"].concat();
    accepted(obs_text, |head| {
        assert_eq!(head.header("x"), Some(&b"\x80\xff\tz"[..]));
    });
}

/// RFC 9112 §3.
#[test]
fn refuses_odd_request_lines() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET",
        "GET / http/1.1",
        "GET / HTTP/x.1",
        "G{T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "/ HTTP/1.1",
        "GET / FTP/1.1",
        "GET / a HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /\t HTTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n");
        with(bytes.as_bytes(), |parsed| {
            assert_eq!(parsed.unwrap_err().status(), 400, "{line:?}");
        });
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3", "HTTP/2"] {
        refused(
            format!("GET / {version}\r\nHost: a\r\n\r\n"),
            RequestError::VersionNotSupported,
        );
    }
    refused(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        RequestError::VersionNotSupported,
    );
    accepted("x!#$%&'*+-.^_`|~9 / HTTP/1.0\r\nHost: a\r\n\r\n", |head| {
        assert_eq!(
            (head.method(), head.version()),
            ("x!#$%&'*+-.^_`|~9", Version::Http10)
        );
    });
}

/// RFC 9112 §3.2.
#[test]
fn reads_every_form_of_target() {
    let target =
        |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: h:1\r\n\r\n");
    for (method, raw, form, authority, path) in [
        ("GET", "/", TargetForm::Origin, "h:1", "/"),
        ("GET", "//b/c", TargetForm::Origin, "h:1", "//b/c"),
        ("GET", "/?", TargetForm::Origin, "h:1", "/?"),
        (
            "GET",
            "/%zz\"<>\\^`{|}",
            TargetForm::Origin,
            "h:1",
            "/%zz\"<>\\^`{|}",
        ),
        (
            "GET",
            "/http://b@c",
            TargetForm::Origin,
            "h:1",
            "/http://b@c",
        ),
        ("GET", "http://b", TargetForm::Absolute, "b", "/"),
        (
            "GET",
            "HTTPS://b:2/c?d",
            TargetForm::Absolute,
            "b:2",
            "/c?d",
        ),
        (
            "GET",
            "http://[::1]:2/c?d@e://f",
            TargetForm::Absolute,
            "[::1]:2",
            "/c?d@e://f",
        ),
        ("OPTIONS", "*", TargetForm::Asterisk, "h:1", "*"),
        ("OPTIONS", "http://b", TargetForm::Absolute, "b", "*"),
        ("OPTIONS", "http://b/", TargetForm::Absolute, "b", "/"),
        ("OPTIONS", "/a", TargetForm::Origin, "h:1", "/a"),
    ] {
        accepted(target(method, raw), |head| {
            assert_eq!(
                (head.target_form(), head.authority(), head.path_and_query()),
                (form, authority, path),
                "{raw}"
            );
            let scheme = raw.contains("://").then(|| {
                if raw.starts_with("HTTPS") {
                    "https"
                } else {
                    "http"
                }
            });
            assert_eq!(
                head.scheme(),
                scheme.filter(|_| form == TargetForm::Absolute)
            );
            assert_eq!(head.header("host"), Some(&b"h:1"[..]));
        });
    }
    for (method, raw, fault) in [
        ("GET", "*", Fault::TargetForm),
        ("OPTIONS", "*a", Fault::TargetForm),
        ("GET", "a", Fault::TargetForm),
        ("GET", "?a", Fault::TargetForm),
        ("GET", "h:80", Fault::TargetForm),
        ("GET", "http:/a", Fault::TargetForm),
        ("GET", "ftp://a/", Fault::TargetForm),
        ("GET", "://a/", Fault::TargetForm),
        ("GET", "http://a?b", Fault::TargetForm),
        ("GET", "http://", Fault::Authority),
        ("GET", "http:///a", Fault::Authority),
        ("GET", "http://u@a/", Fault::Authority),
        ("GET", "http://u:p@a/", Fault::Authority),
        ("GET", "http://a:b/", Fault::Authority),
        ("GET", "http://a\\b/", Fault::Authority),
        ("GET", "/a#b", Fault::Target),
        ("GET", "/#", Fault::Target),
        ("GET", "http://a/#b", Fault::Target),
        ("GET", "/\u{e9}", Fault::Target),
    ] {
        refused(target(method, raw), fault);
    }
    // Bytes that are not even UTF-8.
    with(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", |parsed| {
        assert_eq!(parsed.unwrap_err().status(), 400);
    });
    refused(target("CONNECT", "a:443"), RequestError::ConnectRefused);
    refused(target("CONNECT", "/"), RequestError::ConnectRefused);
    assert_eq!(RequestError::ConnectRefused.status(), 501);
}

/// RFC 9112 §3.2: 400 for a `Host` that is missing, repeated or malformed; in HTTP/1.0 and
/// absolute-form as well.
#[test]
fn insists_on_one_good_host() {
    for line in ["GET / HTTP/1.1", "GET / HTTP/1.0", "GET http://a/ HTTP/1.1"] {
        refused(format!("{line}\r\n\r\n"), Fault::HostMissing);
        refused(format!("{line}\r\nX-Host: a\r\n\r\n"), Fault::HostMissing);
        refused(
            format!("{line}\r\nHost: a\r\nhost: a\r\n\r\n"),
            Fault::HostRepeated,
        );
        refused(
            format!("{line}\r\nHost: a\r\nHOST: b\r\n\r\n"),
            Fault::HostRepeated,
        );
        for host in [
            "", " ", "a b", "a,b", "a, a", "u@a", "a/b", "a:x", "a:", "http://a", "[::1", "a\t",
            "a#", "a?b",
        ] {
            if host == "a\t" {
                // Trailing whitespace isn't part of the value.
                accepted(format!("{line}\r\nHost: {host}\r\n\r\n"), |head| {
                    assert_eq!(head.authority(), "a");
                });
            } else {
                refused(format!("{line}\r\nHost: {host}\r\n\r\n"), Fault::Authority);
            }
        }
    }
}

/// RFC 9110 §8.6, RFC 9112 §6.3.
#[test]
fn refuses_ambiguous_lengths() {
    for value in [
        "",
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5 5",
        "0x5",
        "5.0",
        "5;",
        "a",
        "18446744073709551616",
        "99999999999999999999",
        "5\u{b2}",
        "\"5\"",
        "1e3",
    ] {
        refused(
            get(&format!("Content-Length: {value}\r\n")),
            Fault::ContentLength,
        );
    }
    refused(
        get("Content-Length: 5\r\nContent-Length: 5\r\n"),
        Fault::ContentLengthRepeated,
    );
    refused(
        get("Content-Length: 5\r\ncontent-length: 6\r\n"),
        Fault::ContentLengthRepeated,
    );
    for (value, length) in [
        ("0", 0),
        (" 5\t", 5),
        ("005", 5),
        ("18446744073709551615", u64::MAX),
    ] {
        accepted(get(&format!("Content-Length: {value}\r\n")), |head| {
            assert_eq!(head.body(), Body::Length(length));
        });
    }
    for both in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        refused(get(both), Fault::LengthAndCoding);
        refused(
            get(both).replace("HTTP/1.1", "HTTP/1.0"),
            Fault::LengthAndCoding,
        );
    }
    refused(
        get("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n"),
        Fault::LengthAndCoding,
    );
}

/// RFC 9112 §6.1, §7.
#[test]
fn refuses_codings_but_chunked() {
    for value in ["chunked", "CHUNKED", "Chunked", "\tchunked "] {
        accepted(get(&format!("Transfer-Encoding:{value}\r\n")), |head| {
            assert_eq!(head.body(), Body::Chunked);
        });
    }
    for value in [
        "",
        "identity",
        "xchunked",
        "chunkedx",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked, gzip",
        "gzip",
        "chunked;a=b",
        "\"chunked\"",
        "chunked chunked",
        "identity, chunked",
        "foo, chunked",
        "gzip, chunked, chunked",
        "\u{a0}chunked",
        "chunke\u{212a}",
    ] {
        refused(
            get(&format!("Transfer-Encoding: {value}\r\n")),
            Fault::TransferEncoding,
        );
    }
    refused(
        get("Transfer-Encoding: \x0bchunked\r\n"),
        Fault::HeaderValue,
    );
    refused(get("Transfer-Encoding : chunked\r\n"), Fault::HeaderName);
    refused(
        get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Fault::TransferEncoding,
    );
    refused(
        get("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        Fault::TransferEncoding,
    );
    refused(
        get("Transfer-Encoding: gzip, chunked\r\n"),
        RequestError::CodingNotImplemented,
    );
    refused(
        get("Transfer-Encoding: deflate,X-Gzip ,\tchunked\r\n"),
        RequestError::CodingNotImplemented,
    );
    refused(
        get("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0"),
        Fault::CodingInHttp10,
    );
}

/// RFC 9112 §9.3.
#[test]
fn knows_when_the_connection_stays() {
    for (version, connection, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("1.1", "Connection: ,, x-y ,close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection:\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let bytes = get(connection).replace("1.1", version);
        accepted(&bytes, |head| {
            assert_eq!(head.keep_alive(), stays, "{bytes:?}");
        });
    }
}

/// RFC 9110 §10.1.1.
#[test]
fn knows_who_waits_for_a_continue() {
    for (lines, version, waits) in [
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", "1.1", true),
        (
            "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n",
            "1.1",
            true,
        ),
        ("Expect: 100-continue\r\n", "1.1", false),
        (
            "Expect: 100-continue\r\nContent-Length: 0\r\n",
            "1.1",
            false,
        ),
        (
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
            "1.0",
            false,
        ),
        ("Expect: 200-ok\r\nContent-Length: 5\r\n", "1.1", false),
    ] {
        let bytes = get(lines).replace("1.1", version);
        accepted(&bytes, |head| {
            assert_eq!(head.expects_continue(), waits, "{bytes:?}");
            assert_eq!(head.header("expect").is_some(), version == "1.1");
        });
        assert_eq!(written(&bytes).contains("Expect"), version == "1.1");
    }
}

/// RFC 9110 §7.8.
#[test]
fn reports_upgrades_but_never_h2c() {
    let upgrade = |lines: &str| accepted(get(lines), |head| head.upgrade().map(<[u8]>::to_vec));
    assert_eq!(
        upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\n").unwrap(),
        b"websocket"
    );
    assert_eq!(
        upgrade("Upgrade: WebSocket/13\r\nConnection: keep-alive, upgrade\r\n").unwrap(),
        b"WebSocket/13"
    );
    for lines in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade, http2-settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(upgrade(lines), None, "{lines:?}");
        assert_eq!(written(get(lines)), "Host: a\r\n", "{lines:?}");
    }
    let old = get("Connection: upgrade\r\nUpgrade: websocket\r\n").replace("1.1", "1.0");
    accepted(old, |head| assert_eq!(head.upgrade(), None));
}

/// RFC 9110 §7.6.1.
#[test]
fn keeps_what_is_of_this_connection() {
    let lines = "A: 1\r\nConnection: close, X-Hop, te\r\nKeep-Alive: 5\r\nx-hop: 2\r\nProxy-Connection: x\r\nTE: trailers, gzip;q=1\r\n\
        Upgrade: websocket\r\nHTTP2-Settings: x\r\nContent-Length: 5\r\nTrailer: B\r\nX-Hop2: 3\r\nB:\t 4 \r\nX-HOP: 5\r\nProxy-Authorization: 6\r\n";
    assert_eq!(
        written(get(lines)),
        "Host: a\r\nA: 1\r\nTrailer: B\r\nX-Hop2: 3\r\nB:\t 4 \r\nProxy-Authorization: 6\r\n"
    );
    accepted(get(lines), |head| {
        let names: Vec<_> = head.headers().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["Host", "A", "Trailer", "X-Hop2", "B", "Proxy-Authorization"]
        );
        for name in [
            "x-hop",
            "Connection",
            "te",
            "content-length",
            "transfer-encoding",
            "upgrade",
        ] {
            assert_eq!(
                (head.header(name), head.header_all(name).count()),
                (None, 0),
                "{name}"
            );
        }
        assert!(head.accepts_trailers());
        let mut out = b"before ".to_vec();
        head.write_headers(&mut out, |name| !["A", "Host", "B"].contains(&name));
        assert_eq!(
            out,
            b"before Trailer: B\r\nX-Hop2: 3\r\nProxy-Authorization: 6\r\n"
        );
        let mut out = Vec::new();
        head.write_headers(&mut out, |_| false);
        assert!(out.is_empty());
    });
    accepted(get("TE: gzip\r\n"), |head| {
        assert!(!head.accepts_trailers());
    });
}

/// RFC 9110 §7.6.1: "a sender MUST NOT send a connection option corresponding to a field that is
/// intended for all recipients of the content".
#[test]
fn lets_nobody_strip_what_matters() {
    for name in [
        "host",
        "Host",
        "content-length",
        "authorization",
        "Cookie",
        "X-Forwarded-For",
        "x-forwarded-anything",
        "Forwarded",
        "x-real-ip",
        "x-request-id",
        "traceparent",
        "x-envoy-original-path",
        "expect",
        "content-type",
        "trailer",
    ] {
        refused(
            get(&format!("Connection: close, {name}\r\n")),
            Fault::ProtectedField,
        );
    }
    // These never leave, and are written anew: naming them changes nothing.
    accepted(
        get("Connection: transfer-encoding, keep-alive, te\r\nTransfer-Encoding: chunked\r\n"),
        |head| {
            assert_eq!(head.body(), Body::Chunked);
        },
    );
    for value in ["a b", "\"x\"", "a;b", "(x)", "\u{e9}", "close;q=1", "x:y"] {
        refused(
            get(&format!("Connection: {value}\r\n")),
            Fault::ConnectionOption,
        );
    }
    let names = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    accepted(get(&format!("Connection: {},x-0\r\n", names(10))), |_| ());
    refused(
        get(&format!("Connection: {}\r\n", names(11))),
        Fault::ConnectionOption,
    );
    refused(
        get(&format!("Connection: {}\r\nConnection: y\r\n", names(10))),
        Fault::ConnectionOption,
    );
}

#[test]
fn keeps_heads_within_their_limits() {
    let limits = Limits {
        head_bytes: 100,
        headers: 3,
        ..Limits::default()
    };
    let parse = |bytes: &[u8]| {
        let mut slots = Slots::new();
        RequestHead::parse(bytes, &limits, &mut slots).map(|head| head.map(|head| head.len()))
    };
    let padded = |len: usize| {
        let empty = get("X: \r\n").len();
        get(&format!("X: {}\r\n", "x".repeat(len - empty)))
    };
    assert_eq!(parse(padded(100).as_bytes()), Ok(Some(100)));
    assert_eq!(
        parse((padded(100) + &"x".repeat(500)).as_bytes()),
        Ok(Some(100)),
        "what follows the head doesn't count"
    );
    let too_large = Err(RequestError::HeaderFieldsTooLarge { limit: 100 });
    assert_eq!(parse(padded(101).as_bytes()), too_large);
    assert_eq!(
        parse(&padded(101).as_bytes()[..100]),
        too_large,
        "even before it is all there"
    );
    assert_eq!(parse(&padded(101).as_bytes()[..99]), Ok(None));
    assert_eq!(
        parse(("\r\n\r\n".to_owned() + &padded(97)).as_bytes()),
        too_large,
        "empty lines count"
    );
    assert_eq!(
        parse(format!("GET /{}", "a".repeat(95)).as_bytes()),
        Err(RequestError::UriTooLong { limit: 100 })
    );

    assert_eq!(
        parse(get("A:\r\nB:\r\n").as_bytes()).map(|len| len.is_some()),
        Ok(true)
    );
    assert_eq!(
        parse(get("A:\r\nB:\r\nC:\r\n").as_bytes()),
        Err(RequestError::TooManyHeaders { limit: 3 })
    );
    assert_eq!(RequestError::UriTooLong { limit: 1 }.status(), 414);
    assert_eq!(RequestError::TooManyHeaders { limit: 1 }.status(), 431);
    assert_eq!(
        RequestError::HeaderFieldsTooLarge { limit: 1 }.status(),
        431
    );
    for head_bytes in 0..4 {
        let limits = Limits {
            head_bytes,
            ..limits.clone()
        };
        assert!(RequestHead::parse(b"\r\n\r\n\r\n", &limits, &mut Slots::new()).is_err());
    }
}

#[test]
fn more_headers_than_fit_the_stack_are_a_matter_of_limits() {
    let lines = |count: usize| {
        get(&(1..count)
            .map(|n| format!("X-{n}: {n}\r\n"))
            .collect::<String>())
    };
    accepted(lines(100), |head| assert_eq!(head.headers().count(), 100));
    refused(lines(101), RequestError::TooManyHeaders { limit: 100 });
    let limits = Limits {
        headers: 300,
        ..Limits::default()
    };
    let (bytes, mut slots) = (lines(300), Slots::new());
    let head = RequestHead::parse(bytes.as_bytes(), &limits, &mut slots)
        .unwrap()
        .unwrap();
    assert_eq!(head.headers().last(), Some(("X-299", &b"299"[..])));
}

#[test]
fn values_stay_out_of_debug_output() {
    accepted(get("Authorization: s3cret\r\n"), |head| {
        let shown = format!("{head:?}");
        assert!(
            shown.contains("Authorization") && !shown.contains("s3cret"),
            "{shown}"
        );
    });
}
