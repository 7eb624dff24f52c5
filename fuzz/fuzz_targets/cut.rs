//! What all targets check.

use http1::Limits;

use crate::connection::{Side, read};

/// The first four bytes say where the rest is cut.
pub fn cuts(data: &[u8]) -> Option<([usize; 2], &[u8])> {
    let (&[a, b, c, d], bytes) = data.split_first_chunk()?;
    Some((
        [[a, b], [c, d]].map(|cut| usize::from(u16::from_le_bytes(cut))),
        bytes,
    ))
}

/// Panics when `bytes` read differently in three pieces than in one.
pub fn changes_nothing(side: Side, limits: &Limits, bytes: &[u8], cuts: [usize; 2]) {
    let mut cuts = cuts.map(|cut| cut % (bytes.len() + 1));
    cuts.sort_unstable();
    let pieces = [
        &bytes[..cuts[0]],
        &bytes[cuts[0]..cuts[1]],
        &bytes[cuts[1]..],
    ];
    assert_eq!(read(side, limits, pieces), read(side, limits, [bytes]));
}

/// Panics when `head` could be read as anything but one head.
#[allow(dead_code, reason = "bodies have no head")]
pub fn is_one_head(head: &[u8]) {
    let start = head
        .iter()
        .position(|&byte| byte != b'\r' && byte != b'\n')
        .expect("a head has a start line");
    let head = &head[start..];
    let end = head
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head has an empty line");
    assert_eq!(end + 4, head.len(), "an empty line comes once, at the end");
    for (at, &byte) in head.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(head[at - 1], b'\r', "a bare LF"),
            b'\r' => assert_eq!(head[at + 1], b'\n', "a bare CR"),
            _ => assert!(
                byte == b'\t' || (byte >= b' ' && byte != 0x7f),
                "a control byte"
            ),
        }
    }
}
