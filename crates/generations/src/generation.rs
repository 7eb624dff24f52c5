//! A generation as the log tells of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{End, GenerationId, TreeId};

/// The last thing that happened to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// It was written and never served.
    Staged,
    /// It is on probation.
    Pending,
    /// It was found good, and served until another was.
    Confirmed,
    /// It did harm.
    RolledBack,
    /// A person took it back.
    Cancelled,
    /// A newer one took its place while it was on probation.
    Superseded,
    /// The process stopped while it was on probation.
    Interrupted,
    /// The process crashed while it was on probation.
    Crashed,
}

impl From<End> for State {
    fn from(end: End) -> Self {
        match end {
            End::RolledBack => Self::RolledBack,
            End::Cancelled => Self::Cancelled,
            End::Superseded => Self::Superseded,
            End::Interrupted => Self::Interrupted,
            End::Crashed => Self::Crashed,
        }
    }
}

/// A generation as the log tells of it. Its documents are in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its name.
    pub id: GenerationId,
    /// Counts from 1 in this store.
    pub number: u64,
    /// What was current when it was staged.
    pub parent: Option<GenerationId>,
    /// What it serves.
    pub tree: TreeId,
    /// Who proposed it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Where its documents are from.
    pub source: String,
    /// When it was staged.
    pub created_unix_ms: u64,
    /// How many documents it has.
    pub documents: u64,
    /// Bytes of its documents.
    pub bytes: u64,
    /// The last thing that happened to it.
    pub state: State,
    /// Whether it is what serves after a restart.
    pub current: bool,
    /// Whether its tree was rolled back or crashed while another was current, and not confirmed since.
    pub bad: bool,
    /// The names of its pins, sorted.
    pub pins: Vec<String>,
    /// When it was last confirmed.
    pub confirmed_unix_ms: Option<u64>,
    /// Why it is in its state.
    pub why: Option<String>,
}

/// The generation on probation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Which.
    pub id: GenerationId,
    /// What served before and is gone back to; `None` if nothing did.
    pub from: Option<GenerationId>,
    /// When it began, by the clock of that time.
    pub since_unix_ms: u64,
    /// When it is to end, for people: a running process measures by a clock that does not jump.
    pub deadline_unix_ms: u64,
    /// How it was applied.
    pub detail: Value,
}
