//! Notices changes of a folder: edits, renames over a file, and folders or links that are swapped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::folder::{self, Contents, FolderError};

/// Changes come in bursts (`git checkout`, `kubectl cp`): wait until nothing has happened for this long …
const QUIET: Duration = Duration::from_millis(50);
/// … but no longer than this, so that a folder that always changes is read at all.
const LONGEST_BURST: Duration = Duration::from_millis(250);
/// How often a folder is looked at that cannot be read or watched.
const POLL: Duration = Duration::from_secs(1);

/// A folder being watched.
pub(crate) struct FolderWatch {
    root: PathBuf,
    changes: mpsc::Receiver<()>,
    notify_change: mpsc::Sender<()>,
    watch: Option<Box<dyn Watcher + Send>>,
    /// Folders elsewhere that files below `root` are links into.
    linked_folders: BTreeSet<PathBuf>,
    /// The folder could not be read last time, so that nothing may tell of its return.
    unreadable: bool,
}

impl FolderWatch {
    /// Call [`Self::read`] to begin.
    pub(crate) fn new(root: &Path) -> Self {
        // One pending notice says as much as many.
        let (notify_change, changes) = mpsc::channel(1);
        Self {
            root: root.to_owned(),
            changes,
            notify_change,
            watch: None,
            linked_folders: BTreeSet::new(),
            unreadable: false,
        }
    }

    /// Reads the folder. Whatever changes from here on makes [`Self::changed`] return.
    pub(crate) fn read(&mut self) -> Result<Contents, FolderError> {
        let contents = self.watch_and_read();
        self.unreadable = contents.is_err();
        contents
    }

    fn watch_and_read(&mut self) -> Result<Contents, FolderError> {
        // Watches are set anew each time: a link may lead elsewhere now, and a watch does not follow it.
        self.start();
        let contents = folder::read(&self.root)?;
        let linked_folders = linked_folders(&self.root, &contents);
        if linked_folders == self.linked_folders {
            return Ok(contents);
        }
        self.linked_folders = linked_folders;
        self.start();
        folder::read(&self.root)
    }

    /// Resolves when something has changed since the last [`Self::read`] and the burst is over.
    pub(crate) async fn changed(&mut self) {
        if self.unreadable {
            tokio::time::sleep(POLL).await;
            return;
        }
        self.next_notice().await;
        let burst_end = Instant::now() + LONGEST_BURST;
        while Instant::now() < burst_end {
            let quiet_end = (Instant::now() + QUIET).min(burst_end);
            if timeout_at(quiet_end, self.next_notice()).await.is_err() {
                return;
            }
        }
    }

    async fn next_notice(&mut self) {
        // Never `None`: we hold a sender ourselves.
        let _notice = self.changes.recv().await;
    }

    fn start(&mut self) {
        let watch = match self.watch(|handler| {
            let config = notify::Config::default();
            Ok(Box::new(notify::RecommendedWatcher::new(handler, config)?))
        }) {
            Ok(watch) => Ok(watch),
            Err(error) => {
                tracing::warn!(folder = %self.root.display(), %error, "cannot be told of changes; looking every second");
                self.watch(|handler| {
                    let config = notify::Config::default()
                        .with_poll_interval(POLL)
                        .with_compare_contents(true);
                    Ok(Box::new(notify::PollWatcher::new(handler, config)?))
                })
            }
        };
        match watch {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => {
                tracing::error!(folder = %self.root.display(), %error, "cannot be watched; send SIGHUP after a change");
            }
        }
        // What was noticed so far is about to be read.
        while self.changes.try_recv().is_ok() {}
    }

    fn watch(
        &self,
        make: impl FnOnce(Handler) -> notify::Result<Box<dyn Watcher + Send>>,
    ) -> notify::Result<Box<dyn Watcher + Send>> {
        let is_folder = self.root.is_dir();
        let is_link = fs::symlink_metadata(&self.root).is_ok_and(|metadata| metadata.is_symlink());
        let parent = match self.root.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let mut watch = make(Handler {
            notify_change: self.notify_change.clone(),
        })?;
        if is_folder {
            watch.as_mut().watch(&self.root, RecursiveMode::Recursive)?;
        }
        if is_link || !is_folder {
            watch.as_mut().watch(parent, RecursiveMode::NonRecursive)?;
        }
        for folder in &self.linked_folders {
            watch.as_mut().watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watch)
    }
}

/// Runs on the watch's own thread.
struct Handler {
    notify_change: mpsc::Sender<()>,
}

impl notify::EventHandler for Handler {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        // Our own reading of the files is an event as well.
        let change = match event {
            Ok(event) => match event.kind {
                EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
                _ => true,
            },
            // Events were lost: look.
            Err(_) => true,
        };
        if change {
            // Full means that a notice is waiting already; closed, that nobody cares any more.
            let _noticed = self.notify_change.try_send(());
        }
    }
}

fn linked_folders(root: &Path, contents: &Contents) -> BTreeSet<PathBuf> {
    let Ok(real_root) = fs::canonicalize(root) else {
        return BTreeSet::new();
    };
    let real_paths = contents
        .files
        .iter()
        .filter_map(|file| fs::canonicalize(&file.path).ok());
    let folders = real_paths.filter_map(|path| path.parent().map(Path::to_owned));
    folders
        .filter(|folder| !folder.starts_with(&real_root))
        .collect()
}
