//! The seam to the file system: what the store needs of it, and no more.
//!
//! Names are relative to the state directory, with `/` between folders. Each method says what is durable when
//! it returns; whatever it does not name may be lost, or come in another order, when the power goes.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[cfg(debug_assertions)]
pub(crate) mod failpoints;
pub(crate) mod folder;
#[cfg(test)]
pub(crate) mod simulated;

/// A state directory's file system.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Where `name` is, for messages.
    fn place(&self, name: &str) -> PathBuf;

    /// The bytes of a file, `None` if there is none. An error if it is longer than `limit_bytes`.
    fn read(&self, name: &str, limit_bytes: u64) -> io::Result<Option<Vec<u8>>>;

    /// The length of a file, `None` if there is none.
    fn length(&self, name: &str) -> io::Result<Option<u64>>;

    /// What is in a folder, sorted; nothing if there is no such folder. The empty name is the directory itself.
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>>;

    /// Makes a folder unless it is there. Not durable before its parent is synced.
    fn make_folder(&self, name: &str) -> io::Result<()>;

    /// Writes files from their beginning, replacing what they held. Their bytes are durable, their names are not.
    fn write(&self, files: &[NewFile<'_>]) -> io::Result<()>;

    /// Appends to a file that must be `at` bytes long, and makes that durable.
    fn append(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), AppendError>;

    /// Cuts a file to `length` bytes, and makes that durable.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;

    /// Renames a file, replacing what had the new name. Not durable before the folder is synced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes files; all are tried, and the first error told. Not durable before their folders are synced.
    fn remove(&self, names: &[String]) -> io::Result<()>;

    /// Makes a file's bytes durable.
    fn sync_file(&self, name: &str) -> io::Result<()>;

    /// Makes the names in these folders durable. The empty name is the directory itself.
    fn sync_folders(&self, names: &[String]) -> io::Result<()>;

    /// Takes the lock of this file (made if it is not there), `None` if another has it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>>;

    /// Whether somebody holds the lock of this file.
    fn is_locked(&self, name: &str) -> io::Result<bool>;

    /// Told before each operation of the store, so that a failure can be asked for by name.
    fn operation(&self, _name: &'static str) {}
}

/// A lock that is held until it is dropped, or its process ends.
pub(crate) trait Lock: fmt::Debug + Send + Sync {
    /// Replaces what the locked file says. Not durable: it describes a process.
    fn describe(&self, bytes: &[u8]) -> io::Result<()>;
}

/// A file to write.
#[derive(Clone, Debug)]
pub(crate) struct NewFile<'a> {
    pub(crate) name: String,
    pub(crate) bytes: &'a [u8],
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_folder: bool,
    pub(crate) bytes: u64,
}

/// Why an append failed, and so what the file may hold now.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The file has another length: somebody else wrote.
    Moved { found: u64 },
    /// Some of the bytes may be there.
    Write(io::Error),
    /// All bytes are there, and nobody knows whether they stay.
    Sync(io::Error),
}
