//! What a peer may make us hold. Everything it controls is bounded here.

/// Limits on one message. Going over any of them is an error, never a truncation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, from the start line to the empty line (default 32 KiB: browsers stop near
    /// 16 KiB of cookies and servers at 8 to 80 KiB, so real heads fit, while 10,000 clients that
    /// trickle one pin at most 320 MiB).
    pub head_bytes: usize,
    /// Header fields in a head, and again in a trailer section (default 100, as Apache httpd;
    /// browsers send about 20).
    pub headers: usize,
    /// Bytes of a chunk-size line with its extensions and CRLF (default 256: nobody uses
    /// extensions, and without a limit one byte of data can cost any number of bytes read, as in
    /// CVE-2023-39326).
    pub chunk_line_bytes: usize,
    /// Bytes of a trailer section with its empty line (default 8 KiB: gRPC's status and message,
    /// with room).
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            headers: 100,
            chunk_line_bytes: 256,
            trailer_bytes: 8 * 1024,
        }
    }
}
