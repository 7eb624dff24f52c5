//! Crashes asked for by the environment, for tests of the whole program. Not in release builds.
//!
//! - `DALBI_CRASH_AT=N` aborts before the Nth change to the disk, counted from 1 since the store was opened.
//! - `DALBI_CRASH_LABEL="confirm rename current"` aborts before the first change of that name: the store's
//!   operation, the disk's, and the first part of the file's name; or without the store's operation.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{AppendError, Disk, Entry, Lock, NewFile};

/// A disk that ends the process where it is asked to.
#[derive(Debug)]
pub(crate) struct Failpoints<D> {
    disk: D,
    crash_at: Option<u64>,
    crash_label: Option<String>,
    done: AtomicU64,
    operation: Mutex<&'static str>,
}

impl<D: Disk> Failpoints<D> {
    pub(crate) fn from_environment(disk: D) -> Self {
        let read = |name| std::env::var(name).ok();
        Self {
            disk,
            crash_at: read("DALBI_CRASH_AT").and_then(|number| number.parse().ok()),
            crash_label: read("DALBI_CRASH_LABEL"),
            done: AtomicU64::new(0),
            operation: Mutex::new("open"),
        }
    }

    fn change(&self, what: &str, name: &str) {
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let operation = self.operation.lock().map_or("", |operation| *operation);
        let part = name.split('/').next().unwrap_or_default();
        let part = part.strip_suffix(crate::layout::TEMPORARY).unwrap_or(part);
        let part = if part.is_empty() { "." } else { part };
        let short = format!("{what} {part}");
        let full = format!("{operation} {short}");
        let is_named = |label: &String| *label == short || *label == full;
        if self.crash_at == Some(number) || self.crash_label.as_ref().is_some_and(is_named) {
            eprintln!("crashing as asked before change {number}: {full}");
            std::process::abort();
        }
    }
}

impl<D: Disk> Disk for Failpoints<D> {
    fn place(&self, name: &str) -> PathBuf {
        self.disk.place(name)
    }

    fn read(&self, name: &str, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(name, limit_bytes)
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        self.disk.length(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        self.disk.list(folder)
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        self.change("make", name);
        self.disk.make_folder(name)
    }

    fn write(&self, files: &[NewFile<'_>]) -> io::Result<()> {
        if self.crash_at.is_none() && self.crash_label.is_none() {
            return self.disk.write(files);
        }
        for file in files {
            self.change("write", &file.name);
            self.disk.write(std::slice::from_ref(file))?;
        }
        Ok(())
    }

    fn append(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), AppendError> {
        self.change("append", name);
        self.disk.append(name, at, bytes)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.change("truncate", name);
        self.disk.truncate(name, length)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change("rename", to);
        self.disk.rename(from, to)
    }

    fn remove(&self, names: &[String]) -> io::Result<()> {
        if self.crash_at.is_none() && self.crash_label.is_none() {
            return self.disk.remove(names);
        }
        for name in names {
            self.change("remove", name);
            self.disk.remove(std::slice::from_ref(name))?;
        }
        Ok(())
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        self.change("sync", name);
        self.disk.sync_file(name)
    }

    fn sync_folders(&self, names: &[String]) -> io::Result<()> {
        for name in names {
            self.change("sync", name);
        }
        self.disk.sync_folders(names)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.lock(name)
    }

    fn is_locked(&self, name: &str) -> io::Result<bool> {
        self.disk.is_locked(name)
    }

    fn operation(&self, name: &'static str) {
        if let Ok(mut operation) = self.operation.lock() {
            *operation = name;
        }
    }
}
