//! Nanoseconds for the head of a browser's request and of a typical response: parse, classify, and
//! write upstream.
//!
//! `cargo bench -p http1`. No framework: the figure to watch is far above what timer noise could
//! hide, and the minimum over many rounds says what the code costs without its neighbours on the
//! machine.

#![allow(missing_docs, reason = "a benchmark has no public items")]
#![allow(
    clippy::disallowed_types,
    reason = "the crate under test reads no clock, but a benchmark must"
)]

use std::hint::black_box;
use std::time::Instant;

use http1::{Limits, RequestHead, RequestKind, ResponseHead, Slots};

const REQUEST: &[u8] = b"GET /products/42?ref=home&utm_source=mail HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Referer: https://shop.example.com/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=4f1c9a2be7d04f6c8a3e5d7f90b1c2d3; theme=dark; cart=17\r\n\
    \r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx\r\n\
    Date: Fri, 20 Nov 2026 18:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 1024\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=60\r\n\
    ETag: \"65a1-3f0\"\r\n\
    \r\n";

fn main() {
    let limits = Limits::default();
    let mut out = Vec::with_capacity(4096);

    report("request, 12 headers: parse", || {
        let mut slots = Slots::new();
        let head = RequestHead::parse(black_box(REQUEST), &limits, &mut slots);
        black_box(&head);
    });
    report("request, 12 headers: parse and write", || {
        let mut slots = Slots::new();
        let head = RequestHead::parse(black_box(REQUEST), &limits, &mut slots);
        let head = head
            .expect("the head is valid")
            .expect("the head is complete");
        out.clear();
        out.extend_from_slice(head.method().as_bytes());
        out.push(b' ');
        out.extend_from_slice(head.path_and_query().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        head.write_headers(&mut out, |_| true);
        head.body().write_header(&mut out);
        out.extend_from_slice(b"\r\n");
        black_box((
            out.as_slice(),
            head.keep_alive(),
            head.authority(),
            head.len(),
        ));
    });
    report("response, 7 headers: parse and write", || {
        let mut slots = Slots::new();
        let head = ResponseHead::parse(
            black_box(RESPONSE),
            RequestKind::default(),
            &limits,
            &mut slots,
        );
        let head = head
            .expect("the head is valid")
            .expect("the head is complete");
        out.clear();
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        head.write_headers(&mut out, |_| true);
        head.body().write_header(&mut out);
        out.extend_from_slice(b"\r\n");
        black_box((out.as_slice(), head.keep_alive(), head.len()));
    });
}

fn report(what: &str, mut work: impl FnMut()) {
    const ROUNDS: usize = 200;
    const PER_ROUND: u32 = 5_000;
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PER_ROUND {
                work();
            }
            start.elapsed() / PER_ROUND
        })
        .min()
        .unwrap_or_default();
    println!("{what}: {} ns", best.as_nanos());
}
