//! Reading a store: without its lock, while another process writes, and when its log is damaged.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::disk::Disk;
use crate::disk::folder::Folder;
use crate::error::{Damage, FindError, StoreError};
use crate::generation::{Generation, Pending};
use crate::history::History;
use crate::layout::{self, Current, Epoch, Mark};
use crate::log::{self, Decoded, Event, Record, Rest};
use crate::store::Owner;
use crate::{Document, GenerationId, Manifest, ObjectId};

/// A store as it was when it was looked at. [`Store`](crate::Store) derefs to one that is always up to date.
#[derive(Debug)]
pub struct View {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) history: History,
    pub(crate) damage: Option<Damage>,
}

impl View {
    /// Reads the store in `path`, which another process may be writing to.
    ///
    /// A damaged log is no error here: what is intact is shown, the file `current` says what is current, and
    /// [`damage`](Self::damage) what is wrong.
    ///
    /// # Errors
    ///
    /// If there is no store, it is another program's or a newer version's, or it can't be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::on(Arc::new(Folder::at(path)))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        if !check_format(&*disk)? {
            return Err(StoreError::Absent {
                path: disk.place(""),
            });
        }
        // Before the log: a writer moves them after it, so the log then has what they name.
        let current = small::<Current>(&*disk, layout::CURRENT)?;
        let epoch = small::<Epoch>(&*disk, layout::EPOCH)?;
        let decoded = log::decode(&read_log(&*disk)?);
        let path = disk.place(layout::LOG);
        let marks = [
            current.map(|current| current.log),
            epoch.map(|epoch| epoch.log),
        ];
        let (mut history, damage) = match replay(&decoded, &marks, path) {
            Ok(history) => (history, None),
            Err(damage) => (salvage(&decoded), Some(damage)),
        };
        if let (Some(_), Some(current)) = (&damage, current) {
            history.set_current(current.id);
        }
        Ok(Self {
            disk,
            history,
            damage,
        })
    }

    /// What is wrong with the log, if it is damaged.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// The generation that serves after a restart.
    pub fn current(&self) -> Option<GenerationId> {
        self.history.current()
    }

    /// The generation on probation.
    pub fn pending(&self) -> Option<&Pending> {
        self.history.on_probation()
    }

    /// All generations that are kept, by number.
    pub fn list(&self) -> Vec<Generation> {
        self.history.generations().cloned().collect()
    }

    /// A generation that is kept.
    pub fn generation(&self, id: GenerationId) -> Option<&Generation> {
        self.history.generation(id)
    }

    /// Where `rollback` leads: the nearest ancestor of the current generation that is kept.
    pub fn previous(&self) -> Option<&Generation> {
        self.history.previous()
    }

    /// The generation that a person means by a number, the first digits of an id, `current`, `previous` or
    /// `pending`.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one.
    pub fn find(&self, name: &str) -> Result<&Generation, FindError> {
        let unknown = || FindError::Unknown(name.chars().take(80).collect());
        let by_word = match name {
            "current" => Some(self.current()),
            "pending" => Some(self.pending().map(|pending| pending.id)),
            "previous" => return self.previous().ok_or_else(unknown),
            _ => None,
        };
        if let Some(id) = by_word {
            return id.and_then(|id| self.generation(id)).ok_or_else(unknown);
        }
        let number = name.strip_prefix('#').unwrap_or(name).parse().ok();
        if let Some(generation) = number.and_then(|number| self.history.numbered(number)) {
            return Ok(generation);
        }
        if let Some(generation) = GenerationId::from_str(name)
            .ok()
            .and_then(|id| self.generation(id))
        {
            return Ok(generation);
        }
        if name.len() < 4 || name.len() > 64 {
            return Err(unknown());
        }
        let name = name.to_ascii_lowercase();
        let all = self.history.generations();
        let found: Vec<&Generation> = all
            .filter(|generation| generation.id.to_string().starts_with(&name))
            .collect();
        match found[..] {
            [] => Err(unknown()),
            [generation] => Ok(generation),
            _ => {
                let among = found
                    .iter()
                    .take(8)
                    .map(|generation| generation.id)
                    .collect();
                Err(FindError::Ambiguous { name, among })
            }
        }
    }

    /// Why the tree of this name is known as bad, if it is.
    pub fn bad(&self, tree: crate::TreeId) -> Option<&str> {
        self.history.bad(tree)
    }

    /// A generation's manifest, whose bytes still have its name as their hash.
    ///
    /// # Errors
    ///
    /// If the generation is not kept, or its manifest is missing or damaged.
    pub fn manifest(&self, id: GenerationId) -> Result<Manifest, StoreError> {
        if self.damage.is_none() && self.generation(id).is_none() {
            return Err(StoreError::Unknown(id));
        }
        let name = layout::manifest(id);
        let path = self.disk.place(&name);
        let broken = |what: String| StoreError::Broken {
            path: path.clone(),
            id,
            what,
        };
        let bytes = self.disk.read(&name, layout::MAX_MANIFEST_BYTES);
        let bytes = bytes.map_err(StoreError::io("read", path.clone()))?;
        let bytes = bytes.ok_or_else(|| broken("it is missing".to_owned()))?;
        Manifest::parse(id, &bytes).map_err(broken)
    }

    /// A generation's documents, sorted by path; each has the hash that the manifest names.
    ///
    /// # Errors
    ///
    /// If the generation is not kept, or a file of it is missing or damaged.
    pub fn documents(&self, id: GenerationId) -> Result<Vec<Document>, StoreError> {
        let manifest = self.manifest(id)?;
        let documents = manifest.documents.into_iter();
        documents
            .map(|document| {
                let text = self.text(id, document.hash, document.bytes)?;
                Ok(Document {
                    path: document.path,
                    text,
                })
            })
            .collect()
    }

    fn text(&self, id: GenerationId, hash: ObjectId, length: u64) -> Result<String, StoreError> {
        let name = layout::object(hash);
        let path = self.disk.place(&name);
        let broken = |what: &str| StoreError::Broken {
            path: path.clone(),
            id,
            what: what.to_owned(),
        };
        let bytes = self.disk.read(&name, length.max(layout::MAX_SMALL_BYTES));
        let bytes = bytes.map_err(StoreError::io("read", path.clone()))?;
        let bytes = bytes.ok_or_else(|| broken("it is missing"))?;
        if ObjectId::of(&bytes) != hash {
            return Err(broken("its bytes have another hash"));
        }
        String::from_utf8(bytes).map_err(|_| broken("it is no text"))
    }

    /// The records of the log, read anew; of a damaged one those before the damage.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn log(&self) -> Result<Vec<Record>, StoreError> {
        Ok(log::decode(&read_log(&*self.disk)?).records)
    }

    /// What was put aside by this name.
    ///
    /// # Errors
    ///
    /// If it can't be read, or is not what was written.
    pub fn aside(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_aside_name(name)?;
        let name = layout::aside(name);
        let path = self.disk.place(&name);
        let bytes = self.disk.read(
            &name,
            layout::MAX_ASIDE_BYTES as u64 + layout::MAX_SMALL_BYTES,
        );
        let Some(bytes) = bytes.map_err(StoreError::io("read", path.clone()))? else {
            return Ok(None);
        };
        open_aside(&bytes)
            .map(Some)
            .map_err(|what| StoreError::Aside { path, what })
    }

    /// The state directory.
    pub fn path(&self) -> PathBuf {
        self.disk.place("")
    }
}

