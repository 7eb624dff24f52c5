//! A machine in memory: its files as processes see them, and what of that is on the disk.
//!
//! Every change is an *effect* that is durable only once the file or folder that it belongs to was synced. When the
//! power goes, any subset of the others is there: writes in part, names without bytes, renames in any order
//! that keeps one folder's names apart. Nothing that a file system may do beyond what it promises is left out
//! for being unlikely; real ones promise more.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{AppendError, Disk, Entry, Lock, NewFile};

/// Bytes that a disk writes wholly or not.
const SECTOR: usize = 64;
const ROOT: usize = 0;

/// What is asked to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed before this operation, counted from 1; a write is done in part.
    Kill { at: u64 },
    /// This operation fails; a write is done in part. With `stays`, so do all later ones of its sort.
    Fail {
        at: u64,
        kind: ErrorKind,
        stays: bool,
    },
}

/// The machine; processes come and go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine(Arc<Mutex<State>>);

/// A process's view of the machine's disk.
#[derive(Debug)]
pub(crate) struct SimulatedDisk {
    machine: Machine,
    process: u64,
}

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    durable: Vec<Node>,
    effects: Vec<Effect>,
    locks: HashMap<usize, u64>,
    /// The process that runs; others were killed, and write nothing any more.
    processes: u64,
    killed: u64,
    operations: u64,
    fault: Option<Fault>,
    /// The name of the last operation, for messages.
    last: String,
}

#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>),
    Folder(BTreeMap<String, usize>),
}

/// A change that may be lost.
#[derive(Clone, Debug)]
struct Effect {
    node: usize,
    change: Change,
    /// Whether a sync of it has failed: the next one says that all is well, and it is not.
    is_forgotten: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
    Names(Vec<(String, Option<usize>)>),
}

/// What a disk operation changes, so that a fault of that sort fits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Read,
    /// It takes space.
    Grow,
    Sync,
    Other,
}

impl Default for State {
    fn default() -> Self {
        let empty = vec![Node::Folder(BTreeMap::new())];
        Self {
            nodes: empty.clone(),
            durable: empty,
            effects: Vec::new(),
            locks: HashMap::new(),
            processes: 0,
            killed: 0,
            operations: 0,
            fault: None,
            last: String::new(),
        }
    }
}

impl Machine {
    /// A process that starts.
    pub(crate) fn start(&self) -> Arc<SimulatedDisk> {
        let mut state = self.state();
        state.processes += 1;
        Arc::new(SimulatedDisk {
            machine: self.clone(),
            process: state.processes,
        })
    }

    /// Counts operations from here, and lets one go wrong.
    pub(crate) fn plan(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fault = fault;
        state.operations = 0;
    }

    /// Operations since the plan was made.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The operation that came last.
    pub(crate) fn last(&self) -> String {
        self.state().last.clone()
    }

    /// All processes end here; their locks with them. What they wrote stays.
    pub(crate) fn kill_all(&self) {
        let mut state = self.state();
        state.killed = state.processes;
        state.locks.clear();
        state.fault = None;
    }

    /// The power goes and comes back. `random` decides what was written by then.
    pub(crate) fn lose_power(&self, random: &mut fastrand::Rng) {
        self.kill_all();
        let mut state = self.state();
        let effects = std::mem::take(&mut state.effects);
        let share = random.f64();
        for effect in effects {
            let (durable, node) = (&mut state.durable, effect.node);
            if random.f64() < share {
                effect.change.make(&mut durable[node]);
            } else if let Change::Write { at, bytes } = effect.change {
                let torn = torn(bytes, random);
                Change::Write { at, bytes: torn }.make(&mut durable[node]);
            }
        }
        state.nodes = state.durable.clone();
    }

