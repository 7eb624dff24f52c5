//! A new log in place of a damaged one.

use std::sync::Arc;

use super::{OpenOptions, Recovery, Store, open, replace};
use crate::disk::{Disk, Lock};
use crate::error::StoreError;
use crate::layout::{self, Current, Epoch};
use crate::log::{Event, Record};
use crate::view::{View, read_log, small};
use crate::{GenerationId, Manifest, ObjectId, RecordHash};

pub(crate) fn salvage(
    disk: Arc<dyn Disk>,
    options: OpenOptions,
) -> Result<(Store, Recovery), StoreError> {
    disk.operation("salvage");
    let view = View::on(Arc::clone(&disk))?;
    let lock = open::lock(&*disk, &options)?;
    // Read again, now that nobody writes.
    let view = View::on(view.disk)?;
    if view.damage.is_some() {
        begin_anew(&view, &options, &*lock)?;
    }
    open::open_locked(disk, lock, options)
}

/// Until the rename of the new log the store is as damaged as before; from then on it is not.
fn begin_anew(view: &View, options: &OpenOptions, _lock: &dyn Lock) -> Result<(), StoreError> {
    let disk = &*view.disk;
    if let Some(current) = view.current() {
        view.documents(current)?;
    }
    let remains = Box::new(view.history.remains(&manifests(view)?));
    let bytes = read_log(disk)?;
    let file = keep(disk, &bytes)?;
    let current = small::<Current>(disk, layout::CURRENT)?;
    let epoch = small::<Epoch>(disk, layout::EPOCH)?;
    let marks = [current.map(|it| it.log), epoch.map(|it| it.log)];
    let why = view.damage.as_ref().map_or_else(String::new, |damage| {
        format!("damaged at byte {}: {}", damage.at, damage.what)
    });
    let record = Record {
        seq: 1,
        epoch: epoch.map_or(0, |it| it.epoch).max(view.history.tip().epoch),
        at_unix_ms: options.now_unix_ms,
        previous: RecordHash::NONE,
        by: super::cut(&options.owner.command, super::MAX_NAME_BYTES),
        why: super::cut(&why, super::MAX_TEXT_BYTES),
        event: Event::Salvaged {
            file,
            hash: ObjectId::of(&bytes),
            remains,
            superseded: marks.iter().flatten().map(|mark| mark.hash).collect(),
        },
        hash: RecordHash::NONE,
    };
    let Some((_, line)) = record.encode() else {
        return Err(StoreError::Full {
            path: disk.place(layout::LOG),
            bytes: bytes.len() as u64,
            limit: crate::log::MAX_RECORD_BYTES as u64,
        });
    };
    replace(disk, layout::LOG, "", &line)
}

/// The manifests that are whole, whether or not a record names them.
fn manifests(view: &View) -> Result<Vec<Manifest>, StoreError> {
    let entries = view.disk.list(layout::MANIFESTS);
    let place = view.disk.place(layout::MANIFESTS);
    let entries = entries.map_err(StoreError::io("list", place))?;
    let ids = entries
        .iter()
        .filter_map(|entry| entry.name.parse::<GenerationId>().ok());
    let mut manifests = Vec::new();
    for id in ids {
        match view.manifest(id) {
            Ok(manifest) => manifests.push(manifest),
            Err(StoreError::Broken { path, what, .. }) => {
                tracing::warn!(file = %path.display(), what, "this generation is not salvaged");
            }
            Err(error) => return Err(error),
        }
    }
    manifests.sort_unstable_by_key(|manifest| manifest.number);
    Ok(manifests)
}

/// Keeps the damaged log; the name of its file. One that an interrupted attempt kept is taken.
fn keep(disk: &dyn Disk, bytes: &[u8]) -> Result<String, StoreError> {
    let mut number = 1;
    loop {
        let name = format!("{}.damaged-{number}", layout::LOG);
        let found = disk.read(&name, layout::MAX_LOG_BYTES);
        match found.map_err(StoreError::io("read", disk.place(&name)))? {
            Some(found) if found == bytes => return Ok(name),
            Some(_) => number += 1,
            None => {
                replace(disk, &name, "", bytes)?;
                return Ok(name);
            }
        }
    }
}
