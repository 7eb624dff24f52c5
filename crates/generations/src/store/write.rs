//! How a record gets into the log, and what happens when it does not.

use super::{Note, Store, cut, json, replace};
use crate::disk::AppendError;
use crate::error::StoreError;
use crate::layout::{self, Current, Epoch, Mark};
use crate::log::{Event, Record};
use crate::proposal::{MAX_NAME_BYTES, MAX_TEXT_BYTES};
use crate::view::small;

impl Store {
    /// Why nothing more is written, if that is so; until the store is opened anew.
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// Whether this store may still write: no write left doubt, and nobody took over.
    pub(super) fn check_writable(&mut self) -> Result<(), StoreError> {
        if let Some(why) = &self.poisoned {
            return Err(StoreError::Poisoned {
                path: self.path(),
                why: why.clone(),
            });
        }
        let found = small::<Epoch>(self.disk(), layout::EPOCH)?.map(|epoch| epoch.epoch);
        if found == Some(self.epoch) {
            return Ok(());
        }
        Err(self.fenced(found.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string())))
    }

    fn fenced(&mut self, found: String) -> StoreError {
        self.poison("another process took over".to_owned());
        StoreError::Fenced {
            path: self.path(),
            own: self.epoch,
            found,
        }
    }

    fn poison(&mut self, why: String) {
        tracing::error!(state = %self.path().display(), why, "nothing more is written");
        self.poisoned.get_or_insert(why);
    }

    /// Writes a record and takes it in. When this returns without an error, the record is durable.
    pub(super) fn append(&mut self, note: &Note, event: Event) -> Result<(), StoreError> {
        self.check_writable()?;
        self.catch_up();
        let tip = self.view.history.tip();
        let record = Record {
            seq: tip.seq + 1,
            epoch: self.epoch,
            at_unix_ms: note.now_unix_ms,
            previous: tip.hash,
            by: cut(&note.by, MAX_NAME_BYTES),
            why: cut(&note.why, MAX_TEXT_BYTES),
            event,
            hash: tip.hash,
        };
        let (record, line) = record.encode().expect("each part of a record is bounded");
        let path = self.disk().place(layout::LOG);
        let bytes = self.log_bytes + line.len() as u64;
        if bytes > layout::MAX_LOG_BYTES {
            return Err(StoreError::Full {
                path,
                bytes,
                limit: layout::MAX_LOG_BYTES,
            });
        }
        self.write_line(&line)?;
        self.log_bytes = bytes;
        let taken = self.view.history.apply(&record);
        taken.expect("every operation checks what its record needs");
        Ok(())
    }

    fn write_line(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let path = self.disk().place(layout::LOG);
        match self.disk().append(layout::LOG, self.log_bytes, line) {
            Ok(()) => Ok(()),
            Err(AppendError::Moved { found }) => Err(self.fenced(format!(
                "unknown; its log has {found} bytes, ours {}",
                self.log_bytes
            ))),
            Err(AppendError::Write(source)) => {
                if let Err(error) = self.disk().truncate(layout::LOG, self.log_bytes) {
                    self.poison(format!(
                        "{}: part of a record could not be cut off: {error}",
                        path.display()
                    ));
                }
                Err(StoreError::Io {
                    doing: "write",
                    path,
                    source,
                })
            }
            Err(AppendError::Sync(source)) => {
                // The kernel may have dropped what it could not write, and would say so only once.
                if let Err(error) = self.disk().truncate(layout::LOG, self.log_bytes) {
                    tracing::warn!(%error, "a record that is not durable could not be cut off");
                }
                self.poison(format!(
                    "{} could not be made durable: {source}",
                    path.display()
                ));
                Err(StoreError::Io {
                    doing: "make durable",
                    path,
                    source,
                })
            }
        }
    }

    /// Writes the file `current` if it is behind. The log is the truth, so a failure is only logged.
    pub(super) fn catch_up(&mut self) {
        if !self.is_current_behind {
            return;
        }
        match self.write_current() {
            Ok(()) => self.is_current_behind = false,
            Err(error) => {
                tracing::warn!(%error, "only the log has the confirmation; `current` is tried again");
            }
        }
    }

    pub(super) fn write_current(&self) -> Result<(), StoreError> {
        let Some(id) = self.current() else {
            return Ok(());
        };
        let tip = self.view.history.tip();
        let current = Current {
            id,
            log: Mark {
                seq: tip.seq,
                hash: tip.hash,
            },
        };
        replace(self.disk(), layout::CURRENT, "", &json(&current))
    }
}
