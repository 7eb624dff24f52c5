//! hyper reads the same bytes: whatever we accept it must accept, and read as the same message. It
//! is more lenient in places; those are listed, so that the list stays true.
//!
//! The connections are hyper's real ones, over an in-memory pipe.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use http1::{Body, Limits, RequestKind, TargetForm};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connection::{Fields, Item, Request, Response, Side, read};
use crate::messages::{self, Wire};

/// Larger than any message here, so that the pipe never blocks.
const PIPE_BYTES: usize = 1 << 20;

/// A message as both sides tell of it: end-to-end fields sorted by name, content and trailers.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    /// `METHOD path` or the status.
    start: String,
    authority: Option<String>,
    headers: Fields,
    data: Vec<u8>,
    trailers: Fields,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers always starts");
    runtime.block_on(tokio::task::LocalSet::new().run_until(future))
}

/// The requests that hyper reads to their end from `bytes`.
fn hyper_requests(bytes: &[u8]) -> Vec<Message> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let (mut client, server) = tokio::io::duplex(PIPE_BYTES);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let seen = seen.clone();
            async move {
                let (head, body) = request.into_parts();
                if let Some((data, trailers)) = collect(body).await {
                    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
                    let authority = head
                        .uri
                        .authority()
                        .map(|authority| authority.as_str().to_owned());
                    let host = || {
                        head.headers
                            .get("host")
                            .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
                    };
                    seen.borrow_mut().push(Message {
                        start: format!("{} {path}", head.method),
                        authority: authority.or_else(host),
                        headers: end_to_end(&head.headers),
                        data,
                        trailers,
                    });
                }
                Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
            }
        });
        client.write_all(bytes).await.expect("the pipe has room");
        client.shutdown().await.expect("the pipe is open");
        // An error is one way to refuse the rest; what counts is what was seen.
        drop(
            hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(server), service)
                .await,
        );
    });
    seen.take()
}

/// The final response that hyper reads to its end from `bytes`.
fn hyper_response(bytes: &[u8], kind: RequestKind) -> Option<Message> {
    block_on(async {
        let (client, mut server) = tokio::io::duplex(PIPE_BYTES);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client))
            .await
            .ok()?;
        tokio::task::spawn_local(connection);
        let method = if kind.head { "HEAD" } else { "GET" };
        let request = hyper::Request::builder()
            .method(method)
            .uri("/")
            .header("host", "a")
            .body(Empty::<Bytes>::new());
        let response = sender.send_request(request.expect("the request is valid"));
        let answer = async {
            // hyper takes bytes before its request for an answer to none.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                server
                    .read_buf(&mut request)
                    .await
                    .expect("the pipe is open");
            }
            server.write_all(bytes).await.expect("the pipe has room");
            drop(server);
        };
        let (response, ()) = tokio::join!(response, answer);
        let (head, body) = response.ok()?.into_parts();
        let (data, trailers) = collect(body).await?;
        Some(Message {
            start: head.status.as_u16().to_string(),
            authority: None,
            headers: end_to_end(&head.headers),
            data,
            trailers,
        })
    })
}

async fn collect(body: Incoming) -> Option<(Vec<u8>, Fields)> {
    let body = body.collect().await.ok()?;
    let mut trailers = body.trailers().map(fields).unwrap_or_default();
    // Of the names that are put in here, those that RFC 9110 §6.5.1 bars.
    let barred = [
        "host",
        "connection",
        "transfer-encoding",
        "content-length",
        "upgrade",
        "expect",
        "te",
        "trailer",
        "cookie",
        "keep-alive",
        "proxy-connection",
    ];
    trailers.retain(|(name, _)| !barred.contains(&name.as_str()));
    Some((body.to_bytes().to_vec(), trailers))
}

fn fields(map: &HeaderMap) -> Fields {
    let mut fields: Fields = map
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    // Stable: values of one name stay in order.
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

/// RFC 9110 §7.6.1 once more, written without looking at ours.
fn end_to_end(map: &HeaderMap) -> Fields {
    let mut dropped: Vec<String> = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "http2-settings",
    ]
    .map(str::to_owned)
    .to_vec();
    for value in map.get_all("connection") {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        dropped.extend(value.split(',').map(|option| option.trim().to_owned()));
    }
    let mut fields = fields(map);
    fields.retain(|(name, _)| !dropped.contains(name));
    fields
}

