//! Opening: taking the lock, and mending what a crash left.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Note, OpenOptions, Recovery, Store, json, replace};
use crate::GenerationId;
use crate::disk::folder::Folder;
use crate::disk::{Disk, Lock, NewFile};
use crate::error::StoreError;
use crate::history::History;
use crate::layout::{self, Current, Epoch, Mark};
use crate::log::{self, End, Event, Rest};
use crate::view::{View, check_format, read_log, replay, small};

/// Somebody who only looks whether the lock is taken holds it for a moment.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn real_disk(path: &Path) -> Result<Arc<dyn Disk>, StoreError> {
    let folder = Folder::make(path).map_err(StoreError::io("make", path.to_owned()))?;
    #[cfg(debug_assertions)]
    let folder = crate::disk::failpoints::Failpoints::from_environment(folder);
    Ok(Arc::new(folder))
}

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    options: OpenOptions,
) -> Result<(Store, Recovery), StoreError> {
    disk.operation("open");
    // Before the lock's file is made in a directory that is somebody else's.
    check_format(&*disk)?;
    let lock = lock(&*disk, &options)?;
    open_locked(disk, lock, options)
}

pub(super) fn open_locked(
    disk: Arc<dyn Disk>,
    lock: Box<dyn Lock>,
    options: OpenOptions,
) -> Result<(Store, Recovery), StoreError> {
    make(&*disk)?;
    let current = small::<Current>(&*disk, layout::CURRENT)?;
    let (history, epoch, torn_bytes) = take_over(&*disk, current)?;
    let log_bytes = length(&*disk)?;
    let mut store = Store {
        view: View {
            disk,
            history,
            damage: None,
        },
        keys: options.keys,
        require_signed: options.require_signed,
        owner: options.owner,
        lock,
        epoch,
        log_bytes,
        poisoned: None,
        is_current_behind: false,
    };
    let mut recovery = Recovery {
        torn_bytes,
        temporary_files_removed: store.remove_temporary_files()?,
        ..Recovery::default()
    };
    recovery.crashed = store.begin(options.now_unix_ms)?;
    if current.map(|current| current.id) != store.current() {
        store.write_current()?;
        recovery.repaired_current = true;
    }
    tracing::debug!(state = %store.path().display(), epoch, ?recovery, "opened the generations");
    Ok((store, recovery))
}

pub(super) fn lock(disk: &dyn Disk, options: &OpenOptions) -> Result<Box<dyn Lock>, StoreError> {
    let place = || disk.place(layout::LOCK);
    for tried in 1..=LOCK_TRIES {
        let lock = disk.lock(layout::LOCK);
        if let Some(lock) = lock.map_err(StoreError::io("lock", place()))? {
            let described = lock.describe(&json(&options.owner));
            described.map_err(StoreError::io("write", place()))?;
            return Ok(lock);
        }
        if tried < LOCK_TRIES {
            std::thread::sleep(LOCK_PAUSE);
        }
    }
    Err(StoreError::Locked {
        path: disk.place(""),
        owner: small(disk, layout::LOCK)?,
    })
}

/// Makes what a store consists of, where it is missing. `format` is durable first, so that a directory with
/// anything in it is known as ours.
fn make(disk: &dyn Disk) -> Result<(), StoreError> {
    let is_ours = check_format(disk)?;
    let log = || disk.place(layout::LOG);
    let has_log = disk.length(layout::LOG);
    let has_log = has_log.map_err(StoreError::io("read", log()))?.is_some();
    if !is_ours {
        let text = format!("{}\n", layout::FORMAT_TEXT);
        replace(disk, layout::FORMAT, "", text.as_bytes())?;
    } else if !has_log {
        // A first start may have crashed before this.
        let synced = disk.sync_folders(&[String::new()]);
        synced.map_err(StoreError::io("make durable", disk.place("")))?;
    }
    for folder in [layout::OBJECTS, layout::MANIFESTS, layout::ASIDE] {
        let place = disk.place(folder);
        let made = disk.make_folder(folder);
        made.map_err(StoreError::io("make", place))?;
    }
    if !has_log {
        let empty = NewFile {
            name: layout::LOG.to_owned(),
            bytes: &[],
        };
        let written = disk.write(&[empty]);
        written.map_err(StoreError::io("write", log()))?;
    }
    // Their names become durable with the epoch, before anything relies on them.
    Ok(())
}

/// Raises the epoch, then reads the log: whoever wrote before can't any more. The history, the epoch, and how
/// many torn bytes were cut off.
fn take_over(disk: &dyn Disk, current: Option<Current>) -> Result<(History, u64, u64), StoreError> {
    let log = || disk.place(layout::LOG);
    let found = small::<Epoch>(disk, layout::EPOCH)?;
    let marks = [
        current.map(|current| current.log),
        found.map(|epoch| epoch.log),
    ];
    let replayed = |bytes: &[u8]| -> Result<(History, u64), StoreError> {
        let decoded = log::decode(bytes);
        let torn_bytes = match decoded.rest {
            Rest::Torn(bytes) => bytes,
            _ => 0,
        };
        Ok((replay(&decoded, &marks, log())?, torn_bytes))
    };
    // A record that a killed process wrote may not be durable; it must be, before the epoch says that it is.
    let synced = disk.sync_file(layout::LOG);
    synced.map_err(StoreError::io("make durable", log()))?;
    let before = read_log(disk)?;
    let (mut history, mut torn_bytes) = replayed(&before)?;
    let tip = history.tip();
    let epoch = tip.epoch.max(found.map_or(0, |epoch| epoch.epoch)) + 1;
    let raised = Epoch {
        epoch,
        log: Mark {
            seq: tip.seq,
            hash: tip.hash,
        },
    };
    replace(disk, layout::EPOCH, "", &json(&raised))?;
    let after = read_log(disk)?;
    if after != before {
        (history, torn_bytes) = replayed(&after)?;
    }
    if torn_bytes > 0 {
        let whole = length(disk)? - torn_bytes;
        let cut = disk.truncate(layout::LOG, whole);
        cut.map_err(StoreError::io("cut", log()))?;
    }
    Ok((history, epoch, torn_bytes))
}

fn length(disk: &dyn Disk) -> Result<u64, StoreError> {
    let length = disk.length(layout::LOG);
    let length = length.map_err(StoreError::io("read", disk.place(layout::LOG)))?;
    Ok(length.unwrap_or(0))
}

impl Store {
    /// Writes who has the store now, and ends the probation that was open; its generation.
    fn begin(&mut self, now_unix_ms: u64) -> Result<Option<GenerationId>, StoreError> {
        let command = super::cut(&self.owner.command, super::MAX_TEXT_BYTES);
        let opened = Event::Opened {
            pid: self.owner.pid,
            command: command.clone(),
        };
        self.append(&Note::new(&command, "", now_unix_ms), opened)?;
        let Some(id) = self.pending().map(|pending| pending.id) else {
            return Ok(None);
        };
        let ended = Event::Ended {
            id,
            end: End::Crashed,
            detail: serde_json::Value::Null,
        };
        let why = "the process ended during the probation";
        self.append(&Note::new(&command, why, now_unix_ms), ended)?;
        Ok(Some(id))
    }
}
