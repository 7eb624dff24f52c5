//! The real file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{AppendError, Disk, Entry, Lock, NewFile};

/// Threads that sync at once: file systems put the syncs that arrive together into one commit of their journal.
const SYNC_THREADS: usize = 16;

/// A folder on disk, whose files only their owner reads.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, made if it is not there.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(path)?;
            if let Some(parent) = path.canonicalize()?.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(Self::at(path))
    }

    /// The folder at `path`, whether or not it is there.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Disk for Folder {
    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.path.clone()
        } else {
            self.path.join(name)
        }
    }

    fn read(&self, name: &str, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = found(File::open(self.place(name)))? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit_bytes {
            let message = format!("it is longer than {limit_bytes} bytes");
            return Err(io::Error::new(ErrorKind::FileTooLarge, message));
        }
        Ok(Some(bytes))
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(found(fs::metadata(self.place(name)))?.map(|metadata| metadata.len()))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let Some(found) = found(fs::read_dir(self.place(folder)))? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for entry in found {
            let entry = entry?;
            // Gone since: a temporary file of a writer at work.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_folder: metadata.is_dir(),
                bytes: metadata.len(),
            });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(self.place(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn write(&self, files: &[NewFile<'_>]) -> io::Result<()> {
        at_once(files, |file| {
            let mut options = options();
            options.create(true).truncate(true);
            let mut open = options.open(self.place(&file.name))?;
            open.write_all(file.bytes)?;
            open.sync_all()
        })
    }

    fn append(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), AppendError> {
        let open = || {
            let mut file = options().open(self.place(name))?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok((file, length))
        };
        let (mut file, found) = open().map_err(AppendError::Write)?;
        if found != at {
            return Err(AppendError::Moved { found });
        }
        file.write_all(bytes).map_err(AppendError::Write)?;
        // The same descriptor: one that is opened after the write may not be told that it failed.
        file.sync_data().map_err(AppendError::Sync)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = options().open(self.place(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.place(from), self.place(to))
    }

    fn remove(&self, names: &[String]) -> io::Result<()> {
        // Each may wait for the disk, for milliseconds where it is told of freed blocks (`discard`).
        at_once(names, |name| fs::remove_file(self.place(name)))
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        options().open(self.place(name))?.sync_all()
    }

    fn sync_folders(&self, names: &[String]) -> io::Result<()> {
        at_once(names, |name| sync_folder(&self.place(name)))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut options = options();
        options.create(true);
        let file = options.open(self.place(name))?;
        Ok(locked(file.try_lock())?.then(|| Box::new(FileLock(file)) as Box<dyn Lock>))
    }

    fn is_locked(&self, name: &str) -> io::Result<bool> {
        let Some(file) = found(File::open(self.place(name)))? else {
            return Ok(false);
        };
        // Shared, so that two who look don't see each other.
        Ok(!locked(file.try_lock_shared())?)
    }
}

/// The lock goes with the descriptor.
#[derive(Debug)]
struct FileLock(File);

impl Lock for FileLock {
    fn describe(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.0;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn locked(result: Result<(), TryLockError>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a folder can't be synced; renames are ordered by the file system's journal.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Runs `work` on every item; the first error.
fn try_all<T>(items: &[T], work: impl Fn(&T) -> io::Result<()>) -> io::Result<()> {
    let results: Vec<io::Result<()>> = items.iter().map(work).collect();
    results.into_iter().collect()
}

/// Runs `work` on every item, on a few threads where there are many; the first error in their order.
fn at_once<T: Sync>(items: &[T], work: impl Fn(&T) -> io::Result<()> + Sync) -> io::Result<()> {
    let threads = items.len().div_ceil(4).min(SYNC_THREADS);
    if threads < 2 {
        return try_all(items, work);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let started: Vec<_> = items
            .chunks(items.len().div_ceil(threads))
            .map(|chunk| scope.spawn(move || try_all(chunk, work)))
            .collect();
        let ended = started.into_iter().map(|thread| {
            let lost = || io::Error::other("a thread that wrote files panicked");
            thread.join().unwrap_or_else(|_| Err(lost()))
        });
        // All are waited for before the first error is told.
        let results: Vec<io::Result<()>> = ended.collect();
        results.into_iter().collect()
    })
}
