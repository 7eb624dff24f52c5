//! Whether everything in a state directory is as it was written.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use serde::Serialize;

use crate::error::StoreError;
use crate::layout::{self, Current};
use crate::log;
use crate::view::{View, open_aside, read_log, small};
use crate::{GenerationId, Manifest, ObjectId, PublicKey};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong. Nothing is, if this is empty.
    pub findings: Vec<Finding>,
    /// Records of the log whose chain of hashes was followed.
    pub records: u64,
    /// Generations whose manifests were read.
    pub generations: u64,
    /// Documents' texts that were read.
    pub objects: u64,
    /// Bytes of all that was read.
    pub bytes: u64,
    /// Files that belong to no generation: what interrupted operations left, until the next collection.
    pub orphans: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

const RESTORE: &str =
    "restore it from a backup, or let the generation be collected and stage its documents again";

impl View {
    /// Reads everything again, and compares it with its hashes: the log's chain, every manifest and document that
    /// is kept, signatures, `current`, and what was put aside. `keys` are the trusted ones; if there are any,
    /// every signature must be by one of them, and with `require_signed` every generation must have one.
    ///
    /// # Errors
    ///
    /// If a file can't be read at all. A damaged one is a finding.
    pub fn verify(&self, keys: &[PublicKey], require_signed: bool) -> Result<Report, StoreError> {
        let mut report = Report::default();
        self.verify_log(&mut report)?;
        self.verify_current(&mut report)?;
        let mut objects: HashMap<ObjectId, u64> = HashMap::new();
        for generation in self.history.generations() {
            match self.manifest(generation.id) {
                Ok(manifest) => {
                    report.generations += 1;
                    self.verify_signature(&manifest, keys, require_signed, &mut report);
                    let documents = manifest.documents.iter();
                    objects.extend(documents.map(|document| (document.hash, document.bytes)));
                }
                Err(StoreError::Broken { path, what, .. }) => report.add(path, what, RESTORE),
                Err(error) => return Err(error),
            }
        }
        for (&id, &bytes) in &objects {
            self.verify_object(id, bytes, &mut report)?;
        }
        self.verify_aside(&mut report)?;
        report.orphans = self.orphans(&objects)?;
        report.findings.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(report)
    }

    fn verify_log(&self, report: &mut Report) -> Result<(), StoreError> {
        let bytes = read_log(&*self.disk)?;
        report.bytes += bytes.len() as u64;
        let decoded = log::decode(&bytes);
        report.records = decoded.records.len() as u64;
        let todo = "restore it from a backup, or salvage the store (`dalbi generations salvage`)";
        if let Some(damage) = &self.damage {
            let what = format!("at byte {}: {}", damage.at, damage.what);
            report.add(damage.path.clone(), what, todo);
            return Ok(());
        }
        let path = self.disk.place(layout::LOG);
        if let log::Rest::Damaged { what, .. } = &decoded.rest {
            let what = format!("at byte {}: {what}", decoded.intact_bytes);
            report.add(path, what, todo);
            return Ok(());
        }
        // Another process may have written since, but none takes away.
        let tip = self.history.tip();
        let index = usize::try_from(tip.seq)
            .unwrap_or(usize::MAX)
            .checked_sub(1);
        let same = index.is_none_or(|index| {
            let record = decoded.records.get(index);
            record.is_some_and(|record| record.hash == tip.hash)
        });
        if !same {
            let what = format!("record {} is not the one that was read before", tip.seq);
            report.add(path, what, todo);
        }
        Ok(())
    }

    fn verify_current(&self, report: &mut Report) -> Result<(), StoreError> {
        let found = small::<Current>(&*self.disk, layout::CURRENT)?;
        let found = found.map(|current| current.id);
        if found != self.current() {
            let named =
                |id: Option<GenerationId>| id.map_or_else(|| "none".to_owned(), |id| id.short());
            let (found, current) = (named(found), named(self.current()));
            let what = format!("it names generation {found}, and the log {current}");
            let path = self.disk.place(layout::CURRENT);
            report.add(path, what, "the next start repairs it from the log");
        }
        Ok(())
    }

