//! The durable history of configurations. A **generation** is one immutable, content-addressed set of documents.
//!
//! A [`Store`] is a directory with one writer. A proposal is *staged* as a generation on top of the current one;
//! an *intent* is written before it serves, a *confirmation* once it was found good. Between the two, whatever
//! happens to the process or the power, the store comes up on the generation that was current before; after the
//! confirmation, on the new one. What is told as done stays done.
//!
//! ```
//! use generations::{Document, Note, OpenOptions, Owner, Proposal, Store, View};
//!
//! let state = std::env::temp_dir().join(format!("generations-doctest-{}", std::process::id()));
//! let now = 1_767_225_600_000; // milliseconds since 1970; the crate has no clock
//! let (mut store, _recovery) = Store::open(&state, OpenOptions {
//!     owner: Owner::this_process(None, "dalbi run"),
//!     keys: Vec::new(),
//!     require_signed: false,
//!     now_unix_ms: now,
//! })?;
//!
//! let proposal = Proposal {
//!     parent: store.current(),
//!     author: "ann".to_owned(),
//!     reason: "shop.example moves".to_owned(),
//!     source: "mesh".to_owned(),
//!     documents: vec![Document { path: "gateway.yaml".to_owned(), text: "kind: Gateway".to_owned() }],
//!     ..Proposal::default()
//! };
//! let id = store.stage(&proposal, false, now)?.id;
//! store.intend(id, now + 60_000, &Note::new("ann", "", now))?;
//! // It serves, on probation.
//! store.confirm(id, &Note::new("gate", "no more errors than before", now + 60_000))?;
//!
//! // Anybody may read along, without the lock.
//! let view = View::open(&state)?;
//! assert_eq!(view.current(), Some(id));
//! assert_eq!(view.documents(id)?, proposal.documents);
//! # drop(store);
//! # std::fs::remove_dir_all(state)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It refuses to guess: a damaged file is an error that names it, a log that lost what was acknowledged is not
//! written to, and after a failed fsync nothing more is written until the store is opened anew. It does not
//! decide whether a generation is good, and reads no clock: deadlines are kept for people to see.

mod disk;
mod error;
mod generation;
mod hash;
mod history;
mod layout;
pub mod log;
mod manifest;
mod proposal;
mod sign;
mod store;
mod verify;
mod view;

pub use error::{Damage, FindError, StageError, StoreError};
pub use generation::{Generation, Pending, State};
pub use hash::{GenerationId, HashError, ObjectId, RecordHash, TreeId};
pub use history::Remains;
pub use layout::MAX_ASIDE_BYTES;
pub use log::{End, Event, Record};
pub use manifest::{DocumentRef, Manifest};
pub use proposal::{
    Document, MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_NAME_BYTES, MAX_OPTIONS, MAX_TEXT_BYTES,
    MAX_TOTAL_BYTES, Proposal, ProposalError,
};
pub use sign::{KeyError, PrivateKey, PublicKey, Signature};
pub use store::{
    GcReport, MAX_DETAIL_BYTES, MAX_DETAIL_DEPTH, MAX_PINS, Note, OpenOptions, Owner, Recovery,
    Store,
};
pub use verify::{Finding, Report};
pub use view::{View, lock_owner};

#[cfg(test)]
mod tests;
