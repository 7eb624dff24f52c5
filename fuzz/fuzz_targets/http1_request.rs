//! Requests, pipelined: how the bytes are cut changes nothing, a head is within its bytes and its
//! lines end in CRLF, and what is written upstream reads back as the same request with nothing of
//! the client's connection in it.

#![no_main]

use http1::{Limits, RequestHead, Slots};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/http1/tests/wire/connection.rs"]
#[allow(
    dead_code,
    reason = "shared with the property tests, which use more of it"
)]
mod connection;
mod cut;

use connection::Side;

fuzz_target!(|data: &[u8]| {
    let Some((cuts, bytes)) = cut::cuts(data) else {
        return;
    };
    let limits = Limits::default();
    cut::changes_nothing(Side::Requests, &limits, bytes, cuts);

    let (mut slots, mut again) = (Slots::new(), Slots::new());
    let Ok(Some(head)) = RequestHead::parse(bytes, &limits, &mut slots) else {
        return;
    };
    cut::is_one_head(&bytes[..head.len()]);

    let mut out = format!("{} {} HTTP/1.1\r\n", head.method(), head.path_and_query()).into_bytes();
    out.extend_from_slice(format!("Host: {}\r\n", head.authority()).as_bytes());
    head.write_headers(&mut out, |name| !name.eq_ignore_ascii_case("host"));
    head.body().write_header(&mut out);
    out.extend_from_slice(b"\r\n");
    cut::is_one_head(&out);

    let reread = RequestHead::parse(
        &out,
        &Limits {
            head_bytes: out.len() + 1,
            ..limits.clone()
        },
        &mut again,
    )
    .expect("what we write is valid")
    .expect("and complete");
    assert_eq!(reread.len(), out.len());
    let (mut before, mut after) = (connection::request(&head), connection::request(&reread));
    for request in [&mut before, &mut after] {
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    }
    assert_eq!(
        (
            before.method,
            before.path_and_query,
            before.authority,
            before.headers,
            before.body
        ),
        (
            after.method,
            after.path_and_query,
            after.authority,
            after.headers,
            after.body
        )
    );
    assert!(after.keep_alive && after.upgrade.is_none());
});