    fn verify_signature(
        &self,
        manifest: &Manifest,
        keys: &[PublicKey],
        require_signed: bool,
        report: &mut Report,
    ) {
        let todo = "find out who wrote it; go back to a generation that is signed";
        let path = self.disk.place(&layout::manifest(manifest.id));
        match &manifest.signature {
            None if require_signed => report.add(path, "it is not signed".to_owned(), todo),
            None => {}
            Some(signature) if !signature.is_of(manifest) => {
                let what = format!("the signature by {} is not of it", signature.key);
                report.add(path, what, todo);
            }
            Some(signature) if !keys.is_empty() && !keys.contains(&signature.key) => {
                let what = format!("its signature's key {} is not trusted", signature.key);
                report.add(path, what, todo);
            }
            Some(_) => {}
        }
    }

    fn verify_object(
        &self,
        id: ObjectId,
        length: u64,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let name = layout::object(id);
        let path = self.disk.place(&name);
        // One that has grown is damaged, too, and not an error of reading.
        let found = self.disk.length(&name);
        let found = found.map_err(StoreError::io("read", path.clone()))?;
        if found != Some(length) {
            let what = found.map_or_else(
                || "it is missing".to_owned(),
                |found| format!("it has {found} bytes instead of {length}"),
            );
            report.add(path, what, RESTORE);
            return Ok(());
        }
        let bytes = self.disk.read(&name, length);
        let bytes = bytes.map_err(StoreError::io("read", path.clone()))?;
        if bytes.is_none_or(|bytes| ObjectId::of(&bytes) != id) {
            report.add(path, "its bytes have another hash".to_owned(), RESTORE);
        }
        report.objects += 1;
        report.bytes += length;
        Ok(())
    }

    fn verify_aside(&self, report: &mut Report) -> Result<(), StoreError> {
        let limit_bytes = layout::MAX_ASIDE_BYTES as u64 + layout::MAX_SMALL_BYTES;
        let folder = self.disk.place(layout::ASIDE);
        let entries = self.disk.list(layout::ASIDE);
        for entry in entries.map_err(StoreError::io("list", folder))? {
            if entry.is_folder || entry.name.ends_with(layout::TEMPORARY) {
                continue;
            }
            let name = layout::aside(&entry.name);
            let path = self.disk.place(&name);
            let bytes = self.disk.read(&name, limit_bytes);
            let bytes = bytes.map_err(StoreError::io("read", path.clone()))?;
            report.bytes += entry.bytes;
            if let Some(Err(what)) = bytes.map(|bytes| open_aside(&bytes)) {
                report.add(path, what, "remove it: it is written again");
            }
        }
        Ok(())
    }

    /// Files among manifests and objects that no generation needs.
    fn orphans(&self, objects: &HashMap<ObjectId, u64>) -> Result<u64, StoreError> {
        let list = |folder: &str| {
            let entries = self.disk.list(folder);
            entries.map_err(StoreError::io("list", self.disk.place(folder)))
        };
        let known: BTreeSet<GenerationId> = self
            .history
            .generations()
            .map(|generation| generation.id)
            .collect();
        let manifests = list(layout::MANIFESTS)?.into_iter();
        let unknown = manifests.filter(|entry| {
            let id = entry.name.parse::<GenerationId>();
            id.map_or(true, |id| !known.contains(&id))
        });
        let mut orphans = unknown.count();
        for shard in list(layout::OBJECTS)?
            .iter()
            .filter(|entry| entry.is_folder)
        {
            let entries = list(&format!("{}/{}", layout::OBJECTS, shard.name))?.into_iter();
            let unknown = entries.filter(|entry| {
                let id = format!("{}{}", shard.name, entry.name).parse::<ObjectId>();
                id.map_or(true, |id| !objects.contains_key(&id))
            });
            orphans += unknown.count();
        }
        Ok(orphans as u64)
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, file: PathBuf, what: String, todo: &str) {
        let todo = todo.to_owned();
        self.findings.push(Finding { file, what, todo });
    }
}
