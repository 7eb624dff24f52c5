//! Load reports: any value reads within its bounds or is refused, what is read is written so that it
//! reads back, and what protobuf bytes say does not depend on the base64 around them.

#![no_main]

use dalbi_load::{Format, LoadReport, MAX_BYTES, MAX_METRICS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let in_header = LoadReport::parse(data);
    let bare = LoadReport::parse_bin(data);
    if let Some(base64) = data.strip_prefix(b"BIN ") {
        assert_eq!(in_header, LoadReport::parse_bin(base64));
    }
    for report in [in_header, bare].into_iter().flatten() {
        assert!(report.named_metrics.len() <= MAX_METRICS);
        for format in [Format::Text, Format::Json, Format::Bin] {
            let value = report.to_header(format);
            assert!(value.len() <= MAX_BYTES, "{value}");
            match LoadReport::parse(value.as_bytes()) {
                Ok(again) => {
                    assert_eq!(again.in_flight, report.in_flight, "{value}");
                    assert_eq!(again.draining, report.draining, "{value}");
                }
                // An empty message has no bytes, which is refused as no report.
                Err(error) => assert_eq!(value, "BIN ", "{error}"),
            }
        }
    }
});