/// Who writes to the store in `path`, if somebody does and says so.
///
/// # Errors
///
/// If the lock can't be looked at.
pub fn lock_owner(path: &Path) -> Result<Option<Owner>, StoreError> {
    let disk = Folder::at(path);
    let place = || disk.place(layout::LOCK);
    if !disk
        .is_locked(layout::LOCK)
        .map_err(StoreError::io("look at", place()))?
    {
        return Ok(None);
    }
    small(&disk, layout::LOCK)
}

/// Whether the directory is a store's; `false` if it is nobody's yet.
pub(crate) fn check_format(disk: &dyn Disk) -> Result<bool, StoreError> {
    if has_format(disk)? {
        return Ok(true);
    }
    let entries = disk.list("");
    let entries = entries.map_err(StoreError::io("list", disk.place("")))?;
    // A first start that did not get further, and what a fresh file system holds.
    let ours = [layout::LOCK, "format.new", "lost+found"];
    let foreign = entries
        .into_iter()
        .find(|entry| !ours.contains(&entry.name.as_str()));
    match foreign {
        None => Ok(false),
        // Another process may have made the store since; `format` is the first that it makes.
        Some(_) if has_format(disk)? => Ok(true),
        Some(entry) => Err(StoreError::Foreign {
            path: disk.place(""),
            found: entry.name,
        }),
    }
}

