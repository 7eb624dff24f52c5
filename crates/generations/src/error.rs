//! What can go wrong, with the file, the value and what to do.

use std::io;
use std::path::PathBuf;

use crate::{GenerationId, Owner, ProposalError, TreeId};

/// Why a state directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system said no.
    #[error("cannot {doing} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was tried, as in `cannot write`.
        doing: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process writes here.
    #[error("{} is in use by {}; stop that one, or ask it over its admin server", path.display(), owned(owner.as_ref()))]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// Who has it, if that could be read.
        owner: Option<Owner>,
    },
    /// There is no store.
    #[error("{} holds no generations yet; `dalbi run` or `dalbi apply` with this state directory makes the first", path.display())]
    Absent {
        /// The state directory.
        path: PathBuf,
    },
    /// The directory is something else's.
    #[error("{} is no state directory of dalbi's: it holds {found:?}; name an empty or new directory", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A newer version wrote it.
    #[error("{} has the format {found:?}, and this version reads {known:?}; use the newer version, or another state directory", path.display())]
    Newer {
        /// The file `format`.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        known: &'static str,
    },
    /// The log is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A file of a generation is missing or holds something else.
    #[error("{} of generation {} is damaged: {what}; restore it from a backup, or go to another generation", path.display(), id.short())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The generation.
        id: GenerationId,
        /// What is wrong with it.
        what: String,
    },
    /// A file kept beside the generations holds something else than was written.
    #[error("{} is damaged: {what}; remove it, it is written again", path.display())]
    Aside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A name that no file kept beside the generations can have.
    #[error("{0:?} names nothing to put aside: 1 to 64 of a-z, 0-9 and - are expected")]
    AsideName(String),
    /// An earlier write failed so that nobody knows what is on disk.
    #[error("nothing more is written to {}: {why}; what serves goes on serving; see to the disk, then restart", path.display())]
    Poisoned {
        /// The state directory.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// Another process took over.
    #[error("{} was taken over by another process (epoch {found}, ours is {own}): nothing was written", path.display())]
    Fenced {
        /// The state directory.
        path: PathBuf,
        /// Our epoch.
        own: u64,
        /// What the directory says.
        found: String,
    },
    /// The log has as many bytes as are kept.
    #[error("{} has {bytes} bytes, and {limit} are the most; keep a copy for the audit and start with another state directory", path.display())]
    Full {
        /// The log.
        path: PathBuf,
        /// Its bytes with what was to be written.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// No such generation is kept.
    #[error("there is no generation {}; `dalbi generations list` shows those that are kept", .0.short())]
    Unknown(GenerationId),
    /// Another generation is on probation.
    #[error("generation {} is on probation; wait for its end, confirm or cancel it", .0.short())]
    Pending(GenerationId),
    /// The generation is not on probation.
    #[error("generation {} is not on probation{}", id.short(), pending.map_or_else(String::new, |id| format!(", {} is", id.short())))]
    NotPending {
        /// Which was named.
        id: GenerationId,
        /// Which is.
        pending: Option<GenerationId>,
    },
    /// A pin's name out of bounds.
    #[error(transparent)]
    Pin(ProposalError),
}

/// A damaged log: what it held up to there is intact, and can be read with [`View`](crate::View).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {at}: {what}; what is current can still be read. Restore the file from a backup, or salvage the store (`dalbi generations salvage`), which keeps the damaged log beside a new one", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The first byte that is not as it was written.
    pub at: u64,
    /// What is wrong.
    pub what: String,
}

/// Why a proposal became no generation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// Somebody else was faster.
    #[error("the proposal is made for {}, and {} is current by now; look at what changed and propose again", named(*expected), named(*current))]
    Stale {
        /// The proposal's parent.
        expected: Option<GenerationId>,
        /// What is current.
        current: Option<GenerationId>,
    },
    /// The same documents did harm before.
    #[error("the same documents and options did harm before: {why}; change them, or force it")]
    Bad {
        /// Their name.
        tree: TreeId,
        /// What was said when they ended.
        why: String,
    },
    /// Signatures are required, and there is none.
    #[error("generations must be signed here; sign with one of the trusted keys")]
    Unsigned,
    /// The key is none of the trusted ones.
    #[error(
        "the key {0} is not trusted here; sign with one that is, or add it to the trusted keys"
    )]
    Untrusted(String),
    /// The signature is not of this proposal.
    #[error(
        "the signature by {0} is not of this proposal: parent, documents, options, author or reason differ"
    )]
    Forged(String),
    /// Out of bounds.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a name did not lead to a generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// It names none.
    #[error(
        "{0:?} names no generation that is kept; a number, the first digits of an id (4 at least), `current`, `previous` or `pending` do"
    )]
    Unknown(String),
    /// It names several.
    #[error(
        "{name:?} is the beginning of several ids: {}; give more digits",
        short(among)
    )]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Which begin with it.
        among: Vec<GenerationId>,
    },
}

fn short(ids: &[GenerationId]) -> String {
    let ids: Vec<String> = ids.iter().map(GenerationId::short).collect();
    ids.join(", ")
}

fn named(id: Option<GenerationId>) -> String {
    id.map_or_else(|| "no generation".to_owned(), |id| id.short())
}

fn owned(owner: Option<&Owner>) -> String {
    let Some(Owner {
        pid,
        admin,
        command,
    }) = owner
    else {
        return "another process".to_owned();
    };
    let admin = admin
        .as_ref()
        .map_or_else(String::new, |admin| format!(", admin server {admin}"));
    format!("process {pid} ({command}{admin})")
}

/// What to do about a failure of the system's.
fn hint(error: &io::Error) -> &'static str {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => "; free space there",
        ReadOnlyFilesystem => "; mount it writable, or name another state directory",
        PermissionDenied => "; give this user the directory, or name another state directory",
        _ => "",
    }
}

impl StoreError {
    /// Puts the file and the intention around the system's answer.
    pub(crate) fn io(doing: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
