//! Logs of generations: any bytes are read in linear time as intact records and a rest, what is read before a
//! fault does not depend on what follows, and the records are chained.

#![no_main]

use generations::RecordHash;
use generations::log::{Rest, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    // Hashes that fit, so that the text's decoder is reached: each line of the input is a record's text.
    let mut log = Vec::new();
    for text in data.split(|&byte| byte == b'\n') {
        log.extend_from_slice(&encode(text));
    }
    check(&log);
});

fn check(data: &[u8]) {
    let decoded = decode(data);
    let intact = usize::try_from(decoded.intact_bytes).unwrap();
    let alone = decode(&data[..intact]);
    assert_eq!(alone.records, decoded.records);
    assert_eq!(alone.rest, Rest::Nothing);
    let (mut seq, mut hash) = (0, RecordHash::NONE);
    for record in &decoded.records {
        assert_eq!((record.seq, record.previous), (seq + 1, hash));
        (seq, hash) = (record.seq, record.hash);
    }
    match decoded.rest {
        Rest::Nothing => assert_eq!(intact, data.len()),
        Rest::Torn(bytes) => assert_eq!(intact as u64 + bytes, data.len() as u64),
        Rest::Damaged { later, .. } => {
            assert!(later.iter().all(|record| record.hash != RecordHash::NONE))
        }
    }
    // A torn write of the last line is never damage.
    if intact > 0 {
        let torn = decode(&data[..intact - 1]);
        assert!(matches!(torn.rest, Rest::Torn(_)), "{:?}", torn.rest);
        assert_eq!(torn.records.len() + 1, decoded.records.len());
    }
}