fn has_format(disk: &dyn Disk) -> Result<bool, StoreError> {
    let path = disk.place(layout::FORMAT);
    let bytes = disk.read(layout::FORMAT, layout::MAX_SMALL_BYTES);
    let Some(bytes) = bytes.map_err(StoreError::io("read", path.clone()))? else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end();
    if text == layout::FORMAT_TEXT {
        return Ok(true);
    }
    let found: String = text.chars().take(80).collect();
    Err(if text.starts_with("dalbi generations ") {
        StoreError::Newer {
            path,
            found,
            known: layout::FORMAT_TEXT,
        }
    } else {
        StoreError::Foreign {
            path: disk.place(""),
            found: format!("a file `format` of {found:?}"),
        }
    })
}

pub(crate) fn read_log(disk: &dyn Disk) -> Result<Vec<u8>, StoreError> {
    let bytes = disk.read(layout::LOG, layout::MAX_LOG_BYTES);
    let bytes = bytes.map_err(StoreError::io("read", disk.place(layout::LOG)))?;
    Ok(bytes.unwrap_or_default())
}

/// A small JSON file; `None` if it is missing, or holds something else.
pub(crate) fn small<T: DeserializeOwned>(
    disk: &dyn Disk,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let bytes = disk.read(name, layout::MAX_SMALL_BYTES);
    let bytes = bytes.map_err(StoreError::io("read", disk.place(name)))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// What an intact log amounts to. A log that ends before a mark has lost what was acknowledged.
pub(crate) fn replay(
    decoded: &Decoded,
    marks: &[Option<Mark>],
    path: PathBuf,
) -> Result<History, Damage> {
    let at = decoded.intact_bytes;
    if let Rest::Damaged { what, .. } = &decoded.rest {
        return Err(Damage {
            path,
            at,
            what: what.clone(),
        });
    }
    let superseded = match decoded.records.first().map(|record| &record.event) {
        Some(Event::Salvaged { superseded, .. }) => superseded.as_slice(),
        _ => &[],
    };
    let holds = |mark: &&Mark| mark.seq > 0 && !superseded.contains(&mark.hash);
    for mark in marks.iter().flatten().filter(holds) {
        let index = usize::try_from(mark.seq - 1).unwrap_or(usize::MAX);
        match decoded.records.get(index) {
            Some(record) if record.hash == mark.hash => {}
            Some(_) => {
                let what = format!("record {} is not the one that was written", mark.seq);
                return Err(Damage { path, at, what });
            }
            None => {
                let last = decoded.records.len();
                let what = format!(
                    "it ends after record {last}, and record {} was written",
                    mark.seq
                );
                return Err(Damage { path, at, what });
            }
        }
    }
    let mut history = History::default();
    for record in &decoded.records {
        let what = |what| format!("record {} can't be: {what}", record.seq);
        history.apply(record).map_err(|wrong| Damage {
            path: path.clone(),
            at,
            what: what(wrong),
        })?;
    }
    Ok(history)
}

/// What the readable records of a damaged log amount to, leaving out those that need a lost one.
fn salvage(decoded: &Decoded) -> History {
    let later = match &decoded.rest {
        Rest::Damaged { later, .. } => later.as_slice(),
        Rest::Nothing | Rest::Torn(_) => &[],
    };
    let mut history = History::default();
    for record in decoded.records.iter().chain(later) {
        if let Err(what) = history.apply(record) {
            tracing::debug!(
                seq = record.seq,
                what,
                "a record of a damaged log is left out"
            );
        }
    }
    history
}

pub(crate) fn check_aside_name(name: &str) -> Result<(), StoreError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        return Err(StoreError::AsideName(name.chars().take(80).collect()));
    }
    Ok(())
}

/// The hash of the bytes in hexadecimal, a line end, the bytes.
pub(crate) fn seal_aside(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = format!("{}\n", blake3::hash(bytes)).into_bytes();
    sealed.extend_from_slice(bytes);
    sealed
}

pub(crate) fn open_aside(sealed: &[u8]) -> Result<Vec<u8>, String> {
    let (head, bytes) = sealed.split_at_checked(65).ok_or("it is too short")?;
    let expected = blake3::hash(bytes).to_hex();
    if head.strip_suffix(b"\n") != Some(expected.as_bytes()) {
        return Err("its bytes have another hash".to_owned());
    }
    Ok(bytes.to_vec())
}
