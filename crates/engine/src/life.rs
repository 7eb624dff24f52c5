//! A generation's life: staged, swapped in, watched, and then confirmed or taken back.
//!
//! One thread owns the store and all decisions, so that they come one after the other; the admin server and whoever
//! watches a folder hand it their work. See `docs/generations.md` for the protocol.

mod requests;
mod trial;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dispatcher::Dispatcher;
use generations::{Document, End, GenerationId, Note, OpenOptions, Store, StoreError, TreeId};
use mesh::Mesh;
use serde_json::json;

use crate::api::Progress;
use crate::boot::Folder;
use crate::evidence::{Meter, TICK};
use crate::loader::{Loaded, Loader};
use crate::refusal::Refusal;
pub use requests::Parent;
use trial::Trial;

/// How often what balancers have learned is written down: a crash forgets no more.
const LEARNED_EVERY: Duration = Duration::from_secs(30);

/// What serves in the metrics and logs when nothing could be loaded.
pub(crate) const RESCUE: &str = "rescue";

/// Who decides where nobody has asked.
pub(crate) const DALBI: &str = "dalbi";

/// Names in the store for what belongs to no generation.
pub(crate) const OBSERVED: &str = "observed";
pub(crate) const LEARNED: &str = "learned";
pub(crate) const FOLDER: &str = "folder";

/// Work for the thread that decides.
pub(crate) type Job = Box<dyn FnOnce(&mut Life) + Send>;

/// What was last confirmed, or the rescue generation.
pub(crate) struct Served {
    /// `None` for the rescue generation.
    pub(crate) id: Option<GenerationId>,
    pub(crate) loaded: Loaded,
    /// Which of the lists of endpoints it was loaded with.
    pub(crate) joined: u64,
}

impl Served {
    pub(crate) fn name(&self) -> String {
        self.id.map_or_else(|| RESCUE.to_owned(), |id| id.short())
    }
}

/// Everything that decisions need.
pub(crate) struct Life {
    /// `None` once another process has it.
    store: Option<Store>,
    opening: OpenOptions,
    state: PathBuf,
    pub(crate) dispatcher: Arc<Dispatcher>,
    loader: Box<dyn Loader>,
    observed: Vec<Document>,
    /// Counts the lists of endpoints.
    observed_count: u64,
    /// The folder that the process was started with, as far as it has been proposed.
    folder: Folder,
    served: Served,
    /// The end of a generation that is still to be written down.
    unwritten: Option<(GenerationId, End, Note)>,
    /// Another process is about to take over: nothing changes any more.
    upgrading: bool,
    /// The newest documents were refused, and whoever looks is told so.
    rejected: std::cell::Cell<bool>,
    trial: Option<Trial>,
    meter: Meter,
    learned_at: Instant,
    /// The newest generations that stay at a collection.
    keep: usize,
    progress: Arc<Mutex<Option<Progress>>>,
    ended: bool,
}

/// What a life begins with.
pub(crate) struct Beginning {
    pub(crate) store: Store,
    /// How it is opened again if a new process does not take it.
    pub(crate) opening: OpenOptions,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) loader: Box<dyn Loader>,
    pub(crate) observed: Vec<Document>,
    pub(crate) served: Served,
    pub(crate) keep: usize,
    pub(crate) progress: Arc<Mutex<Option<Progress>>>,
}