    /// A file's bytes, `None` if there is none. No operation of a process.
    pub(crate) fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let node = state.node(name)?;
        state.file(node).ok().cloned()
    }

    /// Puts bytes where they don't belong; durable.
    pub(crate) fn overwrite(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let node = state.node(name).unwrap();
        state.nodes[node] = Node::File(bytes.to_vec());
        state.durable = state.nodes.clone();
        state.effects.clear();
    }

    /// Another machine with the same disk, whose processes are those of this one.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        let copy = State {
            nodes: state.nodes.clone(),
            durable: state.durable.clone(),
            effects: state.effects.clone(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// What is there of a write that was not finished: nothing, a beginning, some sectors, or zeros.
fn torn(mut bytes: Vec<u8>, random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(0..4) {
        0 => bytes.clear(),
        1 => bytes.truncate(random.usize(0..=bytes.len())),
        2 => {
            for sector in bytes.chunks_mut(SECTOR) {
                if random.bool() {
                    sector.fill(0);
                }
            }
        }
        _ => bytes.fill(0),
    }
    bytes
}

impl Change {
    fn make(&self, node: &mut Node) {
        match (self, node) {
            (Self::Write { at, bytes }, Node::File(file)) if !bytes.is_empty() => {
                let end = at + bytes.len();
                file.resize(file.len().max(end), 0);
                file[*at..end].copy_from_slice(bytes);
            }
            (Self::Length(length), Node::File(file)) => file.resize(*length, 0),
            (Self::Names(names), Node::Folder(entries)) => {
                for (name, node) in names {
                    match node {
                        Some(node) => drop(entries.insert(name.clone(), *node)),
                        None => drop(entries.remove(name)),
                    }
                }
            }
            _ => {}
        }
    }
}

impl State {
    fn change(&mut self, node: usize, change: Change) {
        change.make(&mut self.nodes[node]);
        self.effects.push(Effect {
            node,
            change,
            is_forgotten: false,
        });
    }

    fn sync(&mut self, node: usize) {
        let durable = &mut self.durable;
        self.effects.retain(|effect| {
            if effect.node == node && !effect.is_forgotten {
                effect.change.make(&mut durable[node]);
            }
            effect.node != node
        });
    }

    /// As Linux does: pages that could not be written count as written. A folder's journal would stop instead.
    fn forget(&mut self, node: usize) {
        if matches!(self.nodes[node], Node::Folder(_)) {
            return;
        }
        for effect in self.effects.iter_mut().filter(|effect| effect.node == node) {
            effect.is_forgotten = true;
        }
    }

    fn node(&self, name: &str) -> Option<usize> {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts
            .into_iter()
            .try_fold(ROOT, |node, part| match &self.nodes[node] {
                Node::Folder(entries) => entries.get(part).copied(),
                Node::File(_) => None,
            })
    }

    fn file(&self, node: usize) -> io::Result<&Vec<u8>> {
        match &self.nodes[node] {
            Node::File(bytes) => Ok(bytes),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn known(&self, name: &str) -> io::Result<usize> {
        self.node(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The folder that `name` is in, and its name there.
    fn place<'a>(&self, name: &'a str) -> io::Result<(usize, &'a str)> {
        let (folder, name) = name.rsplit_once('/').unwrap_or(("", name));
        Ok((self.known(folder)?, name))
    }

    fn make(&mut self, name: &str, node: Node) -> io::Result<usize> {
        let (folder, name) = self.place(name)?;
        let made = self.nodes.len();
        self.durable.push(match &node {
            Node::File(_) => Node::File(Vec::new()),
            Node::Folder(_) => Node::Folder(BTreeMap::new()),
        });
        self.nodes.push(node);
        self.change(folder, Change::Names(vec![(name.to_owned(), Some(made))]));
        Ok(made)
    }
}

impl SimulatedDisk {
    /// Counts an operation, and fails it if that is planned.
    fn operation_of(
        &self,
        sort: Sort,
        what: &str,
        name: &str,
    ) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.machine.state();
        if self.process <= state.killed {
            return Err(io::Error::other("the process was killed"));
        }
        state.operations += 1;
        state.last = format!("{what} {name}");
        let operations = state.operations;
        match state.fault {
            Some(Fault::Kill { at }) if operations == at => {
                state.killed = state.processes;
                state.locks.clear();
                Err(io::Error::other("the process is killed"))
            }
            Some(Fault::Fail { at, kind, stays })
                if operations == at || (stays && operations > at) =>
            {
                let fits = match kind {
                    ErrorKind::StorageFull => sort == Sort::Grow,
                    ErrorKind::ReadOnlyFilesystem => sort != Sort::Read,
                    _ => true,
                };
                if fits { Err(kind.into()) } else { Ok(state) }
            }
            _ => Ok(state),
        }
    }

    /// A write, of which a part is done if it fails.
    fn write_at(&self, node: usize, name: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
        let change = |bytes: &[u8]| Change::Write {
            at,
            bytes: bytes.to_vec(),
        };
        match self.operation_of(Sort::Grow, "write", name) {
            Ok(mut state) => {
                state.change(node, change(bytes));
                Ok(())
            }
            Err(error) => {
                let mut state = self.machine.state();
                // Another part for each operation that is let fail, and the same in each run.
                let part = usize::try_from(state.operations).unwrap() * 31 % (bytes.len() + 1);
                state.change(node, change(&bytes[..part]));
                Err(error)
            }
        }
    }

    fn sync(&self, node: usize, name: &str) -> io::Result<()> {
        match self.operation_of(Sort::Sync, "sync", name) {
            Ok(mut state) => {
                state.sync(node);
                Ok(())
            }
            Err(error) => {
                let mut state = self.machine.state();
                if self.process > state.killed {
                    state.forget(node);
                }
                Err(error)
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from("/simulated").join(name)
    }

    fn read(&self, name: &str, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let state = self.operation_of(Sort::Read, "read", name)?;
        let Some(node) = state.node(name) else {
            return Ok(None);
        };
        let bytes = state.file(node)?.clone();
        if bytes.len() as u64 > limit_bytes {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        let state = self.operation_of(Sort::Read, "length", name)?;
        let node = state.node(name);
        node.map(|node| Ok(state.file(node)?.len() as u64))
            .transpose()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let state = self.operation_of(Sort::Read, "list", folder)?;
        let Some(Node::Folder(entries)) = state.node(folder).map(|node| &state.nodes[node]) else {
            return Ok(Vec::new());
        };
        let entry = |(name, &node): (&String, &usize)| Entry {
            name: name.clone(),
            is_folder: matches!(state.nodes[node], Node::Folder(_)),
            bytes: state.file(node).map_or(0, |bytes| bytes.len() as u64),
        };
        Ok(entries.iter().map(entry).collect())
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        let mut state = self.operation_of(Sort::Grow, "make", name)?;
        if state.node(name).is_none() {
            state.make(name, Node::Folder(BTreeMap::new()))?;
        }
        Ok(())
    }

    fn write(&self, files: &[NewFile<'_>]) -> io::Result<()> {
        for NewFile { name, bytes } in files {
            let mut state = self.operation_of(Sort::Grow, "create", name)?;
            let node = match state.node(name) {
                Some(node) => {
                    state.change(node, Change::Length(0));
                    node
                }
                None => state.make(name, Node::File(Vec::new()))?,
            };
            drop(state);
            self.write_at(node, name, 0, bytes)?;
            self.sync(node, name)?;
        }
        Ok(())
    }

    fn append(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), AppendError> {
        let open = || {
            let state = self.operation_of(Sort::Other, "open", name)?;
            let node = state.known(name)?;
            Ok((node, state.file(node)?.len()))
        };
        let (node, found) = open().map_err(AppendError::Write)?;
        if found as u64 != at {
            return Err(AppendError::Moved {
                found: found as u64,
            });
        }
        let written = self.write_at(node, name, found, bytes);
        written.map_err(AppendError::Write)?;
        self.sync(node, name).map_err(AppendError::Sync)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.operation_of(Sort::Other, "truncate", name)?;
        let node = state.known(name)?;
        let length = usize::try_from(length).unwrap();
        state.change(node, Change::Length(length));
        drop(state);
        self.sync(node, name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operation_of(Sort::Other, "rename", to)?;
        let node = state.known(from)?;
        let ((folder, from), (to_folder, to)) = (state.place(from)?, state.place(to)?);
        assert_eq!(
            folder, to_folder,
            "a rename within one folder is one effect"
        );
        let names = vec![(from.to_owned(), None), (to.to_owned(), Some(node))];
        state.change(folder, Change::Names(names));
        Ok(())
    }

    fn remove(&self, names: &[String]) -> io::Result<()> {
        let remove = |name: &String| {
            let mut state = self.operation_of(Sort::Other, "remove", name)?;
            state.known(name)?;
            let (folder, name) = state.place(name)?;
            state.change(folder, Change::Names(vec![(name.to_owned(), None)]));
            Ok(())
        };
        let results: Vec<io::Result<()>> = names.iter().map(remove).collect();
        results.into_iter().collect()
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        let node = self.machine.state().known(name)?;
        self.sync(node, name)
    }

    fn sync_folders(&self, names: &[String]) -> io::Result<()> {
        for name in names {
            let node = self.machine.state().known(name)?;
            self.sync(node, name)?;
        }
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.operation_of(Sort::Grow, "lock", name)?;
        let node = match state.node(name) {
            Some(node) => node,
            None => state.make(name, Node::File(Vec::new()))?,
        };
        if state.locks.contains_key(&node) {
            return Ok(None);
        }
        state.locks.insert(node, self.process);
        Ok(Some(Box::new(SimulatedLock {
            machine: self.machine.clone(),
            process: self.process,
            node,
        })))
    }

    fn is_locked(&self, name: &str) -> io::Result<bool> {
        let state = self.machine.state();
        let node = state.node(name);
        Ok(node.is_some_and(|node| state.locks.contains_key(&node)))
    }
}

struct SimulatedLock {
    machine: Machine,
    process: u64,
    node: usize,
}

impl fmt::Debug for SimulatedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedLock({})", self.process)
    }
}

impl Lock for SimulatedLock {
    fn describe(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.machine.state();
        state.change(self.node, Change::Length(0));
        let bytes = bytes.to_vec();
        state.change(self.node, Change::Write { at: 0, bytes });
        Ok(())
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        if state.locks.get(&self.node) == Some(&self.process) {
            state.locks.remove(&self.node);
        }
    }
}
