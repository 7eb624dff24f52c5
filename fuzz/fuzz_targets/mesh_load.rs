//! Documents of any kind: loading them ends, in a time bound by their size, and gives the same whichever reader
//! reads them.
//!
//! Plain block style in ASCII has a reader of its own, all else goes to the full YAML parser. So a comment in front
//! that is not ASCII must change nothing.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mesh::{Options, SourceFile, load};

/// Far above what loading takes on a slow machine with instrumentation, and far below what an input takes that makes
/// some step quadratic: a file may have 64 MiB.
const LONGEST: Duration = Duration::from_secs(2);
const LONGEST_PER_BYTE: Duration = Duration::from_micros(100);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let started = Instant::now();
    let by_any = outcome("# a", text);
    let took = started.elapsed();
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    assert!(
        took < LONGEST + LONGEST_PER_BYTE * bytes,
        "{bytes} bytes took {took:?}"
    );
    assert_eq!(by_any, outcome("# \u{e4}", text));
});

/// All that comes of loading a document behind a comment.
fn outcome(comment: &str, text: &str) -> String {
    let file = SourceFile {
        path: "in.yaml".into(),
        text: format!("{comment}\n{text}"),
    };
    format!("{:?}", load(&[file], &Options::default()))
}
