//! The one writer of a state directory.

use std::ops::Deref;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::GenerationId;
use crate::disk::{Disk, Lock, NewFile};
use crate::error::StoreError;
use crate::generation::Generation;
use crate::layout;
use crate::log::{End, Event};
use crate::proposal::{MAX_NAME_BYTES, MAX_TEXT_BYTES, at_most, printable};
use crate::sign::PublicKey;
use crate::view::{View, check_aside_name, seal_aside};

mod collect;
pub(crate) mod open;
pub(crate) mod salvage;
mod stage;
mod write;

pub use collect::GcReport;

/// Bytes of a note's detail; a longer one is left out, and its length said.
pub const MAX_DETAIL_BYTES: usize = 64 << 10;
/// How deep a note's detail is nested; a deeper one is left out, too. `serde_json` reads 128 levels, the record's own
/// included.
pub const MAX_DETAIL_DEPTH: usize = 64;
/// Pins of one generation.
pub const MAX_PINS: usize = 64;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Who opens it.
    pub owner: Owner,
    /// Keys whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Whether a proposal must be signed by one of them.
    pub require_signed: bool,
    /// Milliseconds since 1970, for the log.
    pub now_unix_ms: u64,
}

/// The process that writes, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// Where its admin server listens.
    pub admin: Option<String>,
    /// What it was started as.
    pub command: String,
}

impl Owner {
    /// This process.
    pub fn this_process(admin: Option<String>, command: &str) -> Self {
        Self {
            pid: std::process::id(),
            admin,
            command: command.to_owned(),
        }
    }
}

/// What opening a store found to mend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Bytes cut off the log's end: a record that was not wholly written.
    pub torn_bytes: u64,
    /// The generation that was on probation when its process ended.
    pub crashed: Option<GenerationId>,
    /// Whether the file `current` was missing or behind the log.
    pub repaired_current: bool,
    /// Files removed whose writing did not end.
    pub temporary_files_removed: u64,
}

/// Who does something, why, and when: a record's frame.
///
/// Too long a text is cut, since a rollback must not fail for its reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Note {
    /// Who, at most [`MAX_NAME_BYTES`].
    pub by: String,
    /// Why, at most [`MAX_TEXT_BYTES`].
    pub why: String,
    /// Evidence and the like, at most [`MAX_DETAIL_BYTES`] as JSON and [`MAX_DETAIL_DEPTH`] deep.
    pub detail: Value,
    /// Milliseconds since 1970.
    pub now_unix_ms: u64,
}

impl Note {
    /// A note without detail.
    pub fn new(by: &str, why: &str, now_unix_ms: u64) -> Self {
        Self {
            by: by.to_owned(),
            why: why.to_owned(),
            detail: Value::Null,
            now_unix_ms,
        }
    }

    /// The same with this detail.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    fn bounded_detail(&self) -> Value {
        if !is_shallow(&self.detail, MAX_DETAIL_DEPTH) {
            let what = format!("nested deeper than {MAX_DETAIL_DEPTH}");
            return serde_json::json!({ "left_out": what });
        }
        let bytes = self.detail.to_string().len();
        if bytes > MAX_DETAIL_BYTES {
            let what = format!("{bytes} bytes, of at most {MAX_DETAIL_BYTES}");
            return serde_json::json!({ "left_out": what });
        }
        self.detail.clone()
    }
}

/// Whether it is nested at most this deep; readers of JSON refuse what is nested too deeply.
fn is_shallow(value: &Value, depth: usize) -> bool {
    let inner = |value: &Value| depth > 0 && is_shallow(value, depth - 1);
    match value {
        Value::Array(values) => values.iter().all(inner),
        Value::Object(fields) => fields.values().all(inner),
        _ => true,
    }
}

/// The store's writer. There is one at a time; it reads, too ([`View`]).
#[derive(Debug)]
pub struct Store {
    view: View,
    keys: Vec<PublicKey>,
    require_signed: bool,
    owner: Owner,
    lock: Box<dyn Lock>,
    epoch: u64,
    log_bytes: u64,
    /// Why nothing more is written.
    poisoned: Option<String>,
    /// Whether the file `current` could not be written after a confirmation.
    is_current_behind: bool,
}

impl Deref for Store {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Store {
    /// Opens the store in `path` for writing, which is made if nothing is there: takes the lock, raises the epoch,
    /// cuts off a torn record, ends a probation that its process did not survive, and repairs `current`.
    ///
    /// # Errors
    ///
    /// If another process has it, the directory is not a store's, the log is damaged, or the disk fails. What
    /// serves can then still be read with [`View::open`], save where there is none.
    pub fn open(path: &Path, options: OpenOptions) -> Result<(Self, Recovery), StoreError> {
        open::open(open::real_disk(path)?, options)
    }

    /// Opens a store whose log is damaged: a new log begins with what can be read of it, and the damaged one is kept
    /// beside it as `log.damaged-N`. A store that is not damaged is opened as by [`open`](Self::open).
    ///
    /// Generations whose records are lost are staged ones again; the current one stays current.
    ///
    /// # Errors
    ///
    /// If the current generation can't be read: restoring a backup is then all that helps. Else as for opening.
    pub fn salvage(path: &Path, options: OpenOptions) -> Result<(Self, Recovery), StoreError> {
        salvage::salvage(open::real_disk(path)?, options)
    }

