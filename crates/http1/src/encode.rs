//! Writing what frames a body. Numbers are formatted by hand: `write!` takes the detour of dynamic
//! formatting, and this runs for every message and every chunk.

/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The chunk that ends a chunked body; trailer fields, if any, and [`CHUNK_END`] follow it.
pub const LAST_CHUNK: &[u8] = b"0\r\n";

/// Appends the line before `len` bytes of chunk data; [`CHUNK_END`] goes after them.
///
/// `len` must not be 0, which would end the body: send no chunk for no data.
pub fn write_chunk_header(len: usize, out: &mut Vec<u8>) {
    debug_assert!(len > 0, "an empty chunk ends the body");
    let mut line = [0; 18];
    line[16..].copy_from_slice(b"\r\n");
    let mut start = 16;
    let mut rest = len as u64;
    loop {
        start -= 1;
        line[start] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&line[start..]);
}

pub(crate) fn write_content_length(length: u64, out: &mut Vec<u8>) {
    const NAME: &[u8; 16] = b"Content-Length: ";
    // The longest number has 20 digits. The line is put together backwards and copied once.
    let mut line = [0; 16 + 20 + 2];
    line[36..].copy_from_slice(b"\r\n");
    let mut start = 36;
    let mut rest = length;
    loop {
        start -= 1;
        line[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    start -= NAME.len();
    line[start..start + NAME.len()].copy_from_slice(NAME);
    out.extend_from_slice(&line[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_would() {
        for number in [
            0,
            1,
            9,
            10,
            15,
            16,
            99,
            255,
            256,
            4096,
            65_535,
            1 << 32,
            (1 << 53) + 1,
            u64::MAX,
        ] {
            let mut out = b"x".to_vec();
            write_content_length(number, &mut out);
            assert_eq!(out, format!("xContent-Length: {number}\r\n").into_bytes());
            if number > 0 {
                out.clear();
                write_chunk_header(number as usize, &mut out);
                assert_eq!(out, format!("{number:x}\r\n").into_bytes());
            }
        }
    }
}