impl Life {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let now = Instant::now();
        let folder = Folder::read(&beginning.store);
        let Beginning {
            store,
            opening,
            dispatcher,
            loader,
            observed,
            served,
            keep,
            progress,
        } = beginning;
        Self {
            meter: Meter::new(&dispatcher, now),
            state: store.path(),
            store: Some(store),
            opening,
            dispatcher,
            loader,
            observed,
            observed_count: 0,
            folder,
            served,
            unwritten: None,
            upgrading: false,
            rejected: std::cell::Cell::new(false),
            trial: None,
            learned_at: now,
            keep,
            progress,
            ended: false,
        }
    }

    /// Decides until it is told to end or nobody can tell it anything any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) -> Self {
        let mut next = Instant::now() + TICK;
        while !self.ended {
            let wait = next.saturating_duration_since(Instant::now());
            match jobs.recv_timeout(wait) {
                Ok(job) => job(&mut self),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if now >= next && !self.ended {
                self.tick(now);
                next = (next + TICK).max(Instant::now());
            }
        }
        self
    }

    fn tick(&mut self, now: Instant) {
        if self.unwritten.is_some() && self.write_down().is_ok() {
            tracing::info!("what could not be written down before is written");
        }
        let reading = self.meter.read(&self.dispatcher, now);
        if let Some(trial) = &mut self.trial {
            trial.observe(&reading, &self.served.name());
            if trial.share < 1.0 {
                self.meter.keep(&reading, &self.served.name());
            } else {
                self.meter.keep_tried(&reading, &trial.id.short());
            }
            match trial.retry.clone() {
                Some((end, by, why)) => self.take_back(end, &by, &why),
                None => {
                    let judged = trial.judge(now, self.dispatcher.confirmation_arrived());
                    self.act(judged);
                }
            }
        } else {
            self.meter.keep(&reading, &self.served.name());
        }
        self.show(now);
        if now.saturating_duration_since(self.learned_at) >= LEARNED_EVERY {
            self.learned_at = now;
            self.write_learned();
            self.tidy();
        }
    }

    fn act(&mut self, judged: trial::Judged) {
        match judged {
            trial::Judged::Continue => {}
            trial::Judged::Confirm { by } => {
                if let Err(error) = self.confirm_trial(&by, "") {
                    tracing::error!(%error, "a generation could not be confirmed; it was taken back");
                }
            }
            trial::Judged::Hold { why } => {
                let trial = self.trial.as_ref().expect("it was just judged");
                tracing::warn!(generation = %trial.id.short(), %why, "held: neither confirmed nor taken back");
            }
            trial::Judged::RollBack { why } => self.take_back(End::RolledBack, DALBI, &why),
        }
    }

    /// Confirms what is being tried: all requests go to it, and then the store says so. If the store can't, it is
    /// taken back, as a restart would.
    fn confirm_trial(&mut self, by: &str, why: &str) -> Result<(), Refusal> {
        let Some(mut trial) = self.trial.take() else {
            return Err(Refusal::NotPending);
        };
        let detail = trial.detail();
        let put = if trial.share < 1.0 {
            self.put(&trial.loaded, &trial.id.short())
        } else {
            Ok(())
        };
        if put.is_ok() {
            trial.share = 1.0;
        }
        let written = put.and_then(|()| {
            let note = note(by, why).with_detail(detail);
            let confirmed = self.store()?.confirm(trial.id, &note);
            confirmed.map_err(Refusal::from)
        });
        match written {
            Ok(()) => {
                tracing::info!(generation = %trial.id.short(), by, evidence = trial.line(), "confirmed");
                self.served = Served {
                    id: Some(trial.id),
                    loaded: trial.loaded,
                    joined: self.observed_count,
                };
                self.meter.settle(true);
                self.dispatcher.expect_confirmation(None);
                self.show(Instant::now());
                Ok(())
            }
            Err(refusal) => {
                self.trial = Some(trial);
                // That is not the documents' fault.
                self.take_back(
                    End::Cancelled,
                    DALBI,
                    &format!("it could not be confirmed: {refusal}"),
                );
                Err(refusal)
            }
        }
    }

    /// Goes back to what was confirmed. Nothing is written before that serves again.
    fn take_back(&mut self, end: End, by: &str, why: &str) {
        let Some(mut trial) = self.trial.take() else {
            return;
        };
        let is_stale = self.freshen();
        if trial.share < 1.0 {
            self.dispatcher.drop_canary();
        }
        let back = if trial.share < 1.0 && !is_stale {
            Ok(())
        } else {
            self.put(&self.served.loaded, &self.served.name())
        };
        if let Err(refusal) = back {
            // As when a port that it gave up has been taken by another process: try again at every tick.
            if trial.retry.is_none() {
                tracing::error!(generation = %trial.id.short(), why, %refusal, "can't go back yet; trying on");
            }
            trial.retry = Some((end, by.to_owned(), why.to_owned()));
            self.trial = Some(trial);
            return;
        }
        self.dispatcher.expect_confirmation(None);
        self.meter.settle(false);
        // Without its end, a restart finds an open intent and comes up on the same parent.
        self.write_end(&trial, end, by, why);
        let (generation, serving) = (trial.id.short(), self.served.name());
        match end {
            End::RolledBack => tracing::error!(%generation, serving, why, "rolled back"),
            _ => tracing::info!(%generation, serving, why, "ended without a verdict"),
        }
        if end == End::RolledBack {
            self.dispatcher.reject(json!(format!(
                "generation {generation} was rolled back: {why}"
            )));
        }
        self.show(Instant::now());
    }

    /// Sees to it that what was confirmed knows the endpoints of now, as far as they go together. Whether that changed
    /// it: it is not served so yet.
    fn freshen(&mut self) -> bool {
        let Some(id) = self
            .served
            .id
            .filter(|_| self.served.joined != self.observed_count)
        else {
            return false;
        };
        match self.mesh_of(id) {
            Ok(loaded) => self.served.loaded = loaded,
            Err(refusal) => {
                tracing::warn!(%refusal, "the newest endpoints don't go with the generation before");
            }
        }
        self.served.joined = self.observed_count;
        true
    }

    /// Serves all requests by it.
    fn put(&self, loaded: &Loaded, name: &str) -> Result<(), Refusal> {
        let applied = self.dispatcher.apply(loaded.mesh.clone(), name)?;
        self.rejected.set(false);
        // First, so that whoever reads the log line finds them at the admin server.
        self.dispatcher.set_objects(loaded.objects.clone());
        tracing::info!(
            generation = name,
            configuration = applied.number,
            took_ms = applied.took.as_millis() as u64,
            opened = ?applied.opened,
            closed = ?applied.closed,
            documents = loaded.summary,
            "reloaded"
        );
        Ok(())
    }

    /// Removes old generations now and then: each change of a watched folder is one.
    fn tidy(&mut self) {
        let keep = self.keep;
        let Ok(store) = self.store() else {
            return;
        };
        if store.list().len() < 2 * keep {
            return;
        }
        if let Err(error) = store.gc(keep, &note(DALBI, "there were many")) {
            tracing::warn!(%error, "old generations can't be removed");
        }
    }

    /// Tells the admin server how the trial goes.
    fn show(&self, now: Instant) {
        let progress = self.trial.as_ref().map(|trial| trial.progress(now));
        *self.progress.lock().expect("no panic holds it") = progress;
    }

    fn write_learned(&mut self) {
        let learned = self.dispatcher.learned().to_string();
        let Ok(store) = self.store() else {
            return;
        };
        if let Err(error) = store.put_aside(LEARNED, learned.as_bytes()) {
            tracing::warn!(%error, "what balancers have learned can't be written down");
        }
    }

    /// Keeps in mind what of the folder has been proposed.
    pub(crate) fn set_folder(&mut self, tree: Option<TreeId>) {
        self.folder.tree = tree;
        let text = json!(self.folder).to_string();
        let Ok(store) = self.store() else {
            return;
        };
        if let Err(error) = store.put_aside(FOLDER, text.as_bytes()) {
            tracing::warn!(%error, "a restart may try the folder's documents again");
        }
    }

    /// Ends in good order: what is being tried ends without a verdict, so that the next start may try it again.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        if let Some(trial) = self.trial.take() {
            match trial.retry.clone() {
                Some((end, by, why)) => self.write_end(&trial, end, &by, &why),
                None => {
                    self.write_end(&trial, End::Interrupted, DALBI, "the process was stopped");
                }
            }
            if trial.retry.is_none() && self.folder.tree == Some(trial.tree) {
                // To be tried again at the next start.
                self.set_folder(None);
            }
        }
        self.write_learned();
    }

    /// The store; not once another process has it.
    fn store(&mut self) -> Result<&mut Store, Refusal> {
        self.store.as_mut().ok_or(Refusal::Ending)
    }

    fn write_end(&mut self, trial: &Trial, end: End, by: &str, why: &str) {
        let note = note(by, why).with_detail(trial.detail());
        self.unwritten = Some((trial.id, end, note));
        if let Err(error) = self.write_down() {
            tracing::error!(%error, "the end of a generation could not be written down; trying on");
        }
    }

    /// Writes what could not be written before: until then the store takes nothing new.
    pub(crate) fn write_down(&mut self) -> Result<(), Refusal> {
        let Some((id, end, note)) = self.unwritten.take() else {
            return Ok(());
        };
        let written = self
            .store()
            .and_then(|store| Ok(store.end(id, end, &note)?));
        if let Err(Refusal::Store(StoreError::NotPending { .. })) = &written {
            // It was written after all, or opening the store anew did it.
            return Ok(());
        }
        if written.is_err() {
            self.unwritten = Some((id, end, note));
        }
        written
    }

    /// What a new process has to serve. Not while something is being tried, which it could not judge.
    pub(crate) fn before_upgrade(&mut self) -> Result<Option<String>, Refusal> {
        if let Some(trial) = &self.trial {
            return Err(Refusal::Pending(trial.id));
        }
        self.write_down()?;
        self.write_learned();
        self.upgrading = true;
        Ok(self.served.id.map(|id| id.to_string()))
    }

    /// Lets go of the store, for another process.
    pub(crate) fn release(&mut self) -> Result<(), Refusal> {
        if let Some(trial) = &self.trial {
            return Err(Refusal::Pending(trial.id));
        }
        self.store = None;
        Ok(())
    }

    /// Goes on, as no other process took over.
    pub(crate) fn go_on(&mut self) -> Result<(), Refusal> {
        self.upgrading = false;
        if self.store.is_some() {
            return Ok(());
        }
        let state = self.state.clone();
        let opening = OpenOptions {
            now_unix_ms: unix_ms(),
            ..self.opening.clone()
        };
        let (store, _) = Store::open(&state, opening)?;
        self.store = Some(store);
        Ok(())
    }

    /// Hands back what is left at the end.
    pub(crate) fn into_store(self) -> Option<Store> {
        self.store
    }

    fn mesh_of(&mut self, id: GenerationId) -> Result<Loaded, Refusal> {
        let manifest = self.store()?.manifest(id)?;
        let documents = self.store()?.documents(id)?;
        let loaded = self
            .loader
            .load(&manifest.source, &documents, &self.observed);
        loaded.map_err(Refusal::Findings)
    }

    /// An empty mesh for when there is nothing to go back to.
    pub(crate) fn rescue() -> Served {
        Served {
            id: None,
            loaded: Loaded {
                mesh: Arc::new(Mesh::default()),
                objects: json!([]),
                summary: "nothing".to_owned(),
            },
            joined: 0,
        }
    }
}

/// Who does something now, and why.
fn note(by: &str, why: &str) -> Note {
    Note::new(by, why, unix_ms())
}

/// Milliseconds since 1970, for people: decisions go by [`Instant`].
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