fn sorted(fields: &Fields) -> Fields {
    let mut fields: Fields = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

/// The messages that we read to their end.
fn our_messages(side: Side, bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut message = None;
    for item in read(side, &Limits::default(), [bytes]) {
        match (item, &mut message) {
            (Item::Request(head), _) => message = Some(request_message(&head)),
            (Item::Response(head), _) => message = Some(response_message(&head)),
            (Item::Data(data), Some(message)) => message.data = data,
            (Item::Trailers(fields), Some(message)) => message.trailers = sorted(&fields),
            (Item::End, _) => messages.extend(message.take()),
            _ => {}
        }
    }
    messages
}

fn request_message(head: &Request) -> Message {
    let mut headers = sorted(&head.headers);
    if head.version == http1::Version::Http10 {
        headers.retain(|(name, _)| name != "expect");
    }
    // hyper has no way to say `OPTIONS *` of an absolute target.
    let absolute_asterisk = head.form == TargetForm::Absolute && head.path_and_query == "*";
    let path = if absolute_asterisk {
        "/"
    } else {
        &head.path_and_query
    };
    Message {
        start: format!("{} {path}", head.method),
        authority: Some(head.authority.clone()),
        headers,
        data: Vec::new(),
        trailers: Vec::new(),
    }
}

fn response_message(head: &Response) -> Message {
    Message {
        start: head.status.to_string(),
        authority: None,
        headers: sorted(&head.headers),
        data: Vec::new(),
        trailers: Vec::new(),
    }
}

/// hyper's `Uri` refuses these in a path or query; browsers send some of them as they are, and they
/// separate nothing.
fn is_beyond_hypers_uri(message: &Message) -> bool {
    message
        .start
        .contains(['<', '>', '\\', '^', '`', '{', '|', '}', '"'])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hyper_reads_the_requests_we_accept(
        Wire(bytes) in messages::mutated(vec(messages::request(), 1..4).prop_map(|all| all.concat())),
    ) {
        let ours = our_messages(Side::Requests, &bytes);
        let hypers = hyper_requests(&bytes);
        for (at, message) in ours.iter().enumerate() {
            if is_beyond_hypers_uri(message) {
                break;
            }
            prop_assert_eq!(hypers.get(at), Some(message));
        }
    }

    #[test]
    fn hyper_reads_the_responses_we_accept(Wire(bytes) in messages::mutated(messages::response()), head in any::<bool>()) {
        let kind = RequestKind { head, upgrade: false };
        let ours = our_messages(Side::Responses(kind), &bytes);
        let Some(ours) = ours.last().filter(|message| !message.start.starts_with('1')) else { return Ok(()) };
        let hypers = hyper_response(&bytes, kind);
        prop_assert_eq!(hypers.as_ref(), Some(ours));
    }
}

/// A test that compares nothing would pass: generated requests are all accepted, and hyper sees
/// every one of them.
#[test]
fn the_comparison_compares() {
    let bytes = b"POST /a?b HTTP/1.1\r\nHost: a\r\nConnection: x\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ny: z\r\n\r\n\
        GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let ours = our_messages(Side::Requests, bytes);
    assert_eq!(ours.len(), 2);
    assert_eq!(
        (
            ours[0].data.as_slice(),
            ours[0].trailers.len(),
            ours[1].authority.as_deref()
        ),
        (&b"hi"[..], 1, Some("b"))
    );
    assert_eq!(hyper_requests(bytes), ours);

    let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nuntil close";
    let ours = our_messages(Side::Responses(RequestKind::default()), bytes);
    assert_eq!(ours[0].data, b"until close");
    assert_eq!(
        hyper_response(bytes, RequestKind::default()).as_ref(),
        ours.first()
    );
}

/// Where we are stricter on purpose. Each is what hyper takes and a proxy must not pass on.
#[test]
fn stricter_than_hyper_with_requests() {
    for (why, bytes) in [
        ("bare LF after the request line, RFC 9112 §2.2", &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..]),
        ("bare LF after a header", b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
        ("bare LF for the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("bare LF before the request line", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("many empty lines before the request line", b"\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no Host, RFC 9112 §3.2", b"GET / HTTP/1.1\r\n\r\n"),
        ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("a malformed Host", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        ("an empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("a fragment in the target", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a user name in the target", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a scheme that isn't HTTP's", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a query without a path", b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an asterisk without OPTIONS", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        ("equal Content-Lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"),
        ("both Content-Length and Transfer-Encoding", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a coding before chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("chunked twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("Transfer-Encoding twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("Connection that strips Host", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"),
        ("whitespace after a chunk size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n"),
    ] {
        assert_eq!(our_messages(Side::Requests, bytes), [], "{why}");
        assert_eq!(hyper_requests(bytes).len(), 1, "hyper refuses this as well, so take it off the list: {why}");
    }
}

/// As above, for what an upstream sends.
#[test]
fn stricter_than_hyper_with_responses() {
    let kind = RequestKind::default();
    for (why, bytes) in [
        (
            "bare LF after the status line, RFC 9112 §2.2",
            &b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"[..],
        ),
        (
            "bare LF after a header",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
        ),
        (
            "an empty line before the status line",
            b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "equal Content-Lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        ),
        (
            "both Content-Length and Transfer-Encoding",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a coding without chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ),
        (
            "a status over 599",
            b"HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "Connection that strips the length",
            b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        assert_eq!(our_messages(Side::Responses(kind), bytes), [], "{why}");
        assert!(
            hyper_response(bytes, kind).is_some(),
            "hyper refuses this as well, so take it off the list: {why}"
        );
    }
}

/// The two never differ in how a body is framed without one of them refusing; spelled out for what
/// is asked most.
#[test]
fn hyper_agrees_on_framing() {
    for (lines, body) in [
        ("", Body::Empty),
        ("Content-Length: 0\r\n", Body::Length(0)),
        ("Content-Length: 002\r\n\r\nhi", Body::Length(2)),
        (
            "Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Body::Chunked,
        ),
    ] {
        let mut bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}").into_bytes();
        if body == Body::Empty || body == Body::Length(0) {
            bytes.extend_from_slice(b"\r\n");
        }
        let items = read(Side::Requests, &Limits::default(), [&bytes[..]]);
        assert!(
            matches!(&items[0], Item::Request(request) if request.body == body),
            "{items:?}"
        );
        assert_eq!(hyper_requests(&bytes), our_messages(Side::Requests, &bytes));
    }
}