    /// Begins a probation: from here until its end, a restart comes up on what is current now.
    ///
    /// The tree is not looked at: whoever asks for a bad one by its generation means it.
    ///
    /// # Errors
    ///
    /// If there is no such generation, another is on probation, or it can't be written.
    pub fn intend(
        &mut self,
        id: GenerationId,
        deadline_unix_ms: u64,
        note: &Note,
    ) -> Result<(), StoreError> {
        self.disk().operation("intend");
        self.known(id)?;
        if let Some(pending) = self.pending() {
            return Err(StoreError::Pending(pending.id));
        }
        let from = self.current();
        let detail = note.bounded_detail();
        self.append(
            note,
            Event::Intent {
                id,
                from,
                deadline_unix_ms,
                detail,
            },
        )
    }

    /// Moves the end of a probation.
    ///
    /// # Errors
    ///
    /// If the generation is not on probation, or it can't be written.
    pub fn extend(
        &mut self,
        id: GenerationId,
        deadline_unix_ms: u64,
        note: &Note,
    ) -> Result<(), StoreError> {
        self.disk().operation("extend");
        self.on_probation(id)?;
        self.append(
            note,
            Event::Extended {
                id,
                deadline_unix_ms,
            },
        )
    }

    /// Makes the generation on probation the current one. When this returns, it stays so over any crash.
    ///
    /// # Errors
    ///
    /// If the generation is not on probation, or it can't be written.
    pub fn confirm(&mut self, id: GenerationId, note: &Note) -> Result<(), StoreError> {
        self.disk().operation("confirm");
        self.on_probation(id)?;
        let detail = note.bounded_detail();
        self.append(note, Event::Confirmed { id, detail })?;
        // The log has it: what fails now is mended by the next operation or opening.
        self.is_current_behind = true;
        self.catch_up();
        Ok(())
    }

    /// Ends a probation without a confirmation. What was current before still is.
    ///
    /// # Errors
    ///
    /// If the generation is not on probation, or it can't be written.
    pub fn end(&mut self, id: GenerationId, end: End, note: &Note) -> Result<(), StoreError> {
        self.disk().operation("end");
        self.on_probation(id)?;
        let detail = note.bounded_detail();
        self.append(note, Event::Ended { id, end, detail })
    }

    /// Keeps a generation from being collected, under a name. A pin that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// If there is no such generation, the name is out of bounds, or it can't be written.
    pub fn pin(&mut self, id: GenerationId, name: &str, note: &Note) -> Result<(), StoreError> {
        self.disk().operation("pin");
        printable("pin", name, MAX_NAME_BYTES).map_err(StoreError::Pin)?;
        let pins = &self.known(id)?.pins;
        if pins.iter().any(|pin| pin == name) {
            return Ok(());
        }
        at_most("pins of the generation", pins.len() + 1, MAX_PINS).map_err(StoreError::Pin)?;
        self.append(
            note,
            Event::Pinned {
                id,
                name: name.to_owned(),
            },
        )
    }

    /// Takes a pin away; `false` if it was not there.
    ///
    /// # Errors
    ///
    /// If there is no such generation, or it can't be written.
    pub fn unpin(&mut self, id: GenerationId, name: &str, note: &Note) -> Result<bool, StoreError> {
        self.disk().operation("unpin");
        if !self.known(id)?.pins.iter().any(|pin| pin == name) {
            return Ok(false);
        }
        self.append(
            note,
            Event::Unpinned {
                id,
                name: name.to_owned(),
            },
        )?;
        Ok(true)
    }

    /// Keeps bytes beside the generations, in place of what had this name: they are part of none, and either the
    /// old or the new ones are there after a crash.
    ///
    /// # Errors
    ///
    /// If the name or the length is out of bounds, or they can't be written.
    pub fn put_aside(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.disk().operation("put-aside");
        check_aside_name(name)?;
        let name = layout::aside(name);
        if bytes.len() > layout::MAX_ASIDE_BYTES {
            return Err(StoreError::Full {
                path: self.disk().place(&name),
                bytes: bytes.len() as u64,
                limit: layout::MAX_ASIDE_BYTES as u64,
            });
        }
        self.check_writable()?;
        replace(self.disk(), &name, layout::ASIDE, &seal_aside(bytes))
    }

    /// Says where the admin server listens, to those who look at the lock.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn announce(&mut self, admin: Option<String>) -> Result<(), StoreError> {
        self.owner.admin = admin;
        let path = self.disk().place(layout::LOCK);
        let bytes = json(&self.owner);
        self.lock
            .describe(&bytes)
            .map_err(StoreError::io("write", path))
    }

    /// Gives the lock up, to the process that takes over. A probation should have been ended before; the next
    /// owner takes an open one for a crash. Dropping the store does the same.
    pub fn release(self) {
        drop(self);
    }

    fn disk(&self) -> &dyn Disk {
        &*self.view.disk
    }

    fn known(&self, id: GenerationId) -> Result<&Generation, StoreError> {
        self.generation(id).ok_or(StoreError::Unknown(id))
    }

    fn on_probation(&self, id: GenerationId) -> Result<(), StoreError> {
        let pending = self.pending().map(|pending| pending.id);
        if pending == Some(id) {
            Ok(())
        } else {
            Err(StoreError::NotPending { id, pending })
        }
    }
}

/// Replaces a file by one rename, durably.
fn replace(disk: &dyn Disk, name: &str, folder: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = layout::temporary(name);
    let write = || {
        disk.write(&[NewFile {
            name: temporary.clone(),
            bytes,
        }])?;
        disk.rename(&temporary, name)?;
        disk.sync_folders(&[folder.to_owned()])
    };
    write().map_err(|source| {
        // A failure to tidy up is mended by the next opening.
        drop(disk.remove(std::slice::from_ref(&temporary)));
        StoreError::Io {
            doing: "replace",
            path: disk.place(name),
            source,
        }
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("it has text keys only");
    bytes.push(b'\n');
    bytes
}

/// The longest beginning of at most this many bytes.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
