//! Bodies of every kind, under small limits: how the bytes are cut changes nothing, nothing is
//! taken that isn't there.

#![no_main]

use http1::{Limits, RequestKind};
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
    let Some((&[kind, limit], data)) = data.split_first_chunk() else {
        return;
    };
    let Some((cuts, body)) = cut::cuts(data) else {
        return;
    };
    let framing = match kind % 4 {
        0 => String::new(),
        1 => format!("Content-Length: {}\r\n", body.len() / 2),
        _ => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{framing}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    let limits = if kind < 128 {
        Limits::default()
    } else {
        let limit = usize::from(limit);
        Limits {
            chunk_line_bytes: limit,
            trailer_bytes: limit,
            headers: 1 + limit / 8,
            ..Limits::default()
        }
    };
    cut::changes_nothing(
        Side::Responses(RequestKind::default()),
        &limits,
        &bytes,
        cuts,
    );
});
