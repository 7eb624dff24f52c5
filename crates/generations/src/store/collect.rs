//! Giving up what is no longer needed, and what crashes left.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Note, Store};
use crate::disk::Entry;
use crate::error::StoreError;
use crate::layout;
use crate::log::Event;
use crate::{GenerationId, ObjectId};

/// Ids in one record, which has a limit of bytes.
const COLLECTED_AT_ONCE: usize = 4096;

/// What a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// Generations that were given up.
    pub generations: Vec<GenerationId>,
    /// Manifests that were removed, also those that belonged to no generation.
    pub manifests: u64,
    /// Documents' texts that no generation needs any more.
    pub objects: u64,
    /// Files whose writing did not end.
    pub temporary_files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Store {
    /// Gives up all generations but the last `keep`, the last `keep` that were confirmed, the current one with
    /// the one that a rollback leads to, what is on probation, and what is pinned. Removes files that belong to
    /// none. The log keeps every record.
    ///
    /// # Errors
    ///
    /// If a manifest that is kept is damaged, since its objects are then not known; nothing is removed then. If
    /// it can't be written; what was not removed is by the next collection.
    pub fn gc(&mut self, keep: usize, note: &Note) -> Result<GcReport, StoreError> {
        self.disk().operation("gc");
        self.check_writable()?;
        let kept = self.view.history.kept(keep);
        let needed = self.objects_of(&kept)?;
        let all = self.view.history.generations();
        let ids: Vec<GenerationId> = all
            .map(|generation| generation.id)
            .filter(|id| !kept.contains(id))
            .collect();
        // First the record, so that the log never names a generation whose files are gone.
        for ids in ids.chunks(COLLECTED_AT_ONCE) {
            self.append(note, Event::Collected { ids: ids.to_vec() })?;
        }
        let mut report = GcReport {
            generations: ids,
            ..GcReport::default()
        };
        report.manifests = self.sweep_manifests(&kept, &mut report)?;
        report.objects = self.sweep_objects(&needed, &mut report)?;
        Ok(report)
    }

    fn objects_of(&self, kept: &BTreeSet<GenerationId>) -> Result<BTreeSet<ObjectId>, StoreError> {
        let mut needed = BTreeSet::new();
        for &id in kept {
            let documents = self.manifest(id)?.documents;
            needed.extend(documents.into_iter().map(|document| document.hash));
        }
        Ok(needed)
    }

    fn sweep_manifests(
        &self,
        kept: &BTreeSet<GenerationId>,
        report: &mut GcReport,
    ) -> Result<u64, StoreError> {
        let is_needed = |name: &str| name.parse().is_ok_and(|id| kept.contains(&id));
        let unneeded = self.unneeded(layout::MANIFESTS, is_needed)?;
        self.sweep(&unneeded, report)
    }

    fn sweep_objects(
        &self,
        needed: &BTreeSet<ObjectId>,
        report: &mut GcReport,
    ) -> Result<u64, StoreError> {
        let mut unneeded = Vec::new();
        for shard in self.entries(layout::OBJECTS)? {
            if !shard.is_folder {
                continue;
            }
            let is_needed = |name: &str| {
                let id = format!("{}{name}", shard.name).parse();
                id.is_ok_and(|id| needed.contains(&id))
            };
            let folder = format!("{}/{}", layout::OBJECTS, shard.name);
            unneeded.extend(self.unneeded(&folder, is_needed)?);
        }
        self.sweep(&unneeded, report)
    }

    /// A folder's files that are not needed, with their bytes.
    fn unneeded(
        &self,
        folder: &str,
        is_needed: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let entries = self.entries(folder)?.into_iter();
        let unneeded = entries.filter(|entry| !entry.is_folder && !is_needed(&entry.name));
        Ok(unneeded
            .map(|entry| (format!("{folder}/{}", entry.name), entry.bytes))
            .collect())
    }

    /// Removes these files; how many besides temporary ones. It syncs no folder: what the power brings back is an
    /// orphan again, and a sync for each folder of objects takes seconds.
    fn sweep(&self, files: &[(String, u64)], report: &mut GcReport) -> Result<u64, StoreError> {
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        self.remove(&names)?;
        let temporary = names
            .iter()
            .filter(|name| name.ends_with(layout::TEMPORARY))
            .count() as u64;
        report.temporary_files += temporary;
        report.bytes += files.iter().map(|(_, bytes)| bytes).sum::<u64>();
        Ok(names.len() as u64 - temporary)
    }

    /// Removes the files whose writing did not end, which no other process can be at: it would have the lock.
    pub(super) fn remove_temporary_files(&self) -> Result<u64, StoreError> {
        let mut folders = vec![
            String::new(),
            format!("{}/", layout::MANIFESTS),
            format!("{}/", layout::ASIDE),
        ];
        let shards = self.entries(layout::OBJECTS)?;
        folders.extend(
            shards
                .iter()
                .map(|shard| format!("{}/{}/", layout::OBJECTS, shard.name)),
        );
        let mut names = Vec::new();
        for folder in folders {
            let entries = self.entries(folder.trim_end_matches('/'))?.into_iter();
            let temporary = entries.filter(|entry| entry.name.ends_with(layout::TEMPORARY));
            names.extend(temporary.map(|entry| format!("{folder}{}", entry.name)));
        }
        self.remove(&names)?;
        Ok(names.len() as u64)
    }

    fn entries(&self, folder: &str) -> Result<Vec<Entry>, StoreError> {
        let entries = self.disk().list(folder);
        entries.map_err(StoreError::io("list", self.disk().place(folder)))
    }

    fn remove(&self, names: &[String]) -> Result<(), StoreError> {
        let removed = self.disk().remove(names);
        removed.map_err(StoreError::io("remove files in", self.disk().place("")))
    }
}
