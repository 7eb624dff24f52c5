//! Where things are in the state directory.

use serde::{Deserialize, Serialize};

use crate::{GenerationId, ObjectId, RecordHash};

/// What says that a directory is a store's.
pub(crate) const FORMAT: &str = "format";
/// What that file holds.
pub(crate) const FORMAT_TEXT: &str = "dalbi generations 1";
/// Locked by the process that writes; says who that is.
pub(crate) const LOCK: &str = "lock";
/// Which opening of the store may write.
pub(crate) const EPOCH: &str = "epoch";
/// What happened.
pub(crate) const LOG: &str = "log";
/// What serves after a restart.
pub(crate) const CURRENT: &str = "current";
/// Documents' texts, in folders named by the first two digits of their names.
pub(crate) const OBJECTS: &str = "objects";
/// One file a generation.
pub(crate) const MANIFESTS: &str = "manifests";
/// What is kept beside the generations.
pub(crate) const ASIDE: &str = "aside";
/// The end of a file's name until it is whole.
pub(crate) const TEMPORARY: &str = ".new";

/// Bytes of the log. Some two million records.
pub(crate) const MAX_LOG_BYTES: u64 = 1 << 30;
/// Bytes of a manifest. 100,000 documents of long paths.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 30;
/// Bytes of `format`, `lock`, `epoch` and `current`.
pub(crate) const MAX_SMALL_BYTES: u64 = 64 << 10;
/// Bytes of what is kept beside the generations.
pub const MAX_ASIDE_BYTES: usize = 64 << 20;

/// A point of the log that is certainly durable, said in another file: a log that lacks it has lost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) hash: RecordHash,
}

/// The file `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) epoch: u64,
    pub(crate) log: Mark,
}

/// The file `current`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Current {
    pub(crate) id: GenerationId,
    pub(crate) log: Mark,
}

pub(crate) fn manifest(id: GenerationId) -> String {
    format!("{MANIFESTS}/{id}")
}

/// The folder of an object.
pub(crate) fn shard(id: ObjectId) -> String {
    format!("{OBJECTS}/{:02x}", id.as_bytes()[0])
}

pub(crate) fn object(id: ObjectId) -> String {
    let hex = id.to_string();
    format!("{OBJECTS}/{}/{}", &hex[..2], &hex[2..])
}

pub(crate) fn aside(name: &str) -> String {
    format!("{ASIDE}/{name}")
}

pub(crate) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}
