//! The log: what happened to generations, in order. It is the store's truth and its audit at once.
//!
//! The module is public for those who read a log elsewhere; the store's own is
//! [`View::log`](crate::View::log). One record a line, so that people can read it with what they have:
//!
//! ```text
//! 000000f3 6a5c…64 digits {"seq":7,"epoch":2,"at_unix_ms":…,"previous":"…","by":"ann","why":"…","event":{…}}
//! ```
//!
//! First the bytes of the JSON text in hexadecimal, then the text's BLAKE3 hash. `previous` is the hash of the
//! record before, so that none can be changed, left out or put in between without the rest showing it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::Remains;
use crate::{GenerationId, ObjectId, RecordHash, TreeId};

/// Bytes of a record's text. The longest is of what was salvaged, with a generation in some hundred bytes; of others
/// the longest part is the detail, of at most 64 KiB.
pub const MAX_RECORD_BYTES: usize = 64 << 20;
/// Eight digits of length, 64 of hash, two blanks.
const HEAD_BYTES: usize = 8 + 1 + 64 + 1;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1.
    pub seq: u64,
    /// Which opening of the store wrote it.
    pub epoch: u64,
    /// When, by the clock of that time. Clocks move both ways: order is by `seq`.
    pub at_unix_ms: u64,
    /// The hash of the record before.
    pub previous: RecordHash,
    /// Who did it.
    pub by: String,
    /// Why.
    pub why: String,
    /// What happened.
    pub event: Event,
    /// The hash of this record's text.
    #[serde(skip_deserializing, default = "no_hash")]
    pub hash: RecordHash,
}

fn no_hash() -> RecordHash {
    RecordHash::NONE
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A process opened the store.
    Opened {
        /// The process.
        pid: u32,
        /// What it was started as.
        command: String,
    },
    /// The log was damaged, and this one begins with what could be read of the store.
    Salvaged {
        /// The file that the damaged log is kept in.
        file: String,
        /// The BLAKE3 hash of that file.
        hash: ObjectId,
        /// What could be read.
        remains: Box<Remains>,
        /// Records of the damaged log that other files name, by hash.
        superseded: Vec<RecordHash>,
    },
    /// A generation was written.
    Staged {
        /// Its name.
        id: GenerationId,
        /// Its number.
        number: u64,
        /// What was current.
        parent: Option<GenerationId>,
        /// What it serves.
        tree: TreeId,
        /// Where its documents are from.
        source: String,
        /// How many documents it has.
        documents: u64,
        /// Bytes of its documents.
        bytes: u64,
        /// Whether a tree known as bad was to be staged all the same.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
    },
    /// A generation is about to serve, on probation.
    Intent {
        /// Which.
        id: GenerationId,
        /// What served before and is gone back to.
        from: Option<GenerationId>,
        /// When its probation is to end, for people.
        deadline_unix_ms: u64,
        /// How it is applied.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        detail: Value,
    },
    /// The probation was made longer or shorter.
    Extended {
        /// Which generation's.
        id: GenerationId,
        /// When it is to end now.
        deadline_unix_ms: u64,
    },
    /// The generation is the current one from here on.
    Confirmed {
        /// Which.
        id: GenerationId,
        /// The evidence.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        detail: Value,
    },
    /// The generation no longer serves, and what was current before does.
    Ended {
        /// Which.
        id: GenerationId,
        /// In which way.
        end: End,
        /// The evidence.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        detail: Value,
    },
    /// A generation is kept for good.
    Pinned {
        /// Which.
        id: GenerationId,
        /// The pin's name.
        name: String,
    },
    /// A pin was taken away.
    Unpinned {
        /// Which generation's.
        id: GenerationId,
        /// The pin's name.
        name: String,
    },
    /// Generations were given up; their files are removed after this is written.
    Collected {
        /// Which.
        ids: Vec<GenerationId>,
    },
}

/// How a probation ends without a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum End {
    /// It did harm; its tree is known as bad from here on.
    RolledBack,
    /// A person took it back.
    Cancelled,
    /// A newer one took its place.
    Superseded,
    /// The process stopped in good order.
    Interrupted,
    /// The process ended in no good order, which the next one found; the tree is known as bad, since it may
    /// have been the reason.
    Crashed,
}

impl Event {
    /// The generation that it is about, if it is one.
    pub fn id(&self) -> Option<GenerationId> {
        match self {
            Self::Opened { .. } | Self::Salvaged { .. } | Self::Collected { .. } => None,
            Self::Staged { id, .. }
            | Self::Intent { id, .. }
            | Self::Extended { id, .. }
            | Self::Confirmed { id, .. }
            | Self::Ended { id, .. }
            | Self::Pinned { id, .. }
            | Self::Unpinned { id, .. } => Some(*id),
        }
    }
}

impl Record {
    /// Its line, and the record with its hash; `None` if it is longer than [`MAX_RECORD_BYTES`].
    pub(crate) fn encode(mut self) -> Option<(Self, Vec<u8>)> {
        let mut value = serde_json::to_value(&self).expect("a record has text keys only");
        if let Some(fields) = value.as_object_mut() {
            fields.remove("hash");
        }
        let text = value.to_string();
        if text.len() > MAX_RECORD_BYTES {
            return None;
        }
        self.hash = RecordHash::from_bytes(*blake3::hash(text.as_bytes()).as_bytes());
        Some((self, encode(text.as_bytes())))
    }

