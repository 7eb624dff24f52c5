//! Staging: a proposal becomes a generation, wholly or not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::{Note, Store};
use crate::disk::NewFile;
use crate::error::{StageError, StoreError};
use crate::layout;
use crate::log::Event;
use crate::{Manifest, ObjectId, Proposal};

impl Store {
    /// Writes a proposal as a new generation, which nothing serves yet. A proposal of what is current already
    /// is one like any other.
    ///
    /// `force` lets a tree through that did harm before.
    ///
    /// # Errors
    ///
    /// If it was made for another parent than the current generation, is known as bad, not signed as required,
    /// out of bounds, or can't be written. The store is then as before.
    pub fn stage(
        &mut self,
        proposal: &Proposal,
        force: bool,
        now_unix_ms: u64,
    ) -> Result<Manifest, StageError> {
        self.disk().operation("stage");
        proposal.check()?;
        if proposal.parent != self.current() {
            return Err(StageError::Stale {
                expected: proposal.parent,
                current: self.current(),
            });
        }
        let number = self.view.history.next_number();
        let (manifest, bytes) = Manifest::new(proposal, number, now_unix_ms);
        if let Some(why) = self.bad(manifest.tree).filter(|_| !force) {
            return Err(StageError::Bad {
                tree: manifest.tree,
                why: why.to_owned(),
            });
        }
        self.check_signature(&manifest)?;
        self.check_writable()?;
        self.write_generation(proposal, &manifest, &bytes)?;
        let event = Event::Staged {
            id: manifest.id,
            number,
            parent: manifest.parent,
            tree: manifest.tree,
            source: manifest.source.clone(),
            documents: manifest.documents.len() as u64,
            bytes: manifest.bytes(),
            forced: force,
        };
        let note = Note::new(&manifest.author, &manifest.reason, now_unix_ms);
        self.append(&note, event)?;
        Ok(manifest)
    }

    /// A signature that is there must be right; whose it is matters where keys are named.
    fn check_signature(&self, manifest: &Manifest) -> Result<(), StageError> {
        let Some(signature) = &manifest.signature else {
            return match self.require_signed {
                true => Err(StageError::Unsigned),
                false => Ok(()),
            };
        };
        let key = signature.key;
        if !self.keys.contains(&key) && (self.require_signed || !self.keys.is_empty()) {
            return Err(StageError::Untrusted(key.to_string()));
        }
        if !signature.is_of(manifest) {
            return Err(StageError::Forged(key.to_string()));
        }
        Ok(())
    }

    /// Writes objects and manifest, durably, before anything names them.
    fn write_generation(
        &self,
        proposal: &Proposal,
        manifest: &Manifest,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let durable = self.durable_objects();
        let texts = proposal.documents.iter();
        let texts: BTreeMap<&str, &str> = texts
            .map(|document| (document.path.as_str(), document.text.as_str()))
            .collect();
        let mut files = BTreeMap::new();
        let mut shards = BTreeSet::new();
        for document in &manifest.documents {
            if !durable.contains(&document.hash) {
                let text = texts[document.path.as_str()];
                files.insert(layout::object(document.hash), text.as_bytes());
                shards.insert(layout::shard(document.hash));
            }
        }
        for shard in &shards {
            let made = self.disk().make_folder(shard);
            made.map_err(StoreError::io("make", self.disk().place(shard)))?;
        }
        files.insert(layout::manifest(manifest.id), bytes);
        let mut folders = vec![layout::MANIFESTS.to_owned()];
        if !shards.is_empty() {
            folders.push(layout::OBJECTS.to_owned());
        }
        folders.extend(shards);
        self.write_files(&files, &folders)
    }

    /// The parent's objects that are there. They are durable because a record names them; another that is there
    /// may be what an interrupted staging left, and is written again.
    fn durable_objects(&self) -> BTreeSet<ObjectId> {
        let Some(Ok(parent)) = self.current().map(|id| self.manifest(id)) else {
            return BTreeSet::new();
        };
        let is_there = |id: ObjectId, bytes: u64| {
            let length = self.disk().length(&layout::object(id));
            length.is_ok_and(|length| length == Some(bytes))
        };
        let documents = parent.documents.into_iter();
        documents
            .filter(|document| is_there(document.hash, document.bytes))
            .map(|document| document.hash)
            .collect()
    }

    /// Bytes first, then names, so that a name never leads to half a file.
    fn write_files(
        &self,
        files: &BTreeMap<String, &[u8]>,
        folders: &[String],
    ) -> Result<(), StoreError> {
        let temporary: Vec<NewFile<'_>> = files
            .iter()
            .map(|(name, bytes)| NewFile {
                name: layout::temporary(name),
                bytes,
            })
            .collect();
        let disk = self.disk();
        let write = || {
            let written = disk.write(&temporary);
            written.map_err(StoreError::io("write files in", disk.place("")))?;
            for name in files.keys() {
                let renamed = disk.rename(&layout::temporary(name), name);
                renamed.map_err(StoreError::io("rename", disk.place(name)))?;
            }
            let synced = disk.sync_folders(folders);
            synced.map_err(StoreError::io("make durable", disk.place(layout::OBJECTS)))
        };
        write().inspect_err(|_| {
            // Most are renamed or never were; what stays is removed by the next opening.
            let names: Vec<String> = temporary.iter().map(|file| file.name.clone()).collect();
            drop(disk.remove(&names));
        })
    }
}
