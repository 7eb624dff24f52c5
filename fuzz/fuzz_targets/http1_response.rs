//! Responses: how the bytes are cut changes nothing, and what is written to the client reads back
//! the same.

#![no_main]

use http1::{Limits, RequestKind, ResponseHead, Slots};
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
    let kind = RequestKind {
        head: cuts[0] % 2 == 1,
        upgrade: cuts[1] % 2 == 1,
    };
    cut::changes_nothing(Side::Responses(kind), &limits, bytes, cuts);

    let (mut slots, mut again) = (Slots::new(), Slots::new());
    let Ok(Some(head)) = ResponseHead::parse(bytes, kind, &limits, &mut slots) else {
        return;
    };
    cut::is_one_head(&bytes[..head.len()]);
    if head.is_switching_protocols() {
        // The caller writes the `Upgrade` that belongs to it.
        return;
    }
    let mut out = format!("HTTP/1.1 {} {}\r\n", head.status(), head.reason()).into_bytes();
    head.write_headers(&mut out, |_| true);
    head.body().write_header(&mut out);
    out.extend_from_slice(b"\r\n");
    cut::is_one_head(&out);

    let reread = ResponseHead::parse(
        &out,
        kind,
        &Limits {
            head_bytes: out.len() + 1,
            ..limits.clone()
        },
        &mut again,
    )
    .expect("what we write is valid")
    .expect("and complete");
    assert_eq!(reread.len(), out.len());
    let (before, after) = (connection::response(&head), connection::response(&reread));
    assert_eq!(
        (before.status, before.headers, before.body),
        (after.status, after.headers, after.body)
    );
});