    /// The record in a line without its end.
    fn decode(line: &[u8]) -> Result<Self, Fault> {
        let torn = |what: &str| Fault {
            what: what.to_owned(),
            is_whole: false,
        };
        let (head, text) = line
            .split_at_checked(HEAD_BYTES)
            .ok_or_else(|| torn("it is too short"))?;
        let head = std::str::from_utf8(head).map_err(|_| torn("its head is no text"))?;
        let (length, hash) = head
            .split_once(' ')
            .ok_or_else(|| torn("its head has no blank"))?;
        let length =
            usize::from_str_radix(length, 16).map_err(|_| torn("its length is no number"))?;
        if length != text.len() || length > MAX_RECORD_BYTES {
            return Err(torn(&format!(
                "its length should be {length} and is {}",
                text.len()
            )));
        }
        let hash: RecordHash = hash
            .trim_end()
            .parse()
            .map_err(|_| torn("its hash is none"))?;
        if blake3::hash(text).as_bytes() != hash.as_bytes() {
            return Err(torn("its hash does not fit its text"));
        }
        let mut record: Self = serde_json::from_slice(text).map_err(|error| Fault {
            what: format!(
                "it is whole and can't be understood: {error}; is it of a newer version?"
            ),
            is_whole: true,
        })?;
        record.hash = hash;
        Ok(record)
    }

    /// Whether it can come after `before`, or why not.
    fn follows(&self, before: Option<&Self>) -> Result<(), Fault> {
        let wrong = |what: String| {
            Err(Fault {
                what,
                is_whole: true,
            })
        };
        let (seq, hash, epoch) = before.map_or((0, RecordHash::NONE, 0), |before| {
            (before.seq, before.hash, before.epoch)
        });
        if self.seq != seq + 1 {
            return wrong(format!("record {} follows record {seq}", self.seq));
        }
        if self.previous != hash {
            return wrong(format!(
                "record {} does not name the hash of the one before",
                self.seq
            ));
        }
        if self.epoch < epoch {
            return wrong(format!(
                "record {} is of epoch {}, after {epoch}",
                self.seq, self.epoch
            ));
        }
        Ok(())
    }
}

/// Why a line is no next record.
#[derive(Debug)]
struct Fault {
    what: String,
    /// Whether it was once written as it is, so that no torn write explains it.
    is_whole: bool,
}

/// The line of a record's text: its length, its hash, itself.
pub fn encode(text: &[u8]) -> Vec<u8> {
    let mut line = format!("{:08x} {} ", text.len(), blake3::hash(text)).into_bytes();
    line.extend_from_slice(text);
    line.push(b'\n');
    line
}

/// What a log's bytes hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The records from the beginning, up to the first that is wrong.
    pub records: Vec<Record>,
    /// Bytes of those records.
    pub intact_bytes: u64,
    /// What comes after them.
    pub rest: Rest,
}

/// What comes after the intact records of a log.
#[derive(Clone, Debug, PartialEq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// This many bytes of a last record that was not wholly written. It was never acknowledged.
    Torn(u64),
    /// Something wrong, and later records that are whole.
    Damaged {
        /// What is wrong where the intact records end.
        what: String,
        /// The later records that are whole by themselves.
        later: Vec<Record>,
    },
}

/// Reads a log. Linear in its length, whatever it holds.
pub fn decode(bytes: &[u8]) -> Decoded {
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0;
    let mut fault = None;
    while at < bytes.len() && fault.is_none() {
        let Some(end) = line_end(bytes, at) else {
            fault = Some(Fault {
                what: "its last line has no end".to_owned(),
                is_whole: false,
            });
            break;
        };
        let record = Record::decode(&bytes[at..end]);
        match record.and_then(|record| record.follows(records.last()).map(|()| record)) {
            Ok(record) => {
                records.push(record);
                at = end + 1;
            }
            Err(wrong) => fault = Some(wrong),
        }
    }
    let rest = match fault {
        None => Rest::Nothing,
        Some(fault) => rest(&bytes[at..], fault),
    };
    Decoded {
        records,
        intact_bytes: at as u64,
        rest,
    }
}

/// A tail without a whole record is a write that did not end; anything else is damage.
fn rest(bytes: &[u8], fault: Fault) -> Rest {
    let mut later = Vec::new();
    let mut at = 0;
    while let Some(end) = line_end(bytes, at) {
        later.extend(Record::decode(last_in(&bytes[at..end])));
        at = end + 1;
    }
    if later.is_empty() && !fault.is_whole {
        return Rest::Torn(bytes.len() as u64);
    }
    Rest::Damaged {
        what: fault.what,
        later,
    }
}

/// The last record of a line: where the end of the one before is damaged, two look like one line. JSON text
/// holds no blank before a brace, and escapes every quotation mark within a string.
fn last_in(line: &[u8]) -> &[u8] {
    const BEGIN: &[u8] = b" {\"seq\":";
    let found = line
        .windows(BEGIN.len())
        .rposition(|window| window == BEGIN);
    let start = found.and_then(|at| (at + 1).checked_sub(HEAD_BYTES));
    start.map_or(line, |start| &line[start..])
}

fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    bytes[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map(|length| at + length)
}
